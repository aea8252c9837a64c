"""The sentences of a report: title, subtitle and glossary."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from calibration.replay.curve_summary import Unit
from calibration.replay.ways import OPTIONS, WAYS, Way
from calibration.report.methods import best, beyond, headline
from calibration.report.summary import CostSaving, Saving, Summary
from predictors.confidence import ConfidenceSettings

# Units of cost, and what they are called.
UNITS: dict[Unit, str] = {"generations": "generations", "tokens": "tokens", "flops": "FLOPs"}


def number(value: float) -> str:
    """``4.2``, ``16``, ``12,800``."""
    return f"{value:,.1f}".removesuffix(".0")


def count(value: float, what: str) -> str:
    """``1 generation``, ``4.2 generations``."""
    return f"{number(value)} {what}" + ("" if number(value) == "1" else "s")


def flops(value: float) -> str:
    """``1.2e9``."""
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def shown_units(counted: Iterable[Unit]) -> dict[Unit, str]:
    """The units of a comparison's columns: FLOPs only where they were counted."""
    known = set(counted)
    return {unit: name for unit, name in UNITS.items() if unit != "flops" or unit in known}


def listed(words: Sequence[str]) -> str:
    """``generations, tokens and FLOPs``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def percent(value: float) -> str:
    """``73.8%``."""
    return f"{value:.1%}"


def interval(low: float, high: float) -> str:
    """``68–79%``."""
    return f"{100 * low:.0f}–{high:.0%}"


@dataclass(frozen=True)
class Spending:
    """A way to spend in words: as the subject within a sentence, and how it is requested."""

    subject: str
    how: str


SPENDING: dict[Way, Spending] = {
    "bins": Spending("compute-optimal", "by difficulty bins"),
    "price": Spending("stopping early by price", "by price"),
    "total": Spending("stopping early within one total", "as one total over all prompts"),
}


def spent(way: Way) -> str:
    """``by price (--average-budget)``."""
    return f"{SPENDING[way].how} ({OPTIONS[way]})"


def title(summary: Summary, policy: str | None = None) -> str:
    """The result in a sentence.

    Args:
        summary: what was measured.
        policy: name of the curve that the saving is of; None is that of the saving's way.
    """
    saved, everyone, way = summary.gain, summary.groups[0], headline(summary)
    if (found := beyond(summary, policy)) is not None:
        return (
            f"{_upper(_subject(found.name))} reaches {percent(found.point.accuracy)} with "
            f"{count(found.point.generations, 'generation')} per prompt; "
            f"{summary.baseline.split()[0]} never more than {percent(found.most)}"
        )
    if saved is not None:
        subject = _subject(policy or WAYS[saved.way])
        plain = summary.baseline.split()[0]
        cost = count(saved.generations, "generation")
        if saved.times > 1:
            return (
                f"{_upper(subject)} reaches {percent(saved.accuracy)} with {cost} per prompt; "
                f"{plain} needs {number(saved.baseline)}"
            )
        return (
            f"No saving: for {percent(saved.accuracy)} {subject} spends {cost} per prompt, "
            f"{plain} {number(saved.baseline)}"
        )
    known = {curve.name: curve for curve in everyone.curves if curve.points}
    name = policy or (WAYS[way] if way else None)
    wanted = [summary.baseline, *([name] if name else [])]
    shown = [known[name] for name in wanted if name in known] or sorted(
        known.values(), key=lambda curve: -best(curve).accuracy
    )[:1]
    said = [
        f"{_subject(curve.name)} reaches {percent(best(curve).accuracy)} "
        f"with {count(best(curve).generations, 'generation')} per prompt"
        for curve in shown
    ]
    if len(said) == 2:
        return f"No saving found: {'; '.join(said)}"
    return _upper(said[0]) if said else "A table was calibrated"


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]


def _subject(name: str) -> str:
    """A curve's name as the subject within a sentence."""
    of_ways = {WAYS[way]: spending.subject for way, spending in SPENDING.items()}
    return of_ways.get(name, name.split(",")[0])


