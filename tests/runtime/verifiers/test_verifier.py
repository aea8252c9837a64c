"""A verifier through both backends, against its model called directly."""

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForTokenClassification

from allocator.errors import InputError, ModelError
from predictors.scoring import alone
from runtime.concurrency import together
from runtime.verifiers import in_transformers, model_verifier
from runtime.verifiers.base import Context, Verdict, aggregate, all_aggregations
from runtime.verifiers.families import FAMILIES, recognise
from runtime.verifiers.kv_memory import KnownText, KVMemory
from runtime.verifiers.layout import Layout
from runtime.verifiers.loading import open_verifier
from runtime.verifiers.model_verifier import ModelVerifier
from tests.support.checkpoints import grown, solution
from tests.support.fakes import CoinEngine, SumVerifier, coin_run
from tests.support.waiting import eventually_in_loop

Direct = Callable[[Context, Sequence[tuple[int, ...]]], list[float]]


@pytest.fixture(scope="session")
def direct(classifier: Path) -> Direct:
    """The model called on the whole text."""
    model = AutoModelForTokenClassification.from_pretrained(classifier).eval()
    return lambda context, steps: read(model, context, steps)


def read(model: Any, context: Context, steps: Sequence[tuple[int, ...]]) -> list[float]:
    ids = torch.tensor([[*context.token_ids, *(token for step in steps for token in step)]])
    with torch.no_grad():
        scores = model(input_ids=ids).logits[0, :, 0].sigmoid()
    ends, end = [], len(context.token_ids)
    for step in steps:
        end += len(step)
        ends.append(end - 1)
    return [float(score) for score in scores[ends]]


@pytest.fixture(params=["vllm", "transformers"])
def verifier(request: pytest.FixtureRequest) -> ModelVerifier:
    """Every test that takes this runs through both backends."""
    found: ModelVerifier = request.getfixturevalue(f"{request.param}_verifier")
    return found


def test_scores_are_the_models_at_each_steps_last_token(
    run: Any, verifier: ModelVerifier, tokenizer: Any, direct: Direct
) -> None:
    right = solution(tokenizer, "12+7*3\n12+7=19\n19*3=57\n#57")
    wrong = solution(tokenizer, "5-9\n5-9=17\n#17")

    async def score() -> list[Verdict]:
        return list(await asyncio.gather(*(verifier.score(*s) for s in (right, wrong, right))))

    verdicts = run(score())
    for (context, steps), verdict in zip((right, wrong, right), verdicts, strict=True):
        assert verdict.step_scores == pytest.approx(direct(context, steps), abs=1e-3)
    assert verdicts[0].step_scores == pytest.approx(verdicts[2].step_scores, abs=1e-5)
    # How well the scores tell right from wrong is measured, not tested: benchmarks.testbed.measure.


def test_a_growing_solution_costs_its_new_tokens_and_scores_the_same(
    run: Any, vllm_verifier: ModelVerifier, tokenizer: Any, direct: Direct
) -> None:
    # Long enough for several of the cache's blocks of 32 tokens.
    numbers = range(10, 22)
    chain = "3" + "".join(f"+{n}" for n in numbers)
    lines, value = [], 3
    for n in numbers:
        lines.append(f"{value}+{n}={value + n}")
        value += n
    context, steps = solution(tokenizer, "\n".join([chain, *lines, f"#{value}"]))

    async def grow() -> list[Verdict]:
        return [await vllm_verifier.score(context, steps[:k]) for k in range(1, len(steps) + 1)]

    verdicts = run(grow())
    assert verdicts[-1].step_scores == pytest.approx(direct(context, steps), abs=1e-3)
    length = len(context.token_ids)
    for step, verdict in zip(steps, verdicts, strict=True):
        length += len(step)
        assert verdict.processed_tokens + verdict.cached_tokens == length
        # What is run over: the new step, and at most one block that was not full before.
        assert verdict.processed_tokens <= max(len(step) + 32, len(context.token_ids) + 32)
    whole = sum(len(context.token_ids) + sum(map(len, steps[:k])) for k in range(1, len(steps) + 1))
    assert sum(verdict.processed_tokens for verdict in verdicts) < whole / 3


def test_in_transformers_too_what_grows_costs_its_new_tokens_only(
    tokenizer: Any, classifier: Path, direct: Direct
) -> None:
    texts = [
        "12+7*3\n12+7=19\n19*3=57\n#57",
        "5-9\n5-9=996\n#996",
        "3+10+11+12\n3+10=13\n13+11=24\n24+12=36\n#36",
        "12+7*3\n12+7=19\n19*3=58\n#58",
    ]
    solutions = [solution(tokenizer, text) for text in texts]
    verifier = open_verifier(classifier, tokenizer, engine="transformers")
    found = grown(verifier, solutions)
    verifier.close()
    # The last shares its first step with the first.
    for (context, steps), verdicts in zip(solutions[:3], found, strict=False):
        assert verdicts[-1].step_scores == pytest.approx(direct(context, steps), abs=1e-3)
        spent = [verdict.processed_tokens for verdict in verdicts]
        assert spent == [len(context.token_ids) + len(steps[0]), *map(len, steps[1:])]
    context, steps = solutions[3]
    assert found[3][-1].step_scores == pytest.approx(direct(context, steps), abs=1e-3)
    assert found[3][0].processed_tokens == 0


