"""The simulator: times add up, the KV cache evicts, and rivals do the same work as this library."""

import asyncio
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allocator.plan import Plan
from benchmarks.simulator import clock
from benchmarks.simulator.contenders import its_hub, lockstep, ours
from benchmarks.simulator.cpu import TOLERANCE, check, measured, step_times
from benchmarks.simulator.engine import Card, VirtualEngine
from benchmarks.simulator.kv_cache import PRIVATE, KVCache, block_keys
from benchmarks.simulator.models import Site
from benchmarks.simulator.run import Outcome, simulate
from benchmarks.simulator.solutions import Lengths, RandomWriter, Tokenizer
from benchmarks.simulator.speculation import speculative
from benchmarks.simulator.times import (
    FIRST_TOKEN,
    EngineShape,
    StepTimes,
    h100,
    kv_tokens,
    published,
)
from benchmarks.throughput.__main__ import BEST_OF_N, LOCKSTEP, PLAIN, SCORED, UNSCORED
from benchmarks.throughput.verifiers import ALL_CORES, NEW_TOKENS, WHOLE_TEXTS
from tests.support.paths import ROOT

TIMES = StepTimes(1.0, 0.1, 0.001, 0.01, 0.5)
SHAPE = EngineShape(TIMES, 1000)
SITE = Site(EngineShape(h100(), 50_000), EngineShape(h100(), 50_000), cards=2)
BEAMS = Plan(strategy="beam_search", n=8, beam_width=4)
SAMPLES = Plan(strategy="best_of_n", n=8)


def timed(shape: EngineShape, *requests: tuple[range, range]) -> tuple[VirtualEngine, float]:
    """An engine that has answered these requests, asked at once, and the seconds it took."""

    async def work() -> VirtualEngine:
        engine = VirtualEngine(shape, Card())
        await asyncio.gather(*(engine.run(read, written) for read, written in requests))
        return engine

    return clock.run(work())


def test_an_hour_passes_in_no_time_and_a_deadlock_is_told() -> None:
    async def wait() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert clock.run(wait()) == (3600.0, 3600.0)

    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="everything waits"):
        clock.run(forever())


def test_the_steps_of_a_request_add_up() -> None:
    engine, seconds = timed(SHAPE, (range(10), range(100, 105)))
    prefill = 1 + 0.5 + 10 * 0.01  # gives the first of the five tokens
    decode = sum(1 + 0.1 + 0.001 * held for held in (11, 12, 13, 14))
    assert seconds == pytest.approx(prefill + decode)
    assert (engine.steps, engine.read, engine.written) == (5, 10, 5)


def test_requests_of_one_moment_share_their_steps() -> None:
    _, seconds = timed(SHAPE, (range(10), range(100, 103)), (range(20, 30), range(200, 203)))
    prefill = 1 + 2 * 0.5 + 20 * 0.01
    decode = sum(1 + 2 * 0.1 + 0.001 * 2 * held for held in (11, 12))
    assert seconds == pytest.approx(prefill + decode)


def test_a_prefill_is_split_and_sequences_are_limited() -> None:
    text = (range(100), range(1000, 1001))
    engine, _ = timed(replace(SHAPE, max_new_tokens=30), text)
    assert (engine.steps, engine.read) == (4, 100)
    one_at_once, _ = timed(replace(SHAPE, max_sequences=1), text, (range(500, 510), range(2)))
    assert one_at_once.steps == 1 + 2


def test_what_is_cached_is_not_read_again() -> None:
    async def twice(shape: EngineShape) -> tuple[int, int, int]:
        engine = VirtualEngine(shape, Card())
        await engine.run(range(40), range(100, 108))
        known = await engine.run([*range(40), *range(100, 108), 7], range(3))
        unread = await engine.run(range(40), (), cached=False)
        return known, unread, engine.read

    # Of 47 tokens that were computed two blocks of 16 are full; the last that was written was not.
    assert clock.run(twice(SHAPE))[0] == (32, 0, 40 + 17 + 40)
    # A cache of one text: the second one's last blocks push out nothing that it needs.
    assert clock.run(twice(replace(SHAPE, kv_tokens=64)))[0][0] == 32


def test_the_longest_unused_block_is_evicted_and_used_ones_never() -> None:
    cache = KVCache(4)
    old, new = block_keys(range(4), 2), block_keys(range(10, 14), 2)
    assert cache.take(2)
    cache.give_back([cache.fill(key) for key in old])
    assert cache.take(2)
    held = [cache.fill(key) for key in new]
    assert (cache.known(old), cache.known(new), cache.free) == (2, 2, 2)
    assert cache.take(1)  # of the old text the end goes first
    assert (cache.known(old), cache.evicted) == (1, 1)
    assert not cache.take(2)
    cache.use(old[:1])
    assert cache.free == 0
    cache.give_back([*held, PRIVATE])
    assert (cache.free, cache.known(new)) == (3, 2)


