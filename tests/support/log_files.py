"""Files of samples as other programs write them, made by those programs' own code."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def lm_eval_file(
    folder: Path, docs: Sequence[dict[str, str]], texts: Sequence[Sequence[str]]
) -> Path:
    """``lm_eval --log_samples`` on a task of two filters, with a model of known texts.

    Args:
        folder: where it is written.
        docs: each with a ``question`` and an ``answer``.
        texts: the repeats of each document, in order.
    """
    from lm_eval.api.model import LM
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.evaluator import evaluate
    from lm_eval.loggers import EvaluationTracker

    class Recorded(LM):
        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            # The requests of one document follow each other.
            repeats = len(texts[0])
            return [texts[request.doc_id][i % repeats] for i, request in enumerate(requests)]

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            raise NotImplementedError

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            raise NotImplementedError

    (folder / "docs.json").write_text(json.dumps(docs))
    number = {"function": "regex", "regex_pattern": r"(\d+)"}
    first = {"function": "take_first"}
    task = ConfigurableTask(
        config={
            "task": "sums",
            "dataset_path": "json",
            "dataset_kwargs": {
                "data_files": {"test": str(folder / "docs.json")},
                "cache_dir": str(folder / "cache"),
            },
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "{{question}}",
            "doc_to_target": "{{answer}}",
            "repeats": len(texts[0]),
            "generation_kwargs": {"until": ["\n\n"], "do_sample": True, "temperature": 1.0},
            "metric_list": [{"metric": "exact_match"}],
            "filter_list": [
                {"name": "score-first", "filter": [number, first]},
                {"name": "maj@8", "filter": [number, {"function": "majority_vote"}, first]},
            ],
        }
    )
    found = evaluate(Recorded(), {"sums": task}, bootstrap_iters=0, log_samples=True)
    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.model_name_sanitized = "recorded"
    tracker.date_id = "2026-01-01T00-00-00"
    tracker.save_results_samples("sums", found["samples"]["sums"])
    return folder / "recorded" / "samples_sums_2026-01-01T00-00-00.jsonl"


def search_and_learn_row(
    problem: str, answer: str, completions: Sequence[str], scores: Sequence[Sequence[float]]
) -> dict[str, Any]:
    """A row of ``best_of_n_completions.jsonl``, on a row of MATH-500."""
    last = [steps[-1] for steps in scores]
    pred = completions[last.index(max(last))]
    return {
        "problem": problem,
        "solution": rf"It is \boxed{{{answer}}}.",
        "answer": answer,
        "subject": "Algebra",
        "level": 2,
        "unique_id": f"test/algebra/{problem}.json",
        "completions": list(completions),
        "scores": [list(steps) for steps in scores],
        "pred": pred,
        "completion_tokens": [len(text.split()) for text in completions],
        "agg_scores": last,
        "pred_maj@1": completions[0],
    }


def batch_row(
    custom_id: str, texts: Sequence[str | None], tokens: int = 9, reason: str = "stop"
) -> dict[str, Any]:
    """A row of an OpenAI batch's output, with a choice for each text."""
    from openai.types.chat import ChatCompletion

    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": text},
            "logprobs": None,
            "finish_reason": reason,
        }
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens}
    body = ChatCompletion.model_validate(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1711652795,
            "model": "gpt-4o-mini",
            "choices": choices,
            "usage": usage,
        }
    )
    return {
        "id": f"batch_req_{custom_id}",
        "custom_id": custom_id,
        "response": {
            "status_code": 200,
            "request_id": "req_1",
            "body": body.model_dump(mode="json"),
        },
        "error": None,
    }


def failed_batch_row(custom_id: str, status: int | None = None) -> dict[str, Any]:
    """A request that failed with an HTTP status, or that expired."""
    if status is None:
        error = {"code": "batch_expired", "message": "not executed in the completion window"}
        return {"id": "batch_req_1", "custom_id": custom_id, "response": None, "error": error}
    response = {"status_code": status, "request_id": "", "body": {"error": {"message": "no"}}}
    return {"id": "batch_req_1", "custom_id": custom_id, "response": response, "error": None}
