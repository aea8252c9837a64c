"""optillm's approaches, run by the interpreter of its own environment.

Reads a job a line from stdin, writes a reply a line to stdout (see `worker`). Imports nothing of
this repository. An approach answers one prompt at a time and blocks; as in its own server, prompts
have a thread each.
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openai import OpenAI
from optillm.bon import best_of_n_sampling
from optillm.plugins.majority_voting_plugin import run as majority_voting
from optillm.self_consistency import AdvancedSelfConsistency

THREADS = 64


def approach(job: dict[str, Any], client: OpenAI) -> Callable[[str], str]:
    """What answers a prompt: without a system prompt, as the task has none."""
    model, budget = job["model"], job["budget"]
    config = {
        "max_tokens": job["max_tokens"],
        "temperature": job["temperature"],
        "k": budget,
    }

    def best_of_n(prompt: str) -> str:
        text, _ = best_of_n_sampling("", prompt, client, model, n=budget, request_config=config)
        return str(text)

    def self_consistency(prompt: str) -> str:
        # Its server always takes five samples.
        voting = AdvancedSelfConsistency(client, model, budget, request_config=config)
        clusters = voting.evaluate("", prompt)["aggregated_result"]["clusters"]
        return str(clusters[0]["answer"]) if clusters else ""

    def voted(prompt: str) -> str:
        text, _ = majority_voting("", prompt, client, model, config)
        return str(text)

    return {
        "best-of-N": best_of_n,
        "self-consistency": self_consistency,
        "majority voting": voted,
    }[job["method"]]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """All prompts, a thread each; what was chosen, how many solutions, and the seconds."""
    client = OpenAI(base_url=f"{job['url']}/v1", api_key="none", max_retries=0)
    answer = approach(job, client)
    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        texts = list(pool.map(answer, job["prompts"]))
    return {
        "seconds": time.perf_counter() - started,
        "texts": texts,
        "generations": [job["budget"]] * len(texts),
    }


def main() -> None:
    # Its own messages go to stderr; stdout is for replies.
    replies, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        try:
            reply = run(json.loads(line))
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
