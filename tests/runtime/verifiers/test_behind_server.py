"""Verifiers behind a real `vllm serve` on loopback, and behind faulty stand-ins of it."""

import asyncio
import base64
import json
import re
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from allocator.errors import InputError, ModelError
from benchmarks.testbed.paths import PRM, SETTINGS
from runtime.engines import servers
from runtime.engines.engine_args import given_args
from runtime.models import open_models
from runtime.verifiers.behind_server import PROBE, _request, serve_command
from runtime.verifiers.families import FAMILIES
from runtime.verifiers.loading import open_verifier
from runtime.verifiers.model_verifier import ModelVerifier
from runtime.verifiers.own_text import QwenPRM
from runtime.verifiers.shared_tokens import TokenClassification
from tests.support.checkpoints import make_verifier, own_tokenizer, solution
from tests.support.faulty_server import faulty
from tests.support.fork_server import vllm_serve
from tests.support.grown_scores import LINES, grown_scores
from tests.support.paths import ROOT
from tests.support.waiting import eventually_in_loop

pytestmark = pytest.mark.usefixtures("no_waiting")

Value = TypeVar("Value")
# Of `vllm serve`, whose default leaves it to the model.
CACHE = "--enable-prefix-caching"


def scored(
    folder: Path,
    tokenizer: Any,
    engine: str,
    work: Callable[[ModelVerifier], Awaitable[Value]],
    family: Any = "auto",
) -> Value:
    """What is done with a verifier, in an event loop of its own."""

    async def opened() -> Value:
        verifier = open_verifier(folder, tokenizer, family, engine)
        try:
            return await work(verifier)
        finally:
            verifier.close()

    return asyncio.run(opened())


def options(folder: Path, tokenizer: Any, family: str) -> list[str]:
    """What the command that starts the server has after the model's name."""
    own = tokenizer if FAMILIES[family].shares_tokens else own_tokenizer()
    command = serve_command(FAMILIES[family](own, tokenizer, folder), folder)
    assert command is not None
    program, serve, model, *found = shlex.split(command)
    assert (program, serve, model) == ("vllm", "serve", str(folder))
    return found


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen-prm", "sequence-classification", "math-shepherd"])
def test_a_family_scores_the_same_as_in_transformers(
    family: Any, tokenizer: Any, tmp_path: Path
) -> None:
    folder = make_verifier(family, tmp_path, tokenizer, 1024)

    async def grown(verifier: ModelVerifier) -> list[tuple[float, ...]]:
        return await grown_scores(verifier, tokenizer)

    expected = scored(folder, tokenizer, "transformers", grown, family)
    with vllm_serve(folder, *options(folder, tokenizer, family), CACHE) as url:
        # Then as two replicas: no score is remembered, and the server's cache holds every prefix.
        for engine in (url, f"{url},{url}/v1"):
            found = scored(folder, tokenizer, engine, grown, family)
            for there, here in zip(found, expected, strict=True):
                assert there == pytest.approx(here, abs=1e-3)
    assert len({score for scores in expected for score in scores}) > len(LINES)


@pytest.mark.vllm
@pytest.mark.slow
def test_a_server_that_gives_the_marks_alone_is_refused_with_the_right_command(
    tokenizer: Any, tmp_path: Path
) -> None:
    folder = make_verifier("qwen-prm", tmp_path, tokenizer, 1024)
    marks = ["--runner", "pooling", "--pooler-config", '{"task": "token_classify"}']
    command = shlex.join(["vllm", "serve", str(folder), *options(folder, tokenizer, "qwen-prm")])
    assert '"tok_pooling_type": "ALL"' in command
    refused = pytest.raises(
        InputError, match=re.escape(f"start the verifier's server with: {command}")
    )
    with vllm_serve(folder, *marks) as url, refused as raised:
        open_verifier(folder, tokenizer, engine=url)
    assert f"numbers for {len(PROBE)} tokens" in str(raised.value)