def test_without_room_the_last_request_waits_and_reads_again() -> None:
    shape = replace(SHAPE, kv_tokens=160)
    requests = [(range(100 * i, 100 * i + 60), range(10_000, 10_060)) for i in range(2)]
    engine, _ = timed(shape, *requests)
    assert engine.preempted == 1
    assert engine.read > 120  # two prompts, and the second one's tokens once more
    assert engine.written == 120
    assert engine.cache.free == engine.cache.blocks
    with pytest.raises(ValueError, match="301 tokens are more than the engine takes"):
        timed(shape, (range(300), range(1)))


def test_a_cancelled_request_leaves_its_blocks() -> None:
    async def work() -> tuple[int, float]:
        engine = VirtualEngine(SHAPE, Card())
        given_up = asyncio.ensure_future(engine.run(range(50), range(100, 400)))
        kept = asyncio.ensure_future(engine.run(range(50, 90), range(400, 420)))
        await asyncio.sleep(5)
        given_up.cancel()
        await kept
        return engine.cache.blocks - engine.cache.free, engine.steps

    assert clock.run(work())[0] == (0, 20)


def test_lower_ranks_go_first() -> None:
    order: list[int] = []

    async def work() -> None:
        engine = VirtualEngine(replace(SHAPE, max_sequences=1), Card())

        async def one(rank: int) -> None:
            await engine.run(range(rank * 100, rank * 100 + 20), range(2), rank)
            order.append(rank)

        await asyncio.gather(*map(one, (3, 1, 2)))

    clock.run(work())
    assert order == [1, 2, 3]


def test_engines_of_one_card_take_turns() -> None:
    async def work(cards: list[Card]) -> None:
        engines = [VirtualEngine(SHAPE, card) for card in cards]
        await asyncio.gather(*(engine.run(range(10), ()) for engine in engines))

    card = Card()
    pass_ = 1 + 0.5 + 0.1
    assert clock.run(work([card, card]))[1] == pytest.approx(2 * pass_)
    assert clock.run(work([Card(), Card()]))[1] == pytest.approx(pass_)


def test_engines_that_work_side_by_side_slow_each_other_down() -> None:
    async def work(card: Card) -> tuple[float, float]:
        clock_ = asyncio.get_running_loop().time

        async def one(seconds: float) -> float:
            await card.work(seconds)
            return clock_()

        return await asyncio.gather(one(1.0), one(3.0))

    # At 0.4 of its speed the short step takes 2.5 seconds; the long one then has 2 left, alone.
    assert clock.run(work(Card(0.4)))[0] == pytest.approx((2.5, 4.5))


def test_a_verifier_that_knows_whole_texts_reads_every_prompt_again() -> None:
    prompts = 6 * 8 * SITE.prompt_tokens  # of every solution, and of every beam's first step
    for plan in (SAMPLES, BEAMS):
        by_texts = outcome(ours, plan, replace(SITE, paced=False, knows_blocks=False))
        # What has been read of a beam is not read again.
        assert by_texts.scored == by_texts.sampled + prompts
        assert by_texts.scored > outcome(ours, plan, replace(SITE, paced=False)).scored


def test_the_times_of_an_h100_are_those_that_were_published() -> None:
    rows, seconds = published()
    times = h100()
    fitted = rows @ [times.fixed, times.per_sequence, times.per_kv_token, times.per_new_token]
    assert np.abs(fitted / seconds - 1).max() < 0.07
    for tokens, milliseconds in FIRST_TOKEN.items():  # which were not fitted
        assert times.step(0, 0, tokens) * 1000 == pytest.approx(milliseconds, rel=0.12)
    assert kv_tokens(0.7) > 5 * kv_tokens(0.2)


def test_simulated_solutions_are_as_long_as_real_ones() -> None:
    writer, tokenizer = RandomWriter(Lengths()), Tokenizer()
    solutions = [
        writer.write(tokenizer.encode(str(i % 100)), i, 4096, one_step=False)[0]
        for i in range(1000)
    ]
    assert np.mean([len(solution) for solution in solutions]) == pytest.approx(414, rel=0.15)
    assert np.mean([solution.count(1) + 1 for solution in solutions]) == pytest.approx(7.4, rel=0.1)


def outcome(contender: Any, plan: Plan = BEAMS, site: Site = SITE) -> Outcome:
    return simulate(contender, site, 6, plan)


