"""Learning from traffic: recalibration on what was recorded, and artifacts replaced under load.

    python -m benchmarks.traffic [--seconds 120] [--only recalibration|load]

The load is on a real server with vLLM, 64 clients, while it records. Ten minutes on 2 cores. Writes
out/traffic.json; with --only, into what that has of the other part.
"""

import argparse
import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.serving.load import CLIENTS
from benchmarks.serving.processes import Serving, ttc_serve
from benchmarks.targets import Part, between, once, run_parts
from benchmarks.testbed.paths import BASE
from benchmarks.testbed.task import distinct_problems
from benchmarks.traffic.recalibration import recalibrated
from benchmarks.traffic.replacing import artifact_at, expected, replaced_under_load
from calibration.report.targets import Target, reported

SEED, PROMPTS = 67, 64
# Of the testbed's rows that take no pilots: prompts asked again would be called drift.
BUDGETS, WITHOUT = (1, 4, 16), (12, 16)


def recalibration() -> tuple[dict[str, Any], list[Target]]:
    """Tables from recorded traffic beside the original, and beside one of graded samples."""
    with TemporaryDirectory() as scratch:
        found = recalibrated(Path(scratch))
    targets = []
    for each in found:
        last, truth = each.whole[-1], each.truth[-1]
        name = f"feedback on {each.feedback:.0%} of the prompts"
        worse = f"{name}: budgets at which the table is clearly worse than the original"
        targets += [
            between(worse, once(len(each.worse)), 0, 0),
            reported(
                f"{name}: accuracy at budget {last.budget} less the original's",
                (last.difference, last.low, last.high),
            ),
            reported(
                f"{name}: the same less that of graded samples",
                (truth.difference, truth.low, truth.high),
            ),
        ]
    return {"tables": [asdict(each) for each in found]}, targets


def under_load(seconds: float) -> tuple[dict[str, Any], list[Target]]:
    """Two replacements under load; every answer must be one that its own prompt can get."""
    prompts = [problem.text for problem in distinct_problems("test", PROMPTS, SEED)]
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        other, back = artifact_at(folder / "other", WITHOUT), artifact_at(folder / "back")
        with _recording(folder / "first") as serving:
            known = asyncio.run(expected(serving.url, BASE.name, prompts, BUDGETS, [other]))
        with _recording(folder / "second") as serving:
            load = asyncio.run(
                replaced_under_load(
                    serving.url, BASE.name, prompts, BUDGETS, [other, back], seconds
                )
            )
            counts = _counts(serving.url)
    p50, p99 = np.percentile(load.seconds, [50, 99])
    answered_by = {label: n for (name, label), n in counts.items() if name == "prompts"}
    lines = {outcome: n for (name, outcome), n in counts.items() if name == "lines"}
    data = {
        "clients": CLIENTS,
        "seconds": load.lasted,
        "budgets": BUDGETS,
        "sent": load.sent,
        "answered": load.answered,
        "errors": dict(load.errors),
        "answered by": answered_by,
        "recorded lines": lines,
    }
    lost = load.lost + load.errors.total()
    return data, [
        between("artifacts that answered", once(len(answered_by)), 3, 3),
        between("requests lost or failed", once(lost), 0, 0),
        between("answers duplicated", once(load.duplicated), 0, 0),
        between("answers crossed: none that the prompt can get", once(load.unlike(known)), 0, 0),
        between(
            "answers that no artifact is counted with",
            once(load.answered - sum(answered_by.values())),
            0,
            0,
        ),
        between(
            "recorded lines dropped or failed", once(sum(lines.values()) - lines["written"]), 0, 0
        ),
        reported("seconds per request, median", once(float(p50))),
        reported("seconds per request, 99th percentile", once(float(p99))),
        reported("requests a second", once(load.answered / load.lasted)),
    ]


@contextmanager
def _recording(folder: Path) -> Iterator[Serving]:
    """`ttc serve` while it records into a folder."""
    environment = {"TTC_RECORD": str(folder), "TTC_RECORD_SHARE": "0.25"}
    with ttc_serve(environment=environment) as serving:
        yield serving


def _counts(url: str) -> dict[tuple[str, str], float]:
    """Prompts by artifact, and lines by what became of them."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    kinds = {
        "ttc_artifact_prompts_total": ("prompts", "artifact"),
        "ttc_recorded_lines_total": ("lines", "outcome"),
    }
    return {
        (kinds[sample.name][0], sample.labels[kinds[sample.name][1]]): sample.value
        for sample in samples
        if sample.name in kinds
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="of the load")
    parser.add_argument("--only", choices=["recalibration", "load"])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for traffic.json")
    options = parser.parse_args()
    parts: dict[str, Part] = {
        "recalibration": recalibration,
        "load": lambda: under_load(options.seconds),
    }
    run_parts(options.out / "traffic.json", parts, options.only, SEED)


if __name__ == "__main__":
    main()
