"""What a slow model has sampled is on disk at once, and is never sampled again; locks."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import pytest

from allocator.errors import InputError
from allocator.lock import check_writable, exclusive
from allocator.plan import Plan
from allocator.table import LookupTable
from benchmarks.testbed.paths import ARTIFACT, BASE, SETTINGS, TEST_PROMPTS
from calibration import calibrate as calibration
from calibration.sampling.collect import PromptRecord, Work, collect
from calibration.sampling.collectors import LocalCollector
from calibration.sampling.journal import Journals, PromptJournal
from calibration.sampling.resume import UNFINISHED, SampleStore
from calibration.settings import CalibrationSettings
from predictors.confidence import ConfidenceSettings
from predictors.sample import Sample
from predictors.scoring import alone
from runtime.artifact import TABLE, Artifact
from runtime.engines.base import Completion
from runtime.models import Models
from runtime.prompt_run import PromptRun
from runtime.request import RequestSettings
from runtime.reviser import Reviser
from runtime.solutions.beam import Beam
from runtime.verifiers.base import Verdict
from tests.support.artifacts import RIGHT, BentCoins, bent_models, bent_prompts
from tests.support.cli import MODELS, TASK, refused
from tests.support.fakes import COIN_SETTINGS, SOON, StepUp, SumVerifier
from tests.support.thinking import SETTINGS as THINKING
from tests.support.thinking import LoopingThinker, UnsureThinker, thinking_models, thinking_run
from tests.support.waiting import eventually_in_loop, turns

PAIRS = [(prompt, RIGHT) for prompt in bent_prompts(6, seed=3)]
BEAMS = Plan(strategy="beam_search", n=4, beam_width=2)
WORK = Work(8, (BEAMS,), alone("last"), seed=2, runs=2)


class Counted:
    """Bent coins that never answer after so many calls; notes the seed of every call answered.

    Args:
        tokenizer: the testbed's.
        answers: calls that are answered.
    """

    def __init__(self, tokenizer: Any, answers: int = 10**9) -> None:
        self.coins = BentCoins(tokenizer)
        self.tokenizer, self.context_length = tokenizer, self.coins.context_length
        self.answers = answers
        self.seeds: list[int] = []

    async def complete(self, token_ids: Any, *, seed: int, **others: Any) -> Completion:
        if len(self.seeds) >= self.answers:
            await asyncio.Event().wait()
        self.seeds.append(seed)
        found = await self.coins.complete(token_ids, seed=seed, **others)
        # A log-probability that no float of 32 bits holds.
        return Completion(found.token_ids, found.logprob / 3, found.ended, 1, found.stopped_by)

    def close(self) -> None:
        pass


class CountedVerifier(SumVerifier):
    """Counts verdicts."""

    verdicts = 0

    async def score(self, context: Any, steps: Any) -> Verdict:
        self.verdicts += 1
        return await super().score(context, steps)


def models_of(tokenizer: Any, answers: int = 10**9) -> tuple[Models, Counted, CountedVerifier]:
    engine, verifier = Counted(tokenizer, answers), CountedVerifier(tokenizer)
    return bent_models(tokenizer, engine=engine, verifier=verifier), engine, verifier


def ended(work: Any, engine: Counted) -> None:
    """Do some work until its engine answers no more, and end it."""

    async def until() -> None:
        task = asyncio.ensure_future(work)
        await eventually_in_loop(lambda: len(engine.seeds) >= engine.answers or task.done())
        await turns()  # those in which what was answered is scored
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(until())


def store_in(folder: Path) -> SampleStore:
    return SampleStore(folder, {"model": "bent", "verifier": "sum", "seed": 2})


def without_seconds(records: list[PromptRecord]) -> list[list[Any]]:
    return [
        [record.prompt, record.gold, record.prompt_tokens]
        + [
            (run.samples, run.correct, run.sampled_tokens, run.seed)
            for run in (
                record.independent,
                *(r for repeat in record.repeats for r in repeat.values()),
            )
        ]
        for record in sorted(records, key=lambda record: record.prompt)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("answers", [1, 20, 150])
def test_a_sampling_that_is_ended_goes_on_with_all_that_was_answered(
    tokenizer: Any, tmp_path: Path, answers: int
) -> None:
    whole, everything, verifier = models_of(tokenizer)
    undisturbed = store_in(tmp_path / "whole")
    asyncio.run(undisturbed.fill(LocalCollector(whole, COIN_SETTINGS), PAIRS, WORK))

    slow, first, _ = models_of(tokenizer, answers)
    folder = tmp_path / "ended"
    ended(store_in(folder).fill(LocalCollector(slow, COIN_SETTINGS), PAIRS, WORK), first)
    assert len(first.seeds) == answers
    kept = [line for path in (folder / UNFINISHED).iterdir() for line in path.open()]
    assert sum(isinstance(json.loads(line)[1], list) for line in kept) == len(kept)
    store = store_in(folder)
    if not store.done:  # no prompt is complete, and every answer is there
        completions = [line for line in kept if len(json.loads(line)) == 6]
        assert len(completions) == answers

    again, second, late = models_of(tokenizer)
    asyncio.run(store.fill(LocalCollector(again, COIN_SETTINGS), PAIRS, WORK))
    assert len(first.seeds) + len(second.seeds) == len(everything.seeds)
    assert sorted(first.seeds + second.seeds) == sorted(everything.seeds)
    assert late.verdicts <= verifier.verdicts
    assert without_seconds(store.records()) == without_seconds(undisturbed.records())
    assert not (folder / UNFINISHED).exists(), "what is stored as records is in no journal"


def test_a_line_cut_short_is_dropped(tokenizer: Any, tmp_path: Path) -> None:
    slow, first, _ = models_of(tokenizer, 30)
    ended(
        store_in(tmp_path / "s").fill(LocalCollector(slow, COIN_SETTINGS), PAIRS[:1], WORK), first
    )
    (path,) = (tmp_path / "s" / UNFINISHED).iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    again, _, _ = models_of(tokenizer)
    store = store_in(tmp_path / "s")
    asyncio.run(store.fill(LocalCollector(again, COIN_SETTINGS), PAIRS[:1], WORK))
    plain = asyncio.run(collect(again, COIN_SETTINGS, PAIRS[:1], WORK))
    assert [r.independent.samples[0].text for r in store.records()] == [
        r.independent.samples[0].text for r in plain
    ]


@pytest.mark.parametrize("damaged", [b"{", b"\0\0", b"\xff\xfe", b"7", b"[]", b"[[1], 2]", b""])
def test_a_damaged_line_is_told_with_its_number(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "prompt.jsonl"
    journal = PromptJournal(path)
    journal.add("first", [1])
    journal.close()
    path.write_bytes(path.read_bytes() + damaged + b"\n" + b'["third", 3]\n')
    with pytest.raises(InputError, match=r"prompt.jsonl': line 2 is damaged \(.*; remove the file"):
        PromptJournal(path)


def test_what_other_models_or_settings_sampled_is_not_taken(tokenizer: Any, tmp_path: Path) -> None:
    def calls(identity: str, **changes: Any) -> int:
        models, engine, _ = models_of(tokenizer)
        settings = RequestSettings(COIN_SETTINGS.sampling.model_copy(update=changes))
        journals, work = Journals(tmp_path, identity), Work(4, (), models.scoring, seed=0)
        asyncio.run(collect(models, settings, PAIRS[:1], work, journals=journals))
        return len(engine.seeds)

    assert calls("a") == 4
    assert calls("a") == 0
    assert calls("b") == 4
    assert calls("a", temperature=0.5) == 4
    assert calls("a", max_tokens=39) == 4


def test_confidence_is_journaled(tmp_path: Path) -> None:
    def sampled(confidence: ConfidenceSettings | None) -> tuple[Sample, UnsureThinker]:
        engine = UnsureThinker("aaaaxxaaaa")
        models = replace(thinking_run(engine).models, confidence=confidence)
        with Journals(tmp_path, "unsure").recording(models, "U:?A:") as recorded:
            run = PromptRun(recorded, THINKING, "U:?A:", 0)
            return asyncio.run(run.sample(0)), engine

    read, ending = ConfidenceSettings(window=2), ConfidenceSettings(window=2, threshold=5.0)
    for confidence, lowest, answer in ((None, nan, "10"), (read, 1.0, "10"), (ending, 1.0, None)):
        first, engine = sampled(confidence)
        assert engine.requests
        again, engine = sampled(confidence)
        assert not engine.requests
        assert again == first
        assert (again.confidence, again.answer) == (pytest.approx(lowest, nan_ok=True), answer)


def test_a_thought_that_was_ended_in_a_loop_is_journaled_as_such(tmp_path: Path) -> None:
    def sampled() -> tuple[Beam, LoopingThinker]:
        engine = LoopingThinker("<think>\n" + "a" * 100)
        with Journals(tmp_path, "looping").recording(thinking_models(engine), "U:?A:") as recorded:
            run = PromptRun(recorded, THINKING, "U:?A:", 0)
            return asyncio.run(run.extend(Beam(), ("x", 0))), engine

    first, engine = sampled()
    assert (first.stopped, first.ended, any(engine.thoughts)) == (True, False, True)
    again, engine = sampled()
    assert (again, engine.requests) == (first, [])


def test_a_reviser_is_journaled_beside_the_model_it_shares(tokenizer: Any, tmp_path: Path) -> None:
    plan = Plan(strategy="revisions", n=4, length=2)

    def sampled() -> tuple[list[PromptRecord], Counted, StepUp]:
        models, engine, verifier = models_of(tokenizer)
        reviser = StepUp(tokenizer)
        models = bent_models(
            tokenizer, engine=engine, verifier=verifier, reviser=Reviser(reviser, verifier)
        )
        journals = Journals(tmp_path, "bent")
        work = Work(2, (plan,), models.scoring, seed=0)
        found = asyncio.run(collect(models, COIN_SETTINGS, PAIRS[:2], work, journals=journals))
        return found, engine, reviser

    first, engine, reviser = sampled()
    assert engine.seeds
    assert len(reviser.contexts) == 4
    second, engine, reviser = sampled()
    assert not engine.seeds
    assert not reviser.contexts
    assert without_seconds(first) == without_seconds(second)


def test_a_full_disk_is_told_in_one_line(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.fail("no /dev/full here: write to some other full disk")
    monkeypatch.setattr(Journals, "_path", lambda *_: full)
    models, _, _ = models_of(tokenizer)
    with pytest.raises(InputError, match=r"No space left on device.*nothing before it is lost"):
        asyncio.run(
            store_in(tmp_path / "s").fill(LocalCollector(models, COIN_SETTINGS), PAIRS, WORK)
        )


def test_a_record_does_not_wait_for_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: Any
) -> None:
    monkeypatch.setattr("calibration.sampling.resume.FLUSH_SECONDS", 0.01)
    models, _, _ = models_of(tokenizer)
    store = store_in(tmp_path / "s")
    store._flushed = float("inf")  # to the record itself it seems that one was just written

    class Slow(LocalCollector):
        """Gives the first record at once, as a worker of a cluster may, and the others never."""

        async def collect(
            self, prompts: Any, work: Work, done: Any = None, journals: Any = None
        ) -> None:
            await super().collect(prompts[:1], work, done)
            await eventually_in_loop(lambda: list(store.folder.glob("part-*")))
            raise InputError("model", None, "it never comes to the second prompt")

    with pytest.raises(InputError, match="never comes"):
        asyncio.run(asyncio.wait_for(store.fill(Slow(models, COIN_SETTINGS), PAIRS, WORK), SOON))
    assert len(store_in(tmp_path / "s").done) == 1


async def calibrated(
    tokenizer: Any, out: Path, engine: Counted, monkeypatch: Any, budgets: Sequence[int] = (1, 8)
) -> None:
    """A whole calibration on 20 prompts of bent coins."""
    models = bent_models(tokenizer, engine=engine)

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[LocalCollector]:
        collector = LocalCollector(models, COIN_SETTINGS)

        async def untimed(*_: object) -> dict[Plan, float]:
            return {}

        monkeypatch.setattr(collector, "seconds", untimed)
        yield collector

    monkeypatch.setattr(calibration, "open_collector", opened)
    await calibration.calibrate(
        [(prompt, RIGHT) for prompt in bent_prompts(20, seed=6)],
        SETTINGS,
        out,
        CalibrationSettings(
            budgets=budgets, pilots=[1], n_bins=2, seed=0, strategies=["best_of_n"]
        ),
    )


@pytest.mark.slow
@pytest.mark.parametrize("answers", [30, 160, 300])
def test_samples_that_scores_are_fitted_on_are_kept_too(
    tokenizer: Any, tmp_path: Path, answers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Counted(tokenizer, answers)
    out = tmp_path / "out"
    ended(calibrated(tokenizer, out, first, monkeypatch), first)
    assert not out.exists()
    second = Counted(tokenizer)
    asyncio.run(calibrated(tokenizer, out, second, monkeypatch))
    # Twice the greatest budget of each prompt, those that scores were fitted on among them.
    assert len(first.seeds) + len(second.seeds) == 20 * 16
    whole = Counted(tokenizer)
    asyncio.run(calibrated(tokenizer, tmp_path / "whole", whole, monkeypatch))
    assert len(whole.seeds) == 20 * 16
    assert (out / TABLE).read_bytes() == (tmp_path / "whole" / TABLE).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


@pytest.mark.slow
def test_a_budget_of_one_generation_can_be_calibrated(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    asyncio.run(calibrated(tokenizer, out, Counted(tokenizer), monkeypatch, [1]))
    assert [row.budget for row in LookupTable.load(out / TABLE).rows] == [1]
    assert Artifact.load(out).prices.schedule.costs == (1, 2)


HOLD = """
import os, sys, time
from pathlib import Path
from allocator.lock import exclusive
folder = Path(sys.argv[1])
ready, begun = os.pipe()
with exclusive(folder / "lock", folder):
    child = os.fork()  # as an engine's process, which may outlive its parent
    if child:
        os.read(ready, 1)  # the child has begun: a lock that it inherits is closed
        print(child, flush=True)
    else:
        os.write(begun, b".")
    time.sleep(600)
