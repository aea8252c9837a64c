"""Options and log-probabilities of tokens over HTTP: as from the engine in process."""

from dataclasses import replace
from typing import Any

import pytest

from allocator.errors import ModelError
from benchmarks.testbed.paths import ARTIFACT, BASE, SETTINGS
from predictors.token_logprobs import PlaceLogprobs, TokenLogprob
from runtime.artifact import Artifact
from runtime.engines import vllm_requests
from runtime.engines.base import Completion, encode_prompt
from runtime.engines.openai import USUAL_LOGPROBS, OpenAIEngine
from runtime.engines.token_options import HasTokenOptions, TokenOptions
from runtime.engines.vllm_requests import REPETITION
from runtime.models import Models
from runtime.server.service import Service
from runtime.server.settings import ServeSettings
from tests.support.faulty_server import MAX_LOGPROBS, faulty
from tests.support.serving import Loaded, asked

PROBLEM = "347+58*7-91"
SEVEN = 12


def same(one: PlaceLogprobs | None, other: PlaceLogprobs | None, ranks: bool) -> None:
    """That two engines give the same tokens, in the same order, the same log-probabilities."""
    if one is None or other is None:
        assert one is other
        return
    assert list(one) == list(other)
    for token, found in one.items():
        assert found.logprob == pytest.approx(other[token].logprob, abs=1e-4)
        assert found.text == other[token].text
        assert found.rank == (other[token].rank if ranks else None)


@pytest.mark.parametrize(
    ("options", "stop"),
    [
        (TokenOptions(logprobs=3), ()),
        (TokenOptions(logprobs=0), ("=",)),
        (TokenOptions(logprobs=2, logprob_token_ids=(3, 4)), ()),
        (TokenOptions(logprobs=1, min_tokens=50), ("\n", "=")),
        (TokenOptions(logprobs=1, ignore_eos=True), ()),
        (TokenOptions(logprobs=1, logit_bias=((SEVEN, 5.0),)), ()),
        (TokenOptions(logprobs=1, allowed_token_ids=(6, 7, 8)), ()),
        (TokenOptions(priority=-3), ()),
    ],
    ids=str,
)
def test_a_server_samples_and_tells_what_the_engine_in_process_does(
    run: Any, server: str, vllm_models: Models, options: TokenOptions, stop: tuple[str, ...]
) -> None:
    async def both() -> list[tuple[Completion, Completion]]:
        engine = OpenAIEngine([server], BASE)
        found = []
        for seed in range(3):
            ids = encode_prompt(engine, PROBLEM)
            how: Any = {"settings": SETTINGS.sampling, "max_tokens": 60, "seed": seed, "stop": stop}
            remote = await engine.complete(ids, **how, options=options)
            local: Any = vllm_models.engine
            found.append((remote, await local.complete(ids, **how, options=options)))
        engine.close()
        return found

    for remote, local in run(both()):
        assert replace(remote, logprobs=None, logprob=0.0, cached_tokens=0) == replace(
            local, logprobs=None, logprob=0.0, cached_tokens=0
        )
        assert remote.logprob == pytest.approx(local.logprob, abs=1e-3)
        if options.logprobs is None:
            assert remote.logprobs is local.logprobs is None
            continue
        assert remote.logprobs is not None
        assert local.logprobs is not None
        for one, other in zip(remote.logprobs, local.logprobs, strict=True):
            same(one, other, ranks=False)
        sampled = zip(remote.token_ids, remote.logprobs, strict=True)
        assert all(next(iter(place)) == token for token, place in sampled)


def test_a_server_reads_a_text_as_the_engine_in_process_does(
    run: Any, server: str, vllm_models: Models
) -> None:
    async def both() -> Any:
        local: Any = vllm_models.engine
        engine = OpenAIEngine([server], BASE)
        assert isinstance(engine, HasTokenOptions)
        limits = [(each.max_logprobs, each.vocabulary_size) for each in (engine, local)]
        assert limits[0] == limits[1]
        ids = encode_prompt(engine, PROBLEM)
        found = [await each.text_logprobs(ids, 2) for each in (engine, local)]
        engine.close()
        return found

    remote, local = run(both())
    assert remote[0] is None
    for one, other in zip(remote, local, strict=True):
        same(one, other, ranks=True)


