"""How long a step of an engine takes: published figures of an H100, and a fit of them.

A step costs a fixed time (weights are read, kernels are launched), and further time per decoding
sequence, per token of KV cache that those sequences attend to, and per token that is prefilled.
The four are fitted, as none is below 0, to what NVIDIA publishes of Llama-3.1-8B with FP8 weights
and KV cache on one H100:

- `H100_SXM`: "Llama 3.1 8B", column "H100 TP1 (FP8)" of NVIDIA, TensorRT-LLM "Overview" of
  performance (github.com/NVIDIA/TensorRT-LLM, docs/source/performance/perf-overview.md, read at
  commit 00f37686): output tokens a second at maximum load, by input and output length.
- `H100_NIM`: "Llama-3.1-8b-instruct", version 1.8.0, of NVIDIA, "Performance" in "NIM for LLM
  benchmarking" (docs.nvidia.com/nim/benchmarking/llm/1.0.0/performance): milliseconds between
  tokens, by concurrency, of short requests. Its tokens a second and times to the first token agree
  with outputs of 200 tokens; inputs of 200 are assumed. Used up to 25 requests, where prefill and
  the server hardly count: this is where the fixed time shows.

What stands against it, as it was not used: "1st Token Latency" of LLaMA 7B in FP8 on H100 in
NVIDIA, "Performance of TensorRT-LLM" (docs/source/performance.md, commit 138f96d4): 7 ms for 128
tokens, 36 ms for 2,048, which is 15 microseconds a token and 5 ms fixed (`FIRST_TOKEN`).

A verifier of about that size reads at the rate of prefill; it does not decode. Left out: attention
of prefill to its own prefix, and the time of servers and clients between steps.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

# (input tokens, output tokens): output tokens a second.
H100_SXM = {
    (128, 128): 28_312,
    (128, 2048): 22_714,
    (128, 4096): 14_325,
    (500, 2000): 17_660,
    (1000, 1000): 15_220,
    (1000, 2000): 13_899,
    (2048, 128): 3_450,
    (2048, 2048): 9_305,
    (5000, 500): 3_459,
    (20000, 2000): 1_351,
}
# Requests at once: milliseconds between tokens.
H100_NIM = {1: 4.63, 5: 4.58, 25: 5.19}
NIM_INPUT, NIM_OUTPUT = 200, 200
# Input tokens: milliseconds to the first token, of a model like it.
FIRST_TOKEN = {128: 7.0, 2048: 36.0}

# Llama-3.1-8B in FP8: 32 layers of 8 heads of 128, keys and values.
KV_BYTES = 2 * 32 * 8 * 128
WEIGHT_BYTES = 8.03e9
CARD_BYTES = 80e9
# At maximum load the KV cache is full: 90% of the card is used, as the page says.
USED = 0.9


@dataclass(frozen=True)
class StepTimes:
    """Seconds of a step.

    Attributes:
        fixed: of every step.
        per_sequence: of each sequence that decodes.
        per_kv_token: of each token in the KV cache of those.
        per_new_token: of each token that is read at once: prefill, and a verifier's.
        per_request: of each request that begins.
    """

    fixed: float
    per_sequence: float
    per_kv_token: float
    per_new_token: float
    per_request: float = 0.0

    def step(self, decoding: int, kv_tokens: int, new_tokens: int, begun: int = 0) -> float:
        """Seconds of one step.

        Args:
            decoding: sequences that decode a token each.
            kv_tokens: tokens that they attend to, in all.
            new_tokens: tokens that are read at once.
            begun: requests that begin with it.
        """
        return (
            self.fixed
            + decoding * self.per_sequence
            + kv_tokens * self.per_kv_token
            + new_tokens * self.per_new_token
            + begun * self.per_request
        )


@dataclass(frozen=True)
class EngineShape:
    """How an engine is set up.

    Attributes:
        times: of its steps.
        kv_tokens: tokens that its KV cache holds.
        max_sequences: requests that run at once; vLLM's ``max_num_seqs``.
        max_new_tokens: tokens of a step; vLLM's ``max_num_batched_tokens``.
        block: tokens of a block.
        chunked: whether a prefill may be split over steps.
    """

    times: StepTimes
    kv_tokens: int
    max_sequences: int = 1024
    max_new_tokens: int = 8192
    block: int = 16
    chunked: bool = True


def kv_tokens(share: float) -> int:
    """Tokens that fit the KV cache of a model that has this share of a card, weights included."""
    return int((share * CARD_BYTES - WEIGHT_BYTES) / KV_BYTES)


def published() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What was published, as equations.

    Returns:
        Shapes (figures, 4) and (figures,): how many of each part of a step go into an output token,
        and the seconds it took.
    """
    rows, seconds = [], []
    for (read, written), rate in H100_SXM.items():
        held = read + written / 2
        rows.append((held / kv_tokens(USED), 1.0, held, read / written))
        seconds.append(1 / rate)
    for at_once, milliseconds in H100_NIM.items():
        held = NIM_INPUT + NIM_OUTPUT / 2
        rows.append((1 / at_once, 1.0, held, NIM_INPUT / NIM_OUTPUT))
        seconds.append(milliseconds / 1000 / at_once)
    return np.array(rows), np.array(seconds)


@lru_cache(1)
def h100() -> StepTimes:
    """The fit; all figures weigh alike in relative terms."""
    rows, seconds = published()
    found, _ = nnls(rows / seconds[:, None], np.ones(len(seconds)))
    return StepTimes(*map(float, found))
