"""The sentences of a report: title, subtitle and glossary."""

from calibration.report.methods import best, named, policy_of
from calibration.report.summary import Summary


def number(value: float) -> str:
    """``4.2``, ``16``, ``12,800``."""
    return f"{value:,.1f}".removesuffix(".0")


def count(value: float, what: str) -> str:
    """``1 generation``, ``4.2 generations``."""
    return f"{number(value)} {what}" + ("" if number(value) == "1" else "s")


def percent(value: float) -> str:
    """``73.8%``."""
    return f"{value:.1%}"


def interval(low: float, high: float) -> str:
    """``68–79%``."""
    return f"{100 * low:.0f}–{high:.0%}"


def title(summary: Summary) -> str:
    """The result in a sentence."""
    gain, everyone = summary.gain, summary.groups[0]
    if gain is not None and gain.times > 1:
        return (
            f"Compute-optimal reaches {percent(gain.accuracy)} with "
            f"{count(gain.generations, 'generation')} per prompt; best-of-N needs "
            f"{number(gain.baseline)}"
        )
    if gain is not None:
        return (
            f"No saving: for {percent(gain.accuracy)} compute-optimal spends "
            f"{count(gain.generations, 'generation')} per prompt, best-of-N {number(gain.baseline)}"
        )
    curves = [curve for curve in everyone.curves if curve.points]
    pair = named(everyone, summary.baseline), policy_of(everyone)
    shown = [curve for curve in pair if curve in curves] or sorted(
        curves, key=lambda curve: -best(curve).accuracy
    )[:1]
    said = [
        f"{curve.name.split(',')[0]} reaches {percent(best(curve).accuracy)} "
        f"with {count(best(curve).generations, 'generation')} per prompt"
        for curve in shown
    ]
    if len(said) == 2:
        return f"No saving found: {'; '.join(said)}"
    return said[0][:1].upper() + said[0][1:] if said else "A table was calibrated"


def subtitle(summary: Summary) -> str:
    """How certain the title is."""
    gain = summary.gain
    if gain is None:
        return (
            "A saving is counted where both reach the same accuracy; none was found."
            if policy_of(summary.groups[0])
            else "Nothing was chosen by difficulty, so there is nothing to compare."
        )
    bounds = f"the 95% interval of the saving is {gain.low:.1f} to {gain.high:.1f} times"
    if gain.times <= 1:
        return f"The baseline is the cheaper one here; {bounds}, where 1 is no saving."
    if gain.low <= 1:
        return (
            f"That is {gain.times:.1f} times fewer, but it is not certain: {bounds}, where 1 is "
            "no saving."
        )
    return f"That is {gain.times:.1f} times fewer; {bounds}."


def setting(value: object) -> str:
    """A setting's value: floats to four digits, newlines escaped."""
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("\n", r"\n")


# In the order in which the page uses them.
GLOSSARY = {
    "generation": "One complete solution sampled from the language model. Cost is counted in "
    "them: a budget of 16 allows at most 16 generations per prompt.",
    "accuracy": "Share of prompts whose chosen answer is right.",
    "95% interval": "Other prompts of the same kind would have given other figures; 95% of such "
    "intervals contain the true value.",
    "verifier": "A second model that scores solutions. A process reward model (PRM) scores them "
    "after every step.",
    "best-of-N weighted": "Sample N solutions. Add up the scores of those with the same answer. "
    "Take the answer with the greatest sum. “best-of-4” is this with N = 4.",
    "majority": "Sample N solutions and take the most frequent answer. No verifier is needed.",
    "beam search": "Sample solutions step by step and go on with those the verifier scores best. "
    "N is the number of solutions kept in play, M how many continuations of each are tried.",
    "revisions": "Let the model correct its own attempts, one after the other. “4 x 2” is 4 "
    "chains of 2 attempts.",
    "pass@1": "The share of a prompt's solutions that are right when each is taken alone. It "
    "measures difficulty: near 100% is easy, near 0% is hard.",
    "bin": "Prompts of like difficulty, in groups of about the same size. Bin 1 holds the easiest.",
    "pilot": "One of a few solutions sampled first, to see how hard the prompt is. Pilots are paid "
    "for out of the budget and still count for the answer.",
    "predicted": "Difficulty estimated from the pilots. This is used on new prompts.",
    "oracle": "Difficulty measured with the right answers at hand. It is unknown for new "
    "prompts: it shows what perfect prediction would gain.",
    "compute-optimal": "Give each prompt the plan that is worth its cost for its bin, instead of "
    "one plan for all.",
    "fingerprint": "A hash of a model's configuration and weights. The table holds for these "
    "models and settings only.",
}
