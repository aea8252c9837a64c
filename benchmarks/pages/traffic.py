"""Learning from traffic: recalibrated tables, and artifacts replaced under load."""

from benchmarks.pages.tables import Data, measured_by, targets

COMMAND = "python -m benchmarks.traffic"


def full(traffic: Data) -> str:
    """The load in words, and every figure."""
    load = traffic["load"]
    answered = " and ".join(f"{count:,.0f}" for count in load["answered by"].values())
    return "\n\n".join(
        (
            measured_by(COMMAND, traffic),
            f"{load['clients']} clients for {load['seconds']:.0f} seconds, recorded, while the "
            f"artifact was replaced twice: the three answered {answered} of {load['sent']:,} "
            "requests. Tables are fitted on recorded best-of-N traffic of the testbed, for which "
            "feedback gives some of the answers' correctness and the verifier's calibrated score "
            "the rest. The original is one of the same samples' kind: fitted on the calibration "
            "prompts' graded solutions, without searches.",
            targets(traffic["targets"]),
        )
    )