def test_few_whole_texts_are_read_in_a_pass_and_equal_ones_once(
    classifier: Path, tokenizer: Any, direct: Direct, monkeypatch: pytest.MonkeyPatch
) -> None:
    solutions = [solution(tokenizer, f"5+{n}\n5+{n}={5 + n}\n#{5 + n}") for n in range(1, 7)]
    longest = max(len(context.token_ids) + sum(map(len, steps)) for context, steps in solutions)
    monkeypatch.setattr(in_transformers, "MAX_WHOLE_ON_CPU", 2 * longest)
    family = FAMILIES[recognise(classifier)](tokenizer, tokenizer, classifier)
    backend = in_transformers.TransformersBackend(classifier, family)
    verifier = ModelVerifier(family, backend, "classifier")

    async def score() -> list[Verdict]:
        return await together(verifier.score(*s) for s in [*solutions] * 2)

    verdicts = asyncio.run(score())
    verifier.close()
    for (context, steps), verdict in zip([*solutions] * 2, verdicts, strict=True):
        assert verdict.step_scores == pytest.approx(direct(context, steps), abs=1e-3)
    assert (backend.texts, backend.passes) == (6, 3)


def test_keys_and_values_longest_unused_are_forgotten_first() -> None:
    memory = KVMemory(max_bytes=3 * 2 * 4)  # three texts of two tokens, one number each

    def states(value: float) -> KnownText:
        return KnownText(torch.full((1, 1, 2, 1), value, dtype=torch.float32))

    for value, text in enumerate([(1, 1), (2, 2), (3, 3)]):
        memory.add(text, states(value))
    assert memory.longest((1, 1, 9), 3) is not None
    memory.add((4, 4), states(3.0))
    assert memory.longest((2, 2, 9), 3) is None
    found = memory.longest((1, 1, 9), 3)
    assert found is not None
    assert float(found.states[0, 0, 0, 0]) == 0
    # Not more of the text than asked for.
    assert memory.longest((1, 1, 9), 1) is None
    # One that takes more than all of the memory leaves the others.
    memory.add((5, 5), KnownText(torch.zeros(1, 1, 2, 4)))
    assert memory.longest((5, 5, 9), 3) is None
    assert memory.longest((1, 1, 9), 3) is not None


