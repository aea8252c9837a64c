"""Search on simulated H100s."""

from benchmarks.pages.tables import Data, measured_by, table, targets

COMMAND = "python -m benchmarks.simulator"


def full(data: Data) -> str:
    """What the figures rest on, what each contender did, every figure, and the missed time."""
    heads = ("", "seconds", "busy", "sampled", "prefilled", "scored", "preempted")
    rows = (
        (
            name,
            f"{did['seconds']:.1f}",
            f"{did['busy']:.0%}",
            *(f"{did[key]:,}" for key in ("sampled", "prefilled", "scored", "preempted")),
        )
        for name, did in data["contenders"].items()
    )
    parts = (
        measured_by(COMMAND, data),
        _basis(data),
        table(heads, rows),
        targets(data["targets"]),
        table(("further", ""), ((name, f"{ratio:.2f}") for name, ratio in data["further"].items())),
        _why(data),
    )
    return "\n\n".join(parts)


def _basis(data: Data) -> str:
    step = data["step"]
    return (
        "Nothing here ran on a GPU. The scheduler, strategies and verifier of this library, and "
        "rivals beside them, run on engines of virtual time, which schedule and cache as vLLM "
        "does. What a step takes is fitted to NVIDIA's figures of Llama-3.1-8B in FP8 on an H100: "
        f"{1000 * step['fixed']:.2f} ms, {1e6 * step['per_sequence']:.1f} microseconds per "
        f"sequence that decodes, {1e9 * step['per_kv_token']:.1f} nanoseconds per token that it "
        f"attends to, and {1e6 * step['per_new_token']:.1f} microseconds per token that is read "
        "(sources: `benchmarks/simulator/times.py`). A policy and a verifier of its size share "
        f"each card; of its memory the library gives them {data['shares'][0]:.0%} and "
        f"{data['shares'][1]:.0%}. Steps and solutions are as long as those of Llama-3.1-8B on "
        f"MATH-500. {data['prompts']:,} prompts on {data['cards']} cards, N = 16, M = 4. The "
        "library admits all of them at once, as it does for best-of-N, and the rivals have all in "
        "flight, too, which is best for them; where 64 per card are in flight, the table says so. "
        "With 256 beams there are 64 prompts on one card; of these, and of 500 on one card, the "
        "library admits a part. Tokens are totals."
    )


def _why(data: Data) -> str:
    """Where the time of beam search goes, beside that of best-of-N, and what was tried."""
    parts = (_missing, _changes, _rivals, _tried, _checked)
    return " ".join(part(data) for part in parts)


def _missing(data: Data) -> str:
    done, step, cards = data["contenders"], data["step"], data["cards"]
    beams, best = done["beam search"], done["best-of-N, scored"]

    def more(*keys: str, each: float) -> str:
        return f"{sum(beams[key] - best[key] for key in keys) * each / cards:.1f}"

    longer = data["further"]["beam search over best-of-N, scored, 500 prompts of one card"]
    idle = beams["seconds"] * (1 - beams["busy"]) - best["seconds"] * (1 - best["busy"])
    return (
        f"Beam search takes {beams['seconds'] - best['seconds']:.1f} seconds more than best-of-N: "
        f"{more('policy_steps', each=step['fixed'])} for the fixed time of more steps of the "
        f"policy, {more('verifier_steps', each=step['fixed'])} for that of more passes of the "
        f"verifier, {more('prefilled', 'scored', each=step['per_new_token'])} for tokens that are "
        f"read again, as the last block of a beam is for each of its children, and {idle:.1f} in "
        "which cards that have ended wait for the last one. The steps are mostly those of the end "
        "of the run: a round waits for its longest step, so the longest searches go on, a few "
        "beams at a time, when all others have ended. Of a longer run the end weighs less: with "
        "500 prompts on one card, where each of eight had 125, beam search takes "
        f"{longer:.2f} times as long as best-of-N."
    )


def _changes(data: Data) -> str:
    ratios, done = data["further"], data["contenders"]

    def against(name: str) -> str:
        return f"{ratios[f'beam search: times faster than beam search, {name}']:.2f}"

    both = "64 in flight per card, every text read at once"
    passes = done["beam search, every text read at once"]["verifier_steps"]
    return (
        "\n\nTwo changes of the library led here. Prompts are admitted by their beams and by what "
        f"the engine runs and holds ({against('64 in flight per card')} times faster than 64 per "
        "card), and a verifier's reads that follow each other quickly wait for each other ("
        f"{against('every text read at once')} times: {done['beam search']['verifier_steps']:,} "
        f"passes where there were {passes:,}); together {against(both)} times. Best-of-N gains by "
        "the first, too, which keeps the ratio to it up. With 256 beams the library admits "
        f"{_wide(data)}. More beams read evicted prefixes again, fewer leave the card half idle "
        "while rounds wait for their longest step. With 500 prompts on one card what the library "
        f"admits is {_long(data)} times faster than 512 in flight."
    )


def _long(data: Data) -> str:
    beams = "beam search, 500 prompts of one card"
    return f"{data['further'][f'{beams}: times faster than {beams}, 512 in flight']:.2f}"


def _wide(data: Data) -> str:
    done = data["contenders"]
    own, all_, few = (
        f"{done[f'256 beams, {name} in flight']['seconds']:.0f}"
        for name in ("as many as the library has", "64", "16")
    )
    return f"as many prompts as take {own} seconds, where 64 take {all_} and 16 take {few}"


def _rivals(data: Data) -> str:
    ratios, hub = data["further"], data["contenders"]["its_hub beam search"]
    new = "beam search, verifier reads new tokens only"
    lock_new, hub_new = (
        f"{ratios[f'beam search: times faster than {name} {new}']:.2f}"
        for name in ("lockstep", "its_hub")
    )
    return (
        "\n\nLockstep search and its_hub are slower mostly because their verifier reads every text "
        f"from its start, as published ({hub['scored']:,} tokens). If it read new tokens only, "
        f"beam search would be {lock_new} and {hub_new} times as fast as they: its_hub ends a "
        "prompt when the beams that it keeps are finished, where the paper's search goes on until "
        "N are."
    )


def _tried(data: Data) -> str:
    done = data["contenders"]
    rounds = done["one card, draws named by parent"]
    early = done["one card, extended speculatively"]
    gain = rounds["seconds"] / early["seconds"] - 1
    more = early["sampled"] / rounds["sampled"] - 1
    return (
        "\n\nSpeculative extension of beams (after FastTTS) is simulated only: while a round "
        "waits, the best beams so far are extended, where fewer than 64 requests run, by the draws "
        f"that they get if they are kept. It is {gain:.1%} faster on one card, and samples "
        f"{more:.1%} more tokens: in the long searches at the end few beams live, and these mostly "
        "wait for their own parents. Serving earlier prompts first makes no difference here."
    )


def _checked(data: Data) -> str:
    """On the check with a CPU's step times."""
    off = max(abs(ratio["simulated"] / ratio["measured"] - 1) for ratio in data["check"].values())
    return (
        "\n\nThe check simulates `benchmarks.throughput` with step times that were measured there. "
        "Sampling and reading share two cores, where they share a card here; a pass of the "
        "verifier has a time of its own, one per text and one per token. The ratios of times come "
        f"out to within {off:.0%}."
    )
