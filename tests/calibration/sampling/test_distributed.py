"""Sampling on a local Ray cluster with real engines: a worker is killed, and nothing is lost."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import ray
from transformers import AutoTokenizer

from allocator.errors import InputError, ModelError
from allocator.plan import Plan
from benchmarks.testbed.paths import BASE, REQUEST_SETTINGS, SETTINGS
from benchmarks.testbed.task import distinct_problems
from calibration.calibrate import calibrate
from calibration.sampling import distributed
from calibration.sampling.collect import PromptRecord, Work
from calibration.sampling.collectors import LocalCollector, open_collector
from calibration.sampling.distributed import BatchJournals, RayCollector, capacity
from calibration.sampling.resume import UNFINISHED, SampleStore
from calibration.settings import CalibrationSettings
from predictors.scoring import alone
from runtime.models import Models
from tests.support.artifacts import RIGHT, BentCoins, bent_models, bent_prompts
from tests.support.fakes import COIN_SETTINGS

pytestmark = pytest.mark.slow

PROMPTS = [(p.text, p.answer) for p in distinct_problems("calibration", 24, seed=41)]
ABSOLUTE = SETTINGS.with_absolute_paths(Path())
WORK = Work(4, (Plan(strategy="beam_search", n=4, beam_width=2),), alone("last"), seed=3)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    # GPUs that Ray counts and gives to workers; there are none behind them.
    ray.init(
        num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False, logging_level="error"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed, "PLACE_SECONDS", 600.0)  # a busy machine starts workers slowly
        yield
    ray.shutdown()


def by_prompt(records: list[PromptRecord]) -> dict[str, Any]:
    """All that was sampled; the last digits of scores depend on what is scored beside them."""
    return {
        record.prompt: [
            (sample.token_ids, sample.answer, pytest.approx(sample.score, abs=1e-4), right)
            for run in (record.independent, *record.repeats[0].values())
            for sample, right in zip(run.samples, run.correct, strict=True)
        ]
        for record in records
    }


class Holder:
    """Another job on the cluster."""


class Counting(distributed.Worker):
    """Counts the batches that it has at once."""

    now = most = 0

    async def collect(
        self,
        prompts: Sequence[tuple[str, str]],
        work: Work,
        journaled: BatchJournals | None = None,
    ) -> tuple[bytes, dict[str, bytes]]:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().collect(prompts, work, journaled)
        finally:
            self.now -= 1


class Coins(distributed.Worker):
    """Samples bent coins in place of what the settings name."""

    async def _open(self) -> LocalCollector:
        self.coins = BentCoins(AutoTokenizer.from_pretrained(BASE))
        return LocalCollector(bent_models(self.coins.tokenizer, engine=self.coins), COIN_SETTINGS)


class Idle(distributed.Worker):
    """Has no models."""

    async def engine(self) -> str:
        """A name that no engine has."""
        return "none"


def test_two_workers_one_killed_sample_what_one_process_samples(
    cluster: None, run: Any, transformers_models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "BATCH", 3)
    monkeypatch.setattr(distributed, "Worker", Counting)
    collector = RayCollector(ABSOLUTE, "transformers", "auto", 2)
    pids = ray.get([w.__ray_call__.remote(lambda self: os.getpid()) for w in collector.workers])
    assert len(set(pids)) == 2
    found: list[PromptRecord] = []

    def done(record: PromptRecord) -> None:
        if not found:
            os.kill(pids[0], signal.SIGKILL)
        found.append(record)

    try:
        asyncio.run(collector.collect(PROMPTS, WORK, done))
        # The one killed works again, as another process.
        again = ray.get(
            [w.__ray_call__.remote(lambda self: os.getpid()) for w in collector.workers]
        )
        assert pids[0] not in again
        assert pids[1] in again
        (*_, most) = ray.get(
            [w.__ray_call__.remote(lambda self: self.most) for w in collector.workers]
        )
        assert most == distributed.IN_FLIGHT == 2
    finally:
        collector.close()
    local: list[PromptRecord] = []
    run(LocalCollector(transformers_models, REQUEST_SETTINGS).collect(PROMPTS, WORK, local.append))
    assert len(found) == len(PROMPTS)
    assert by_prompt(found) == by_prompt(local)


def test_what_workers_drew_is_journaled_here_and_not_drawn_again(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "BATCH", 2)
    monkeypatch.setattr(distributed, "Worker", Coins)
    prompts = [(prompt, RIGHT) for prompt in bent_prompts(6, seed=3)]
    few, many = (Work(samples, (), alone("last"), seed=2) for samples in (4, 8))

    def drawn(collecting: Callable[[RayCollector, SampleStore], Coroutine[Any, Any, None]]) -> int:
        """Solutions that a new worker draws for a store that is opened anew."""
        store = SampleStore(tmp_path / "store", {"model": "bent", "verifier": "sum"})
        collector = RayCollector(ABSOLUTE, "transformers", "auto", 1)
        try:
            asyncio.run(collecting(collector, store))
            (worker,) = collector.workers
            return int(ray.get(worker.__ray_call__.remote(lambda self: self.coins.generations)))
        finally:
            collector.close()

    async def ended(collector: RayCollector, store: SampleStore) -> None:
        """The first pass of a calibration, which is interrupted when one batch is done."""

        def done(_: PromptRecord) -> None:
            raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            await collector.collect(prompts, few, done, store.journals)

    found: list[PromptRecord] = []
    drawn(ended)
    kept = tmp_path / "store" / UNFINISHED
    assert len(list(kept.iterdir())) == 2, "the batch that was done"

    async def both(collector: RayCollector, store: SampleStore) -> None:
        """The first pass once more, and the second."""
        await collector.collect(prompts, few, found.append, store.journals)
        assert len(list(kept.iterdir())) == 6
        await store.fill(collector, prompts, many)

    assert drawn(both) == 4 * 4 + 6 * 4
    assert not kept.exists(), "what is stored as records is in no journal"

    local: list[PromptRecord] = []
    models = bent_models(AutoTokenizer.from_pretrained(BASE))
    asyncio.run(LocalCollector(models, COIN_SETTINGS).collect(prompts, few, local.append))
    assert by_prompt(found) == by_prompt(local)
    local.clear()
    asyncio.run(LocalCollector(models, COIN_SETTINGS).collect(prompts, many, local.append))
    stored = SampleStore(tmp_path / "store", {"model": "bent", "verifier": "sum"}).records()
    assert by_prompt(stored) == by_prompt(local)


def test_a_calibration_on_the_cluster_ends_in_the_same_table(cluster: None, tmp_path: Path) -> None:
    def table(name: str, address: str | None) -> Any:
        made = asyncio.run(
            calibrate(
                PROMPTS,
                SETTINGS,
                tmp_path / name,
                CalibrationSettings(budgets=[1, 4], pilots=[1], n_bins=2, runs=1, seed=0),
                engine="transformers",
                ray=address,
                workers=1,
            )
        )
        return [(row.pilots, [(c.plan, c.accuracy) for c in row.cells]) for row in made.table.rows]

    assert table("there", "auto") == table("here", None)
    assert (tmp_path / "there" / "samples.parquet").is_file()


def test_solutions_without_steps_are_noticed_on_the_cluster_too(
    cluster: None, tmp_path: Path
) -> None:
    sampling = SETTINGS.sampling.model_copy(update={"step_end": "\n\n"})
    calibrating = calibrate(
        PROMPTS,
        SETTINGS.model_copy(update={"sampling": sampling}),
        tmp_path / "out",
        CalibrationSettings(budgets=[1, 4], pilots=[1], n_bins=2, seed=0, scoring="verifier"),
        engine="transformers",
        ray="auto",
        workers=1,
    )
    with pytest.raises(InputError, match=r"the median would be . with '\\n' as step end"):
        asyncio.run(calibrating)


def test_a_worker_has_vllm_and_what_it_raises_is_raised_here(
    cluster: None, run: Any, vllm_models: Models
) -> None:
    found: list[PromptRecord] = []
    local: list[PromptRecord] = []
    collector = RayCollector(ABSOLUTE, "vllm", "auto", 1)
    try:
        assert collector.engine == "VLLMEngine"
        asyncio.run(collector.collect(PROMPTS[:8], WORK, found.append))
        run(LocalCollector(vllm_models, REQUEST_SETTINGS).collect(PROMPTS[:8], WORK, local.append))
        assert by_prompt(found) == by_prompt(local)
        with pytest.raises(InputError, match="no room in the context"):
            asyncio.run(collector.collect([("1+" * 400 + "1", "1")], WORK))
    finally:
        collector.close()
    wrong = SETTINGS.model_copy(update={"model": "nowhere/at-all"})
    with pytest.raises((InputError, ModelError), match="nowhere"):
        RayCollector(wrong, "transformers", "auto", 1)


def test_workers_that_find_no_place_are_refused(
    cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(workers: int | None, gpus: int) -> RayCollector:
        return RayCollector(ABSOLUTE, "transformers", "auto", workers, gpus)

    with pytest.raises(InputError, match="workers: 3: the cluster has places for 2 that need 1 "):
        opened(3, 1)
    with pytest.raises(InputError, match="places for 1 that need 1 core and 2 of the GPUs"):
        opened(2, 2)
    with pytest.raises(InputError, match="places for 0 that need 1 core and 3 of the GPUs"):
        opened(None, 3)
    with pytest.raises(InputError, match="gpus: 0: a worker needs at least 1"):
        opened(1, 0)
    monkeypatch.setattr(distributed, "PLACE_SECONDS", 2.0)
    holder: Any = ray.remote(num_cpus=0, num_gpus=1)(Holder).remote()
    ray.get(holder.__ray_ready__.remote())
    with pytest.raises(
        InputError, match=r"of them, .* found no place within 2 seconds: others use"
    ):
        opened(2, 1)
    ray.kill(holder)


def test_a_worker_has_as_many_gpus_as_its_engine_is_spread_over(
    cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "Worker", Idle)
    collector = RayCollector(ABSOLUTE, "transformers", "auto", None, gpus=2)
    try:
        (worker,) = collector.workers
        assert len(ray.get(worker.__ray_call__.remote(lambda self: ray.get_gpu_ids()))) == 2
    finally:
        collector.close()


@pytest.mark.parametrize(
    ("nodes", "gpus", "places"),
    [
        ([(8, 2), (8, 2)], 1, 4),
        ([(8, 2), (8, 2)], 2, 2),
        ([(8, 3), (8, 1)], 2, 1),  # one GPU of each node is left, and no engine spans nodes
        ([(1, 8)], 1, 1),
        ([(4, 0), (16, 8)], 4, 2),
        ([(2, 0), (0, 0), (3, 0)], 0, 5),
    ],
)
def test_places_of_a_cluster(nodes: list[tuple[int, int]], gpus: int, places: int) -> None:
    assert capacity([{"CPU": cpu, "GPU": gpu} for cpu, gpu in nodes], gpus) == places


def test_a_cluster_that_is_not_there() -> None:
    async def open_it() -> None:
        async with open_collector(SETTINGS, "transformers", "127.0.0.1:1", None):
            pass

    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(InputError, match="no cluster there"):
        asyncio.run(open_it())


def test_settings_that_travel_have_absolute_folders(tmp_path: Path) -> None:
    relative = SETTINGS.relative_to(Path())
    assert not Path(relative.model).is_absolute()
    assert Path(relative.with_absolute_paths(Path()).model).is_absolute()
    link = tmp_path / "base"
    link.symlink_to(BASE)
    linked = SETTINGS.model_copy(update={"model": str(link)})
    assert linked.with_absolute_paths(Path()).model == str(link), "elsewhere on another machine"