def logits(rows: Callable[[list[int]], list[float]]) -> Callable[[dict[str, Any]], bytes]:
    """Replies of `vllm serve` with some numbers for the tokens of a request."""

    def reply(body: dict[str, Any]) -> bytes:
        numbers = np.array(rows(body["input"]), "<f4").tobytes()
        return json.dumps({"data": [{"data": base64.b64encode(numbers).decode()}]}).encode()

    return reply


def by_token(tokens: list[int]) -> list[float]:
    """One label, told by the token."""
    return [token / 10 for token in tokens]


EACH = logits(by_token)


def expected(tokenizer: Any) -> list[float]:
    """The scores that these logits mean."""
    _, steps = solution(tokenizer)
    return [float(1 / (1 + np.exp(-step[-1] / 10))) for step in steps]


def score(classifier: Path, tokenizer: Any, engine: str) -> tuple[float, ...]:
    """The scores of a solution."""

    async def work(verifier: ModelVerifier) -> tuple[float, ...]:
        return (await verifier.score(*solution(tokenizer))).step_scores

    return scored(classifier, tokenizer, engine, work)


@pytest.mark.slow
@pytest.mark.parametrize("script", [[], [429], [500, 0, 503]])
def test_a_busy_or_failing_server_is_asked_again(
    script: list[int], classifier: Path, tokenizer: Any
) -> None:
    with faulty([200, *script], EACH) as (url, answered, bodies):
        assert score(classifier, tokenizer, url) == pytest.approx(expected(tokenizer))
        assert len(answered) == 2 + len(script)
    assert bodies[-1]["model"] == "testbed"
    assert (bodies[-1]["task"], bodies[-1]["use_activation"]) == ("token_classify", False)


@pytest.mark.slow
def test_all_that_is_sent_is_vllms() -> None:
    from vllm.entrypoints.pooling.pooling.protocol import PoolingCompletionRequest

    assert _request(PROBE).keys() <= PoolingCompletionRequest.model_fields.keys()


@pytest.mark.slow
def test_a_dead_replica_is_survived(
    classifier: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "PROBE_SECONDS", 0.001)

    async def check() -> None:
        with faulty([], EACH) as (last, _, _):
            with faulty([], EACH) as (first, _, _):
                # One of them would ask the first.
                orders = (f"{first},{last}", f"{last},{first}")
                verifiers = [open_verifier(classifier, tokenizer, engine=order) for order in orders]
            for verifier in verifiers:
                found = (await verifier.score(*solution(tokenizer))).step_scores
                assert found == pytest.approx(expected(tokenizer))
                assert verifier.alive
        await eventually_in_loop(lambda: not any(verifier.alive for verifier in verifiers))
        for verifier in verifiers:
            verifier.close()

    asyncio.run(check())


@pytest.mark.slow
def test_of_several_servers_those_that_serve_it_are_used(classifier: Path, tokenizer: Any) -> None:
    with faulty([], EACH, "owner/prm") as (url, _, bodies), faulty([], EACH) as (other, unused, _):
        open_verifier(classifier, tokenizer, engine=f"{other},{url}", served="prm")
    assert (bodies[0]["model"], unused) == ("owner/prm", [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "answer", "why"),
    [
        ([400], EACH, r"it refused the request \(400\)"),
        ([404], EACH, r"it refused the request \(404\)"),
        ([], logits(lambda tokens: by_token(tokens)[:-1]), "it gives 6 numbers for 7 tokens"),
        ([], logits(lambda tokens: []), "it gives 0 numbers for 7 tokens"),
        ([], logits(lambda tokens: by_token(tokens) * 3), "it gives 21 numbers for 7 tokens"),
        ([], b'{"choices": []}', "its reply is not a verifier's"),
        ([], b"[]", "its reply is not a verifier's"),
    ],
)
def test_a_server_started_otherwise_is_refused_when_it_is_opened(
    script: list[int], answer: Any, why: str, classifier: Path, tokenizer: Any
) -> None:
    refused = pytest.raises(InputError, match=rf"{why}.*: vllm serve \S+ --runner pooling")
    with faulty(script, answer) as (url, _, _), refused:
        open_verifier(classifier, tokenizer, engine=url)