"""


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    command = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        with (
            pytest.raises(InputError, match=rf"process {process.pid} is writing there; wait"),
            exclusive(folder / "lock", folder),
        ):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (folder / "lock").exists(), "killed, it could not tidy up"
        with exclusive(folder / "lock", folder):
            assert (folder / "lock").read_text() == str(os.getpid())
    finally:
        os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait()
        process.stdout.close()
    assert not list(folder.iterdir())


def test_a_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "new" / "samples"
    with exclusive(out / "lock", out):
        assert (out / "lock").is_file()
    assert not out.exists()
    kept = tmp_path / "kept"
    kept.mkdir()
    with exclusive(kept / "lock", kept):
        (kept / "part").write_text("")
    assert [path.name for path in kept.iterdir()] == ["part"]
    with (
        pytest.raises(InputError, match=r"out: '.*cannot be written \(a file is in its way\)"),
        exclusive(kept / "part" / "lock", kept / "part"),
    ):
        pass


def test_what_cannot_be_written_is_found_before_it_is_written(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b" / "out")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(
        InputError, match=r"cannot be written \(a file is in its way\); choose another"
    ):
        check_writable(tmp_path / "file" / "out")
    with pytest.raises(InputError, match="cannot be written"):
        check_writable(Path("/proc/nothing/out"))


@pytest.mark.parametrize(
    ("command", "lock"),
    [
        (["calibrate", "PROMPTS", *MODELS, *TASK], "out.samples/lock"),
        (["train", "prm", "PROMPTS", "--model", BASE, *TASK], "out.lock"),
        (["bench", TEST_PROMPTS, "--artifact", ARTIFACT, "--prompts", 4], "out/samples/lock"),
    ],
    ids=["calibrate", "train", "bench"],
)
def test_two_at_once_into_one_folder_are_refused(
    tmp_path: Path, command: list[object], lock: str
) -> None:
    prompts = tmp_path / "prompts.jsonl"
    rows = [json.dumps({"prompt": f"{n}+1", "answer": n + 1}) for n in range(20)]
    prompts.write_text("\n".join(rows))
    out = tmp_path / "out"
    given = [prompts if part == "PROMPTS" else part for part in command]
    with exclusive(tmp_path / lock, out):
        message = refused(*given, "--out", out)
    assert f"process {os.getpid()} is writing there; wait for it" in message