def test_all_contenders_do_the_work_and_only_ours_reads_new_tokens_alone() -> None:
    best, beams = outcome(ours, SAMPLES), outcome(ours)
    lock, lock_new, hub = (
        outcome(lockstep),
        outcome(partial(lockstep, whole=False)),
        outcome(its_hub),
    )
    assert best.requests == 6 * 8
    for did in (beams, lock, hub):
        assert did.requests > best.requests
        assert did.sampled == pytest.approx(best.sampled, rel=0.5)
    assert lock.scored > 3 * beams.scored
    assert lock.seconds > lock_new.seconds > beams.seconds
    assert outcome(ours) == beams  # the same seed simulates the same


def test_reads_that_are_paced_take_fewer_passes_and_delay_no_lone_prompt() -> None:
    at_once = replace(SITE, cards=1, paced=False)
    plan = Plan(strategy="beam_search", n=16, beam_width=4)
    many, many_at_once = (
        simulate(ours, site, 12, plan) for site in (replace(at_once, paced=True), at_once)
    )
    assert many.verifier_steps < 0.6 * many_at_once.verifier_steps
    assert many.seconds < 0.95 * many_at_once.seconds
    assert (many.sampled, many.requests) == (many_at_once.sampled, many_at_once.requests)
    alone = [
        simulate(ours, site, 1, plan).seconds for site in (replace(at_once, paced=True), at_once)
    ]
    assert alone[0] < 1.01 * alone[1]


def test_extending_beams_early_finds_the_same_in_fewer_steps_of_more_tokens() -> None:
    one_card = replace(SITE, cards=1)
    rounds, early = (outcome(partial(speculative, room=room), site=one_card) for room in (0, 64))
    assert early.scored == rounds.scored
    assert early.sampled > rounds.sampled  # what is begun for beams that are not kept
    assert early.policy_steps < rounds.policy_steps


def test_a_small_cache_has_searches_read_again() -> None:
    large = replace(SITE, cards=1)
    small = replace(large, policy=replace(SITE.policy, kv_tokens=2400))
    ample, cramped = outcome(ours, site=large), outcome(ours, site=small)
    assert cramped.sampled == ample.sampled
    assert cramped.prefilled > 1.5 * ample.prefilled
    assert cramped.evicted
    assert not ample.evicted
    assert cramped.seconds > ample.seconds


def test_step_times_come_from_runs_that_took_them() -> None:
    passes = {
        reads: {"fixed": 1e-3, "per_text": 1e-4, "per_token": per_token}
        for reads, per_token in ((NEW_TOKENS, 1e-5), (WHOLE_TEXTS, 2e-5), (ALL_CORES, 3e-5))
    }

    def turn(seconds: float, requests: int, read: tuple[int, int, int] = (0, 0, 0)) -> Any:
        counts = dict(
            zip(("verifier_passes", "verifier_texts", "verifier_tokens"), read, strict=True)
        )
        return [{"seconds": seconds, "sampled_tokens": 1000, "engine_calls": requests} | counts]

    reading = 4 * 1e-3 + 30 * 1e-4 + 500 * 1e-5
    alone = 2 * 1e-3 + 40 * 1e-4 + 900 * 3e-5
    engine, llm = (7e-5, 2e-4), (6e-5, 4e-4)  # per token and per request
    turns = {
        BEST_OF_N: turn(1000 * engine[0] + 10 * engine[1], 10),
        UNSCORED: turn(1000 * engine[0] + 50 * engine[1], 50),
        # At 0.4 of its speed for as long as the verifier reads.
        SCORED: turn(1000 * engine[0] + 10 * engine[1] + reading * (1 / 0.4 - 1), 10, (4, 30, 500)),
        PLAIN: turn(1000 * llm[0] + 10 * llm[1], 10),
        LOCKSTEP: turn(1000 * llm[0] + 50 * llm[1] + alone, 50, (2, 40, 900)),
    }
    times = step_times(measured({"turns": turns}), passes)
    assert times.shared_speed == pytest.approx(0.4)
    for found, (per_token, per_request) in ((times.engine, engine), (times.llm, llm)):
        assert found.per_sequence == pytest.approx(per_token)
        assert found.per_request == pytest.approx(per_request)
    assert times.whole_texts == StepTimes(1e-3, 0.0, 0.0, 2e-5, 1e-4)


@pytest.mark.slow
def test_with_the_step_times_of_a_cpu_its_ratios_come_out() -> None:
    throughput = json.loads((Path(ROOT) / "docs/throughput.json").read_text())
    for ratio in check(throughput).values():
        assert ratio["simulated"] == pytest.approx(ratio["measured"], rel=TOLERANCE)