@pytest.mark.slow
def test_a_head_of_too_few_labels_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    folder = make_verifier("qwen-prm", tmp_path, tokenizer, 256)
    refused = pytest.raises(InputError, match="its reply is not a verifier's")
    with faulty([], EACH) as (url, _, _), refused:
        open_verifier(folder, tokenizer, engine=url)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("later", "answer", "why"),
    [
        ([400], EACH, r"refused the request \(400\)"),
        ([500] * servers.TRIES, EACH, "no answer in 5 tries; the last: .*status 500"),
        # As from a server that reads its prefix cache.
        (
            [],
            logits(lambda tokens: by_token(tokens)[0 if len(tokens) == len(PROBE) else 2 :]),
            r"\d+ numbers for \d+ tokens of 1 labels; start the verifier's server with: vllm serve",
        ),
    ],
)
def test_what_fails_later_is_a_models_error(
    later: list[int], answer: Any, why: str, classifier: Path, tokenizer: Any
) -> None:
    failed = pytest.raises(ModelError, match=why)
    with faulty([200, *later], answer) as (url, _, _), failed:
        score(classifier, tokenizer, url)


@pytest.mark.parametrize("family", ["likelihood", "skywork-prm"])
def test_a_family_that_it_does_not_serve_is_refused_by_name(
    family: Any, tokenizer: Any, tmp_path: Path
) -> None:
    folder = make_verifier(family, tmp_path, tokenizer, 256)
    with pytest.raises(InputError, match=f"vllm serve does not serve {family}"):
        open_verifier(folder, tokenizer, family, "http://127.0.0.1:9")


def test_no_server_and_unknown_engines_are_clear_errors(classifier: Path, tokenizer: Any) -> None:
    with pytest.raises(InputError, match=r"verifier engine: .*no OpenAI-compatible server answers"):
        open_verifier(classifier, tokenizer, engine="http://127.0.0.1:9")
    with pytest.raises(InputError, match="choose auto, vllm or transformers, or give the URL"):
        open_verifier(classifier, tokenizer, engine="tensorrt")
    with pytest.raises(InputError, match=r"verifier_args: .*and this is http://127\.0\.0\.1:9"):
        given_args(None, {"device_ids": [1]}, verifier_engine="http://127.0.0.1:9")


@pytest.mark.slow
def test_opening_says_where_the_verifier_is(
    run: Any, classifier: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = SETTINGS.model_copy(update={"verifier": str(classifier)})

    async def opened(url: str) -> int | None:
        async with open_models(settings, Path(), "transformers", url) as models:
            return models.verifier.context_length  # type: ignore[attr-defined,no-any-return]

    caplog.set_level("INFO", logger="ttc.models")
    with faulty([], EACH) as (url, _, _):
        assert run(opened(url)) == 256
        assert f"verifier {classifier.name}: servers at {url}" in caplog.text


def test_the_documentation_has_the_commands(tokenizer: Any) -> None:
    page = (ROOT / "docs" / "gpu.md").read_text()
    for made in (QwenPRM, TokenClassification):
        command = serve_command(made(tokenizer, tokenizer, PRM), Path("MODEL"))
        assert command is not None
        (_, given) = command.split("--runner pooling ")
        assert f"| `{given}` |" in page


def test_the_command_of_a_name_is_for_a_shell(tokenizer: Any) -> None:
    family = TokenClassification(tokenizer, tokenizer, PRM)
    assert serve_command(family, Path("owner/my prm")) == (
        "vllm serve 'owner/my prm' --runner pooling "
        """--pooler-config '{"task": "token_classify"}'"""
    )
