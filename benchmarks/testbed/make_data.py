"""Write the calibration prompts: data/calibration.jsonl, with their right answers.

    python -m benchmarks.testbed.make_data

The test prompts are written by `benchmarks.testbed.measure`, with their oracle difficulty.
"""

import json

from benchmarks.testbed.paths import CALIBRATION_PROMPTS
from benchmarks.testbed.task import distinct_problems

CALIBRATION_SEED, PROMPTS = 4, 400


def main() -> None:
    rows = [
        {"prompt": p.text, "answer": p.answer}
        for p in distinct_problems("calibration", PROMPTS, CALIBRATION_SEED)
    ]
    CALIBRATION_PROMPTS.parent.mkdir(exist_ok=True)
    CALIBRATION_PROMPTS.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