def test_a_thought_in_circles_is_ended_there_as_in_process(
    run: Any, server: str, vllm_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The model reads 256 tokens: of a real one's rule, the pattern's size alone.
    monkeypatch.setattr(vllm_requests, "LONG", 100)
    monkeypatch.setattr(vllm_requests, "REPETITION", REPETITION | {"min_count": 2})

    async def both(thought: bool) -> list[Completion]:
        remote = OpenAIEngine([server], BASE)
        options = TokenOptions(allowed_token_ids=(SEVEN,))
        how: Any = {"settings": SETTINGS.sampling, "max_tokens": 100, "seed": 1, "options": options}
        ids = encode_prompt(remote, PROBLEM)
        engines: Any = (remote, vllm_models.engine)
        found = [await engine.complete(ids, **how, thought=thought) for engine in engines]
        remote.close()
        return found

    for completion in run(both(thought=True)):
        assert completion.token_ids == (SEVEN,) * 66
        assert completion.repeating
        assert (completion.ended, completion.stopped_by) == (False, None)
    for completion in run(both(thought=False)):
        assert (len(completion.token_ids), completion.repeating) == (100, False)


@pytest.mark.parametrize("budget", [1, 16])
def test_ttc_serve_answers_the_same_in_front_of_it(
    run: Any, server: str, vllm_models: Models, budget: int
) -> None:
    body = {
        "messages": [{"role": "user", "content": PROBLEM}],
        "logprobs": True,
        "top_logprobs": 2,
        "prompt_logprobs": 1,
        "min_tokens": 45,
        "priority": 1,
        "return_token_ids": True,
        "ttc": {"budget": budget},
    }

    async def answered(models: Models) -> Any:
        service = Service(ServeSettings(artifact=ARTIFACT, port=0), Artifact.load(ARTIFACT))
        service.open(Loaded(models))
        return await asked(service, body)

    async def both() -> Any:
        engine = OpenAIEngine([server], BASE)
        found = [await answered(replace(vllm_models, engine=engine)), await answered(vllm_models)]
        engine.close()
        return found

    remote, local = (reply.json() for reply in run(both()))
    one, other = remote["choices"][0], local["choices"][0]
    assert len(one["logprobs"]["content"]) == len(one["token_ids"]) >= 45
    assert (one["token_ids"], one["finish_reason"]) == (other["token_ids"], other["finish_reason"])
    for mine, theirs in zip(one["logprobs"]["content"], other["logprobs"]["content"], strict=True):
        pairs = zip([mine, *mine["top_logprobs"]], [theirs, *theirs["top_logprobs"]], strict=True)
        for place, expected in pairs:
            assert (place["token"], place["bytes"]) == (expected["token"], expected["bytes"])
            assert place["logprob"] == pytest.approx(expected["logprob"], abs=1e-4)
    assert len(remote["prompt_logprobs"]) == len(remote["prompt_token_ids"])
    for mine, theirs in zip(remote["prompt_logprobs"], local["prompt_logprobs"], strict=True):
        assert (mine is None) == (theirs is None)
        for token, place in (mine or {}).items():
            assert place == theirs[token] | {
                "logprob": pytest.approx(theirs[token]["logprob"], abs=1e-4)
            }


REPLY = b"""{"choices": [{"index": 0, "finish_reason": "stop", "token_ids": [12], "logprobs": {
    "token_logprobs": [-0.5], "top_logprobs": [{"token_id:12": -0.5, "token_id:999": -9999.0}]}}]}
"""


@pytest.mark.slow
def test_a_token_above_the_vocabulary_has_no_text(run: Any) -> None:
    async def completed(url: str) -> Completion:
        engine = OpenAIEngine([url], BASE)
        try:
            return await engine.complete(
                [1, 2],
                settings=SETTINGS.sampling,
                max_tokens=5,
                seed=0,
                options=TokenOptions(logprobs=1, priority=4),
            )
        finally:
            engine.close()

    with faulty([], REPLY) as (url, _, bodies):
        (place,) = run(completed(url)).logprobs
    assert place == {SEVEN: TokenLogprob(-0.5, None, "7"), 999: TokenLogprob(-9999.0, None, "")}
    assert bodies[0]["priority"] == 4


@pytest.mark.slow
def test_the_fewest_log_probabilities_of_all_replicas_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with faulty([], REPLY) as (url, _, _), faulty([], REPLY) as (other, _, _):
        assert OpenAIEngine([url, other], BASE).max_logprobs == MAX_LOGPROBS
        monkeypatch.setattr("tests.support.faulty_server.TOO_MANY", "too many")
        assert OpenAIEngine([url], BASE).max_logprobs == USUAL_LOGPROBS


@pytest.mark.slow
def test_a_reply_without_them_is_a_clear_error(run: Any) -> None:
    async def read(url: str) -> None:
        engine = OpenAIEngine([url], BASE)
        try:
            await engine.text_logprobs([1, 2], 0)
        finally:
            engine.close()

    unread = pytest.raises(ModelError, match="a reply without vllm serve's fields")
    with faulty([], REPLY) as (url, _, _), unread:
        run(read(url))