def subtitle(summary: Summary, policy: str | None = None) -> str:
    """How certain the title is; arguments as `title`."""
    if (found := beyond(summary, policy)) is not None:
        return (
            "The 95% interval of its accuracy is "
            f"{percent(found.point.low)} to {percent(found.point.high)}. "
            f"More solutions hardly help {summary.baseline}, so savings at its accuracy say little."
        )
    saved = summary.gain
    if saved is None:
        return (
            "A saving is counted where both reach the same accuracy; none was found."
            if headline(summary)
            else "Nothing was chosen by difficulty, so there is nothing to compare."
        )
    if saved.times <= 1:
        cheaper = (
            "Both cost the same"
            if round(saved.times, 1) == 1
            else "The baseline is the cheaper one"
        )
        return (
            f"{cheaper} here; the 95% interval of the saving is "
            f"{saved.low:.1f} to {saved.high:.1f} times, where 1 is no saving."
        )
    certain = f"That is {_fewer(saved)}, with 95% intervals over prompts."
    if saved.low <= 1:
        return f"{certain} The saving is not certain: its interval includes 1, no saving."
    return certain


def _fewer(saved: Saving) -> str:
    """Which units are saved, and which are not."""
    others = {"tokens": saved.tokens, "FLOPs": saved.flops}
    known = {unit: cost for unit, cost in others.items() if cost is not None}
    less = [f"{saving(saved)} times fewer generations"]
    less += [f"{saving(cost)} times fewer {unit}" for unit, cost in known.items() if cost.times > 1]
    more = [f"{unit} ({saving(cost)} times)" for unit, cost in known.items() if cost.times <= 1]
    return listed(less) + (f" but no fewer {listed(more)}" if more else "")


def times(value: float, low: float, high: float) -> str:
    """A factor of saving with its 95% interval: ``4.0 [2.1, 6.4]``, ``4.0 [–, 6.4]``.

    0 stands for an accuracy that is not reached; as a number it would read as a loss.
    """
    reached = f"{value:.1f}" if value else "not reached"
    return f"{reached} [{factor(low)}, {factor(high)}]"


def factor(end: float) -> str:
    """An end of such an interval: ``2.1``, or a dash."""
    return f"{end:.1f}" if end else "–"


def saving(saved: Saving | CostSaving) -> str:
    """`times` of a saving."""
    return times(saved.times, saved.low, saved.high)


def chosen(summary: Summary) -> str:
    """Which way the title is about, in a sentence; empty where there is none."""
    leading = headline(summary)
    if leading is not None and beyond(summary) is not None:
        return f"Generations are spent {spent(leading)}, the most accurate of this artifact's ways."
    if summary.gain is None:
        return ""
    way = spent(summary.gain.way)
    if summary.cheapest is None:
        return (
            f"Generations are spent {way}. Other ways were not compared; calibrate again for that."
        )
    return f"Generations are spent {way}, the cheapest of this artifact's ways."


def setting(value: object) -> str:
    """A setting's value: floats to four digits, newlines escaped."""
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("\n", r"\n")


def confidence_words(confidence: ConfidenceSettings | None) -> str:
    """How confidence is read, and what it does."""
    if confidence is None:
        return "not read: it tells neither right solutions nor lost ones"
    read = f"of the {confidence.top} likeliest tokens, in windows of {confidence.window}"
    if confidence.threshold is None:
        return f"{read}; it ends no solution"
    return (
        f"{read}; solutions end below {confidence.threshold:.4g}, which would have saved at least "
        f"{percent(confidence.saved)} of calibration's tokens"
    )


# In the order in which the page uses them.
GLOSSARY = {
    "generation": "One complete solution sampled from the language model. Cost is counted in "
    "them: a budget of 16 allows at most 16 generations per prompt.",
    "FLOPs": "The arithmetic that a cost takes: 2 x the model's parameters for every token that it "
    "samples or, as a verifier, reads. A large verifier costs more than its tokens show.",
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
    "price, stopping early": "Let a prompt's solutions grow in stages. Stop when the next ones are "
    "expected to gain less accuracy than their price. The price follows the prompts so that their "
    "average cost meets the budget.",
    "one total, stopping early": "The same stages with one budget for all prompts together. What "
    "settled and hopeless prompts leave goes to those that gain by it.",
    "fingerprint": "A hash of a model's configuration and weights. The table holds for these "
    "models and settings only.",
}
