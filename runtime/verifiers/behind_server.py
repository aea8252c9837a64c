"""Verifiers behind `vllm serve --runner pooling`: one server, or several replicas of it."""

import base64
import json
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from allocator.errors import InputError, ModelError
from runtime.engines.servers import Servers
from runtime.verifiers.layout import Family, Layout
from runtime.verifiers.pacing import ReadPacer

FIELD = "verifier engine"
PATH = "pooling"
# What is read of every server when it is opened: a number of tokens that no wrong number of rows,
# of one or two labels each, can be taken for.
PROBE = (1, 2, 3, 4, 5, 6, 7)


def serve_command(family: Family, folder: Path) -> str | None:
    """The `vllm serve` that gives a verifier's logits at every token.

    Args:
        family: the verifier's.
        folder: its model's folder, or a name on the Hub whose family needs no configuration.

    Returns:
        A shell's command line; None where `vllm serve` does not serve the family.
    """
    args = family.vllm_args(folder)
    # A server would not know an architecture that is registered here.
    if args is None or "worker_extension_cls" in args:
        return None
    # By itself a server pools for one task alone: of a classifier, for whole texts.
    args["pooler_config"] = {"task": "token_classify"} | args.get("pooler_config", {})
    words = ["vllm", "serve", str(folder), "--runner", "pooling"]
    for name, value in args.items():
        words += [f"--{name.replace('_', '-')}", json.dumps(value)]
    return shlex.join(words)


class ServerBackend:
    """Reads a family's model through the pooling endpoint of one or more `vllm serve`.

    Every text is run over whole, on the less busy of two replicas: vLLM leaves the prefix cache
    unread for per-token pooling, and over HTTP nothing else can be requested. Texts that come
    within a short while go together: see `runtime.verifiers.pacing`.

    Args:
        urls: where the replicas are, as ``http://host:8000``.
        folder: the model's, for what the server has to be started with.
        family: how it is read.
        name: the family's name.
        served: see `runtime.engines.servers.Servers`.

    Attributes:
        context_length: tokens that the model reads at most.
        resources: where it runs, in words.

    Raises:
        InputError: a family that `vllm serve` does not serve, a server that does not answer, or one
            that was started otherwise than `serve_command` says.
    """

    def __init__(
        self,
        urls: Sequence[str],
        folder: Path,
        family: Family,
        name: str,
        served: str | None = None,
    ) -> None:
        command = serve_command(family, folder)
        if command is None:
            hint = f"vllm serve does not serve {name}; leave it at auto"
            raise InputError(FIELD, ",".join(urls), hint)
        self._family, self._hint = family, f"start the verifier's server with: {command}"
        self._servers, self._pacer = Servers(FIELD, urls, served), ReadPacer()
        self.context_length = self._servers.context_length
        self.resources = self._servers.resources
        for url, status, text in self._servers.each(PATH, _request(PROBE)):
            self._labels = self._check(url, status, text)

    def _check(self, url: str, status: int, text: str) -> int:
        """How many labels a server gives for every token of the probe.

        Raises:
            InputError: it does not give the family's.
        """
        why = f"it refused the request ({status}): {text[:300]}"
        if status == 200:
            try:
                numbers = _numbers(text)
                labels, rest = divmod(len(numbers), len(PROBE))
                why = f"it gives {len(numbers)} numbers for {len(PROBE)} tokens"
                if rest == 0 and labels in (1, 2):
                    self._family.probability(torch.from_numpy(numbers.reshape(-1, labels)))
                    return labels
            except (ValueError, KeyError, TypeError, IndexError) as error:
                why = f"its reply is not a verifier's ({type(error).__name__} {error})"
        raise InputError(FIELD, url, f"{why}; {self._hint}")

    async def read(self, layout: Layout) -> tuple[tuple[float, ...], int]:
        """Probabilities at the places, and the tokens run over.

        Raises:
            ModelError: no server answers, one refuses the request, or one does not give a row for
                every token.
        """
        tokens = layout.token_ids
        rows = partial(self._rows, len(tokens))
        post = partial(self._servers.post, PATH, _request(tokens), tokens, rows)
        _, found = await self._pacer.read(post)
        scores = self._family.probability(found[list(layout.score_positions)])
        return tuple(scores.tolist()), len(tokens)

    def _rows(self, tokens: int, text: str) -> torch.Tensor:
        """The labels of every token, as a reply has them."""
        try:
            numbers = _numbers(text)
        except (ValueError, KeyError, TypeError) as error:
            what = f"a reply without the fields of vLLM ({type(error).__name__} {error})"
            raise ModelError("verifier", f"{what}: {text[:300]}; {self._hint}") from error
        if len(numbers) != tokens * self._labels:
            what = f"{len(numbers)} numbers for {tokens} tokens of {self._labels} labels"
            raise ModelError("verifier", f"{what}; {self._hint}")
        return torch.from_numpy(numbers.reshape(tokens, self._labels))

    @property
    def alive(self) -> bool:
        """Whether any of the servers answers; see `runtime.engines.servers.Servers.alive`."""
        return self._servers.alive

    def close(self) -> None:
        """Close the connections."""
        self._servers.close()


def _request(token_ids: Sequence[int]) -> dict[str, Any]:
    """A request for the logits of every token, in 32-bit floats."""
    return {
        "input": list(token_ids),
        "task": "token_classify",
        "use_activation": False,
        "encoding_format": "base64",
        "embed_dtype": "float32",
        "endianness": "little",
    }


def _numbers(text: str) -> NDArray[np.float32]:
    """What a reply holds for all tokens and labels, one after the other."""
    (item,) = json.loads(text)["data"]
    return np.frombuffer(base64.b64decode(item["data"]), "<f4").astype(np.float32)
