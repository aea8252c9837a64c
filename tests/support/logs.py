"""Logs of samples, invented here, and the files they are read from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from calibration.data.log_scores import LoggedScores
from calibration.data.sample_log import Log
from calibration.replay.log_replay import LoggedReplay
from calibration.replay.replay import REPLICATES
from calibration.sampling.collect import PlanRun, PromptRecord
from predictors.sample import Sample


def made_log(questions: int, samples: int, seed: int = 0, scored: bool = True) -> Log:
    """Questions of every difficulty; the right answer is common where they are easy."""
    rng = np.random.default_rng(seed)
    pass_at_1 = rng.beta(1, 1, questions)
    right = rng.random((questions, samples)) < pass_at_1[:, None]
    wrong = rng.integers(-1, 5, (questions, samples))
    answer = np.where(right, 0, np.where(wrong == 0, -1, wrong))
    score = np.clip(rng.normal(0.3 + 0.3 * right, 0.15), 0, 1) if scored else None
    scores = LoggedScores({} if score is None else {"score": score})
    return Log("made", "0", answer, scores, rng.integers(20, 90, answer.shape).astype(float), 0)


def replay_of(log: Log, replicates: int = REPLICATES, exact: bool = True) -> LoggedReplay:
    """A replay of a log whose votes are weighted by the first score, as logged."""
    return LoggedReplay(log, log.scores.first, replicates, exact)


def as_records(log: Log) -> list[PromptRecord]:
    """The same samples as records of solutions."""
    records, score = [], log.scores.first
    for q, answers in enumerate(log.answer):
        samples = tuple(
            Sample(
                steps=((7,) * int(log.tokens[q, i]),) if log.tokens is not None else ((7,),),
                text="",
                answer=None if a == -1 else str(a),
                step_scores=(0.0,) if score is None else (float(score[q, i]),),
                score=0.0 if score is None else float(score[q, i]),
                logprob=-1.0,
                ended=True,
            )
            for i, a in enumerate(answers)
        )
        run = PlanRun(samples, tuple(a == 0 for a in answers.tolist()), 0)
        records.append(PromptRecord(f"prompt {q}", "0", 5, run, ({},)))
    return records


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(questions: int, samples: int, seed: int = 0) -> list[dict[str, Any]]:
    log = made_log(questions, samples, seed)
    return [
        {
            "question": f"q{q}",
            "answer": "" if a == -1 else str(a),
            "gold": "0",
            "score": float(log.scores.values["score"][q, i]),
            "tokens": int(log.tokens[q, i]),  # type: ignore[index]
        }
        for q, answers in enumerate(log.answer)
        for i, a in enumerate(answers)
    ]
