"""The OpenAI-compatible engine against a real `vllm serve` on loopback, and against faulty ones."""

import asyncio
import json
import pickle
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from math import isnan
from typing import Any

import pytest

from allocator.errors import InputError, ModelError
from allocator.plan import Plan
from benchmarks.serving.processes import free_port
from benchmarks.testbed.paths import BASE, REQUEST_SETTINGS, SETTINGS
from runtime.engines import servers
from runtime.engines.base import Completion, encode_prompt
from runtime.engines.openai import SEQUENCES, OpenAIEngine
from runtime.engines.token_options import TokenOptions
from runtime.engines.vllm import VLLMEngine
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.strategies import STRATEGIES
from runtime.verifiers.model_verifier import ModelVerifier
from tests.support.faulty_server import HANGS, faulty
from tests.support.generation_config import ADVERSE
from tests.support.waiting import eventually_in_loop

pytestmark = pytest.mark.usefixtures("no_waiting")

LONG = "1" + "+1" * 60  # a prompt of several cache blocks


async def complete(engine: OpenAIEngine, seed: int) -> Completion:
    return await sample(engine, encode_prompt(engine, "12+7*3"), seed)


async def sample(engine: OpenAIEngine, ids: Sequence[int], seed: int = 1) -> Completion:
    return await engine.complete(ids, settings=SETTINGS.sampling, max_tokens=100, seed=seed)