@pytest.mark.slow
def test_scores_hold_though_they_are_forgotten_at_once(
    run: Any,
    tokenizer: Any,
    verifier: ModelVerifier,
    direct: Direct,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [f"12+7*3\n12+7=19\n19*3={n}\n#{n}" for n in range(50, 60)]
    solutions = [solution(tokenizer, text) for text in texts]

    async def score() -> list[Verdict]:
        await verifier.score(solutions[0][0], solutions[0][1][:1])
        return list(await asyncio.gather(*(verifier.score(*s) for s in solutions)))

    monkeypatch.setattr(model_verifier, "REMEMBERED", 1)
    for verdict, (context, steps) in zip(run(score()), solutions, strict=True):
        assert verdict.step_scores == pytest.approx(direct(context, steps), abs=1e-3)


def test_equal_solutions_scored_at_once_are_read_once(
    run: Any, verifier: ModelVerifier, tokenizer: Any, direct: Direct
) -> None:
    # Several blocks of vLLM's cache, which gives no scores for the tokens that it holds.
    numbers = range(30, 45)
    lines = [f"{7 * n}+{n}={8 * n}" for n in numbers]
    context, steps = solution(tokenizer, "\n".join(["7*30+30", *lines, "#360"]))
    length = len(context.token_ids) + sum(map(len, steps))

    async def score() -> list[Verdict]:
        return await together(verifier.score(context, steps) for _ in range(4))

    verdicts = run(score())
    for verdict in verdicts:
        assert verdict.step_scores == pytest.approx(direct(context, steps), abs=1e-3)
        assert verdict.processed_tokens + verdict.cached_tokens == length
    assert [verdict.processed_tokens for verdict in verdicts[1:]] == [0, 0, 0]


def test_what_is_run_over_twice_is_not_taken_off_what_was_cached(
    run: Any, vllm_verifier: ModelVerifier, tokenizer: Any, direct: Direct
) -> None:
    lines = [f"{9 * n}+{n}={10 * n}" for n in range(30, 45)]
    context, steps = solution(tokenizer, "\n".join(["9*30+30", *lines, "#440"]))
    length = len(context.token_ids) + sum(map(len, steps))
    run(vllm_verifier.score(context, steps))
    vllm_verifier._known.clear()
    verdict = run(vllm_verifier.score(context, steps))
    assert verdict.step_scores == pytest.approx(direct(context, steps), abs=1e-3)
    assert verdict.processed_tokens > length, "its end, which gives the last scores, and all of it"
    assert verdict.cached_tokens == 0


class HeldBackend:
    """A backend of which reads wait until they may go on."""

    resources, context_length = "nothing", None

    def __init__(self) -> None:
        self.reads, self.go_on = 0, asyncio.Event()

    async def read(self, layout: Layout) -> tuple[tuple[float, ...], int]:
        self.reads += 1
        await self.go_on.wait()
        return tuple(0.5 for _ in layout.score_positions), len(layout.token_ids)

    def close(self) -> None: ...


def test_a_cancelled_read_is_begun_again_for_those_that_wait_for_it(
    classifier: Path, tokenizer: Any
) -> None:
    context, steps = solution(tokenizer, "5-9\n5-9=996\n#996")

    async def score() -> tuple[HeldBackend, Verdict]:
        backend = HeldBackend()
        family = FAMILIES[recognise(classifier)](tokenizer, tokenizer, classifier)
        verifier = ModelVerifier(family, backend, "held")
        first, second = (asyncio.create_task(verifier.score(context, steps)) for _ in range(2))
        await eventually_in_loop(lambda: backend.reads)
        first.cancel()
        await eventually_in_loop(lambda: backend.reads == 2)
        backend.go_on.set()
        return backend, await second

    backend, verdict = asyncio.run(score())
    assert verdict.step_scores == (0.5,) * len(steps)
    assert backend.reads == 2


def test_the_scores_longest_unused_are_forgotten_first(
    classifier: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_verifier, "REMEMBERED", 2)
    texts = {text: solution(tokenizer, f"5-9\n{text}") for text in ("1", "2", "3")}

    async def reads() -> list[int]:
        backend = HeldBackend()
        backend.go_on.set()
        family = FAMILIES[recognise(classifier)](tokenizer, tokenizer, classifier)
        verifier = ModelVerifier(family, backend, "held")
        found = []
        for text in "12131":
            await verifier.score(*texts[text])
            found.append(backend.reads)
        return found

    assert asyncio.run(reads()) == [1, 2, 2, 3, 3]


@pytest.fixture
def broken(classifier: Path, tmp_path: Path) -> Path:
    """A copy of the classifier, to be broken."""
    return Path(shutil.copytree(classifier, tmp_path / "prm"))


def test_nan_is_an_error_that_names_the_mend(tokenizer: Any, broken: Path) -> None:
    weights = load_file(broken / "model.safetensors")
    weights["score.weight"].fill_(float("nan"))
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    verifier = open_verifier(broken, tokenizer, engine="transformers")
    prompt_run = coin_run(tokenizer, verifier=verifier)
    with pytest.raises(ModelError, match="check its weights"):
        asyncio.run(prompt_run.sample(0))
    verifier.close()


def test_another_vocabulary_is_refused(tokenizer: Any, broken: Path) -> None:
    raw = json.loads((broken / "tokenizer.json").read_text())
    vocabulary = raw["model"]["vocab"]
    vocabulary["7"], vocabulary["8"] = vocabulary["8"], vocabulary["7"]
    (broken / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match="vocabulary is not the language model's"):
        open_verifier(broken, tokenizer)


def test_aggregation() -> None:
    scores = (0.5, 0.2, 0.8)
    assert aggregate(scores, "last") == 0.8
    assert aggregate(scores, "min") == 0.2
    assert aggregate(scores, "product") == pytest.approx(0.08)
    assert aggregate(scores, "mean") == pytest.approx(0.5)
    assert list(all_aggregations(scores)) == ["last", "min", "product", "mean"]


@pytest.mark.parametrize(("how", "best"), [("last", ["0\n", "1\n"]), ("min", ["1\n", "1\n"])])
def test_aggregation_decides_a_samples_score(tokenizer: Any, how: Any, best: list[str]) -> None:
    class Given(SumVerifier):
        async def score(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Verdict:
            # A solution that begins with 0 starts badly and ends well.
            zero = tokenizer.decode(steps[0]) == "0\n"
            return Verdict((0.1 if zero else 0.6, *[0.9 if zero else 0.7] * (len(steps) - 1)), 0, 0)

    run = coin_run(tokenizer, verifier=Given(tokenizer), scoring=alone(how))
    samples = asyncio.run(run.samples(0, 30))
    first = max(samples, key=lambda sample: sample.score).steps[0]
    assert tokenizer.decode(first) == best[0]
    assert isinstance(run.models.engine, CoinEngine)
