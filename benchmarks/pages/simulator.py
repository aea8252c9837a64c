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
        "each card. Steps and solutions are as long as those of Llama-3.1-8B on MATH-500. "
        f"{data['prompts']:,} prompts on {data['cards']} cards, N = 16, M = 4, 64 in flight per "
        "card; with 256 beams 64 prompts on one card. Tokens are totals."
    )


def _why(data: Data) -> str:
    """Where the time of beam search goes, beside that of best-of-N."""
    done, step = data["contenders"], data["step"]["fixed"]
    beams, best = done["beam search"], done["best-of-N, scored"]

    def fixed(key: str) -> str:
        return f"{(beams[key] - best[key]) * step / data['cards']:.1f}"

    return (
        f"Beam search takes {beams['seconds'] - best['seconds']:.1f} seconds more than best-of-N: "
        f"{fixed('policy_steps')} for the fixed time of more steps of the policy, as every round "
        "waits for its longest step and batches are small at the end, and "
        f"{fixed('verifier_steps')} for that of more passes of the verifier, to which beams come "
        "one by one. Lockstep search and its_hub are slower mostly because their verifier reads "
        "every text from its start, as published. its_hub scores a round's beams together, which "
        f"takes fewer passes: {done['its_hub beam search']['verifier_steps']:,} of the verifier, "
        f"where there are {beams['verifier_steps']:,} here. With 256 beams, all prompts at once "
        "read evicted prefixes again; a quarter of them at once read less, but fill the card less."
    )