def counting(engine: OpenAIEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many completions each of its requests asks for, as they go."""
    counts: list[int] = []
    send = engine._servers._send

    async def counted(url: str, body: dict[str, Any]) -> str:
        counts.append(body["n"])
        return await send(url, body)

    monkeypatch.setattr(engine._servers, "_send", counted)
    return counts


def test_what_comes_back_is_what_the_engine_in_process_samples(
    run: Any, server: str, vllm_models: Models
) -> None:
    async def both() -> list[tuple[Completion, Completion]]:
        engine = OpenAIEngine([server], BASE)
        greedy = SETTINGS.sampling.model_copy(update={"temperature": 0.0})
        found = []
        for text in ("12+7*3", "5-9", LONG):
            ids = encode_prompt(engine, text)
            settings: Any = {"settings": greedy, "max_tokens": 100, "seed": 1}
            remote = await engine.complete(ids, **settings)
            unweighed = await engine.complete(ids, **settings, logprob=False)
            assert unweighed.token_ids == remote.token_ids
            assert isnan(unweighed.logprob)
            found.append((remote, await vllm_models.engine.complete(ids, **settings)))
            stopping = settings | {"stop_token_ids": engine.tokenizer.encode("=")}
            remote = await engine.complete(ids, **stopping)
            assert remote.ended
            assert engine.tokenizer.decode(remote.token_ids).endswith("=")
            found.append((remote, await vllm_models.engine.complete(ids, **stopping)))
        again = await engine.complete(encode_prompt(engine, LONG), **settings)
        assert again.cached_tokens >= 96
        assert engine.capacity(1) == SEQUENCES
        assert 0 < (engine.capacity(2**14) or 0) < SEQUENCES  # by the cache that the server has
        assert isinstance(vllm_models.engine, VLLMEngine)
        assert vllm_models.engine.capacity(1) == 256
        assert 0 < vllm_models.engine.capacity(2**16) < 256
        first, second = await complete(engine, 7), await complete(engine, 7)
        assert first == second
        engine.close()
        return found

    for remote, local in run(both()):
        assert remote.token_ids == local.token_ids
        assert remote.ended == local.ended
        assert remote.logprob == pytest.approx(local.logprob, abs=1e-2)


def test_what_is_sampled_is_not_what_the_servers_generation_config_asks_for(
    run: Any, server: str, vllm_models: Models
) -> None:
    # See the fixture: a repetition penalty, a low temperature, few of the likeliest tokens.
    async def both() -> list[tuple[Completion, Completion]]:
        engine = OpenAIEngine([server], BASE)
        found = []
        for seed in range(8):
            local = await vllm_models.engine.complete(
                encode_prompt(engine, "12+7*3"),
                settings=SETTINGS.sampling,
                max_tokens=100,
                seed=seed,
            )
            found.append((await complete(engine, seed), local))
        engine.close()
        return found

    found = run(both())
    assert [remote.token_ids for remote, _ in found] == [local.token_ids for _, local in found]
    assert len({remote.token_ids for remote, _ in found}) > 1
    assert max(len(remote.token_ids) for remote, _ in found) > ADVERSE["max_new_tokens"]


def test_a_stop_text_may_be_a_special_token(run: Any, server: str) -> None:
    # As the marks of gpt-oss's thoughts, which are several special tokens.
    async def stopped() -> Completion:
        engine = OpenAIEngine([server], BASE)
        found = await engine.complete(
            encode_prompt(engine, "12+7*3"),
            settings=SETTINGS.sampling,
            max_tokens=100,
            seed=1,
            stop=("<end>",),
            options=TokenOptions(ignore_eos=True),
        )
        engine.close()
        return found

    found = run(stopped())
    assert found.stopped_by == "<end>"
    assert len(found.token_ids) < 100


@pytest.mark.slow
def test_all_that_a_server_may_fill_in_is_sent() -> None:
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    filled = CompletionRequest(prompt="1")._DEFAULT_SAMPLING_PARAMS.keys()
    with faulty([], REPLY) as (url, _, bodies):
        asyncio.run(request([url]))
    assert filled <= bodies[0].keys()
    assert not bodies[0].keys() - CompletionRequest.model_fields.keys()
    assert None not in [bodies[0][name] for name in filled]


@pytest.mark.slow
def test_a_server_that_cuts_solutions_off_is_refused() -> None:
    cut = json.loads(reply("#4"))
    cut["choices"][0]["finish_reason"] = "length"
    with (
        faulty([], json.dumps(cut).encode()) as (url, _, _),
        pytest.raises(ModelError, match="stopped after 1 of 100 tokens; start it without"),
    ):
        asyncio.run(request([url]))


def test_requests_of_one_moment_go_together_and_sample_the_same(
    run: Any, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = (*range(18), 40)

    async def both() -> tuple[list[Completion], list[Completion], list[int]]:
        engine = OpenAIEngine([server], BASE)
        counts = counting(engine, monkeypatch)
        together = await asyncio.gather(*(complete(engine, seed) for seed in seeds))
        sizes = list(counts)
        alone = [await complete(engine, seed) for seed in seeds]
        engine.close()
        return together, alone, sizes

    together, alone, sizes = run(both())
    assert sizes == [16, 2, 1]
    assert len({found.token_ids for found in alone}) > 1
    for one, other in zip(together, alone, strict=True):
        assert (one.token_ids, one.ended) == (other.token_ids, other.ended)
        assert one.logprob == pytest.approx(other.logprob, abs=1e-2)


def test_strategies_run_against_a_server(
    run: Any,
    server: str,
    vllm_models: Models,
    transformers_verifier: ModelVerifier,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def search() -> tuple[Any, Any, list[int]]:
        engine = OpenAIEngine([server, server], BASE)
        sizes = counting(engine, monkeypatch)
        models = Models(
            engine,
            transformers_verifier,
            vllm_models.answers,
            vllm_models.splitter,
        )
        plan = Plan(strategy="beam_search", n=8, beam_width=2)
        remote = PromptRun(models, REQUEST_SETTINGS, "12+7*3", 4)
        samples = await STRATEGIES[plan.strategy](remote, plan, ())
        engine.close()
        return remote.cost, samples, sizes

    cost, samples, sizes = run(search())
    assert sizes[0] == 8  # all first steps
    assert len(sizes) < sum(sizes) / 2
    assert len(samples) == cost.generations == 8
    # Every step ends where the mark is, and all that was sampled was counted, kept or not.
    assert all(s.text.splitlines()[0].startswith("12+7=") for s in samples)
    assert cost.sampled_tokens >= sum(sample.tokens for sample in samples) / 8


def reply(text: str) -> bytes:
    logprobs = {"token_logprobs": [-0.5]}
    choice = {"text": text, "finish_reason": "stop", "token_ids": [1], "logprobs": logprobs}
    return json.dumps({"choices": [choice | {"index": 0}]}).encode()


REPLY = reply("#4")


async def request(urls: list[str]) -> Completion:
    engine = OpenAIEngine(urls, BASE)
    try:
        return await complete(engine, 1)
    finally:
        engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("script", [[429], [500, 503], [0], [429, 0, 502, 500]])
def test_a_busy_or_failing_server_is_asked_again(script: list[int]) -> None:
    expected = [*script, 200]
    with faulty(script, REPLY) as (url, answered, _):
        assert asyncio.run(request([url])).token_ids == (1,)
        assert answered == expected


@pytest.mark.slow
def test_the_tries_are_bounded_and_the_error_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(servers.LOGGER, "propagate", True)  # whatever a server's log has set
    with faulty([429] * 100, REPLY) as (url, answered, _):
        with pytest.raises(ModelError, match=r"no answer in 5 tries; the last: status 429") as why:
            asyncio.run(request([url]))
        assert len(answered) == servers.TRIES
    assert url not in str(why.value)
    assert url in caplog.text


@pytest.mark.slow
def test_a_refusal_is_not_repeated() -> None:
    with faulty([400], REPLY) as (url, answered, _):
        with pytest.raises(servers.RefusedError, match=r"refused the request \(400\)") as raised:
            asyncio.run(request([url]))
        assert answered == [400]
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.status) == (str(raised.value), 400)


@pytest.mark.slow
@pytest.mark.parametrize("failure", [0, 500, HANGS])
def test_what_may_have_broken_two_servers_is_not_sent_to_a_third(
    failure: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "PROBE_SECONDS", 0.001)
    with ExitStack() as serving:
        started = [serving.enter_context(faulty([failure] * 100, REPLY)) for _ in range(4)]
        with pytest.raises(ModelError, match="two servers failed on it; the last: "):
            asyncio.run(request([url for url, _, _ in started]))
        assert sorted(answered for _, answered, _ in started) == [[], [], [failure], [failure]]


@pytest.mark.slow
@pytest.mark.parametrize("reason", ["abort", "error"])
def test_what_a_server_gave_up_is_requested_of_another(reason: str) -> None:
    given_up = json.loads(REPLY)
    given_up["choices"][0] |= {"finish_reason": reason, "token_ids": []}
    with (
        faulty([], json.dumps(given_up).encode()) as (leaving, asked, _),
        faulty([], REPLY) as (sound, answered, _),
    ):
        for urls in ([leaving, sound], [sound, leaving]):
            assert asyncio.run(request(urls)).token_ids == (1,)
        assert (asked, answered) == ([200], [200, 200])


@pytest.mark.slow
def test_another_replica_takes_over() -> None:
    with faulty([500] * 100, REPLY) as (broken, _, _), faulty([], REPLY) as (sound, answered, _):
        assert asyncio.run(request([broken, sound])).token_ids == (1,)
        assert asyncio.run(request([sound, broken])).token_ids == (1,)
        assert answered == [200, 200]


@pytest.mark.slow
def test_it_is_alive_as_long_as_any_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "PROBE_SECONDS", 0.001)

    async def check() -> None:
        with faulty([], REPLY) as (last, answered, _):
            with faulty([], REPLY) as (first, _, _):
                engine = OpenAIEngine([first, last], BASE)
                await eventually_in_loop(lambda: engine.alive)
            for _ in range(100):  # the first is gone
                assert engine.alive
                await asyncio.sleep(0.001)
            # Requests do not try it any more.
            for seed in range(4):
                await complete(engine, seed)
            assert len(answered) == 4
        await eventually_in_loop(lambda: not engine.alive)
        engine.close()

    asyncio.run(check())


@pytest.mark.slow
def test_what_a_server_no_longer_answers_is_requested_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servers, "PROBE_SECONDS", 0.001)
    hung = []
    for order in (1, -1):  # one of them asks the one that hangs
        with faulty([HANGS], REPLY) as (stuck, asked, _), faulty([], REPLY) as (sound, _, _):
            assert asyncio.run(request([stuck, sound][::order])).token_ids == (1,)
        hung += asked
    assert hung == [HANGS]


@pytest.mark.slow
def test_the_only_server_does_not_hang_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "PROBE_SECONDS", 0.001)
    with (
        faulty([HANGS] * 5, REPLY) as (stuck, _, _),
        pytest.raises(ModelError, match=r"no answer in 5 tries; the last: .*TimeoutError"),
    ):
        asyncio.run(request([stuck]))


@pytest.mark.slow
def test_looks_need_none_of_the_connections_of_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "PROBE_SECONDS", 0.001)
    monkeypatch.setattr(servers, "CONNECTIONS", 1)
    finish, looks = threading.Event(), list[bool]()

    def answer(_: dict[str, Any]) -> bytes:
        finish.wait()
        return REPLY

    async def look(url: str) -> None:
        engine = OpenAIEngine([url], BASE)
        monkeypatch.setattr(
            engine._servers.replicas, "note_probe", lambda _, answers: looks.append(answers)
        )
        work = asyncio.create_task(complete(engine, 1))
        await eventually_in_loop(lambda: engine.requests == 1 and len(looks) > 3)
        finish.set()
        assert (await work).token_ids == (1,)
        engine.close()

    with faulty([], answer) as (url, answered, _):
        asyncio.run(look(url))
    assert (set(looks), answered) == ({True}, [200])


@pytest.mark.slow
def test_a_server_that_is_away_is_used_once_it_serves_the_model(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(servers, "PROBE_SECONDS", 0.001)
    monkeypatch.setattr(servers.LOGGER, "propagate", True)  # whatever a server's log has set
    port, fits = free_port(), list[bool]()

    async def check(url: str) -> None:
        engine = OpenAIEngine([f"http://127.0.0.1:{port}", url], BASE)
        serves_model = engine._servers._serves_model

        def noted(models: bytes) -> bool:
            fits.append(serves_model(models))
            return fits[-1]

        monkeypatch.setattr(engine._servers, "_serves_model", noted)
        assert f"127.0.0.1:{port}: no OpenAI-compatible server answers there" in caplog.text
        with faulty([], REPLY, "another", port=port) as (_, unused, _):
            await eventually_in_loop(lambda: engine.alive and len(fits) > 3)
            assert not any(fits)
            await asyncio.gather(*(sample(engine, [token]) for token in range(20)))
            assert not unused
        with faulty([], REPLY, port=port) as (_, used, _):
            await eventually_in_loop(lambda: engine.alive and fits[-1])
            await asyncio.gather(*(sample(engine, [token]) for token in range(20, 40)))
            assert used
        engine.close()

    with faulty([], REPLY) as (url, _, _):
        asyncio.run(check(url))


@pytest.mark.parametrize(
    ("models", "fits"),
    [
        (b'{"data": [{"id": "testbed", "max_model_len": 256}]}', True),
        (b'{"data": [{"id": "testbed", "max_model_len": 255}]}', False),
        (b'{"data": [{"id": "another", "max_model_len": 256}]}', False),
        (b'{"data": [{"id": "testbed"}]}', False),
        (b'{"error": "no key"}', False),
        (b"[]", False),
        (b"\xff", False),
    ],
)
def test_a_server_that_comes_back_has_to_serve_what_it_did(models: bytes, fits: bool) -> None:
    with faulty([], REPLY) as (url, _, _):
        engine = OpenAIEngine([url], BASE)
    assert engine._servers._serves_model(models) is fits


def test_no_server_is_a_clear_error() -> None:
    with pytest.raises(InputError, match="no OpenAI-compatible server answers there"):
        OpenAIEngine(["http://127.0.0.1:9"], BASE)


@pytest.mark.slow
def test_a_server_that_serves_something_else_is_refused() -> None:
    with (
        faulty([], REPLY) as (url, _, _),
        pytest.raises(InputError, match="where another is wanted"),
    ):
        OpenAIEngine([url], BASE, served="another")


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer", [b"no", b"[]", b'{"choices": []}', b'{"choices": [{"text": "#4", "index": 0}]}']
)
def test_a_reply_that_is_not_vllms_is_a_clear_error(answer: bytes) -> None:
    unread = pytest.raises(ModelError, match="a reply without vllm serve's fields")
    with faulty([], answer) as (url, _, _), unread:
        asyncio.run(request([url]))


@pytest.mark.parametrize(
    ("metrics", "capacity"),
    [
        ('vllm:cache_config_info{block_size="16",kv_cache_size_tokens="4000"} 1.0', 40),
        ('vllm:cache_config_info{block_size="16",kv_cache_size_tokens="None"} 1.0', None),
        ('vllm:cache_config_info{block_size="16"} 1.0', None),
        ("vllm:num_requests_running 1.0", None),
        ("<html>", None),
    ],
)
def test_a_server_tells_what_its_cache_holds(metrics: str, capacity: int | None) -> None:
    with faulty([], b"", metrics=metrics) as (url, _, _):
        assert OpenAIEngine([url], BASE).capacity(100) == capacity
    with (
        faulty([], b"", metrics=metrics) as (url, _, _),
        faulty([], b"", metrics=metrics.replace("4000", "900")) as (small, _, _),
    ):
        found = OpenAIEngine([url, small], BASE).capacity(100)
        assert found == (None if capacity is None else 9)
