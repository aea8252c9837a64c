"""The training recipes: labels against values known in closed form, fine-tunings that learn."""

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel

from allocator.errors import InputError
from benchmarks.testbed.paths import BASE, SETTINGS
from benchmarks.testbed.task import distinct_problems
from calibration.training.attempts import flip_rates, sample_chains
from calibration.training.classifiers import orm_example, prm_example, train_verifier
from calibration.training.fine_tune import fine_tune
from calibration.training.journal import Journal
from calibration.training.labels import LabelledSolution, label_prompts
from calibration.training.reviser import chains_of, train_reviser
from calibration.training.settings import (
    ChainSettings,
    LabelSettings,
    ReviserSettings,
    TrainSettings,
    VerifierSettings,
)
from runtime.answers import PatternAnswers
from runtime.answers.grading import Grader
from runtime.answers.thought import SolutionReader
from runtime.engines.base import SamplingSettings
from runtime.engines.transformers import TransformersEngine
from runtime.reviser import ask_again
from runtime.verifiers.base import Context
from runtime.verifiers.loading import open_verifier
from tests.support.fakes import CoinEngine

pytestmark = pytest.mark.slow

COINS = SamplingSettings(step_end="\n", max_tokens=40)


def pattern_grader(pattern: str, tokenizer: Any) -> Grader:
    return Grader(PatternAnswers(pattern), SolutionReader(tokenizer, ()))


def coin_labels(tokenizer: Any, path: Path, settings: LabelSettings, engine: Any = None) -> Any:
    journal = Journal(path, settings.model_dump())
    grader = pattern_grader(r"#(\d+)", tokenizer)
    prompts = [("1", "3"), ("2", "3")]
    try:
        return asyncio.run(
            label_prompts(
                engine or CoinEngine(tokenizer), grader, COINS, prompts, settings, journal
            )
        )
    finally:
        journal.close()


def test_labels_are_the_chance_to_end_correct(tokenizer: Any, tmp_path: Path) -> None:
    # Three fair coins must sum to 3. After a first 1 the chance is 1/4, after two ones 1/2; after
    # any 0 it is nil; a finished solution's label is whether it is right.
    settings = LabelSettings(samples=16, rollouts=400)
    solutions = coin_labels(tokenizer, tmp_path / "labels.jsonl", settings)
    expected = {"1\n": 0.25, "1\n1\n": 0.5, "1\n1\n1\n": 1.0}
    seen = set()
    for solution in solutions:
        prompt_length = len(tokenizer.encode("<user>1<assistant>"))
        for position, label in zip(solution.positions, solution.labels, strict=True):
            prefix = tokenizer.decode(solution.token_ids[prompt_length : position + 1])
            if prefix.endswith("<end>"):
                assert label == float("#3" in prefix)
            # A rollout's own steps are labelled by itself alone; what was sampled, by all 400.
            elif solution.start == prompt_length:
                assert label == pytest.approx(expected.get(prefix, 0.0), abs=0.1)
                seen.add(prefix)
    assert expected.keys() <= seen


def test_a_rollout_is_labelled_from_where_it_started(tokenizer: Any, tmp_path: Path) -> None:
    settings = LabelSettings(samples=4, rollouts=2)
    solutions = coin_labels(tokenizer, tmp_path / "labels.jsonl", settings)
    prompt_length = len(tokenizer.encode("<user>1<assistant>"))
    assert sum(s.start == prompt_length for s in solutions) == 8
    rollouts = [s for s in solutions if s.start > prompt_length]
    assert rollouts
    for solution in rollouts:
        assert min(solution.positions) >= solution.start
        example = prm_example(solution)
        labelled = ~np.isnan(example.targets)
        assert not labelled[: solution.start].any()
        assert labelled[solution.start :].all()
        assert np.isnan(orm_example(solution).targets).sum() == len(solution.token_ids) - 1


def test_labelling_goes_on_where_it_stopped(tokenizer: Any, tmp_path: Path) -> None:
    settings = LabelSettings(samples=4, rollouts=3)
    uninterrupted = CoinEngine(tokenizer)
    whole = coin_labels(tokenizer, tmp_path / "whole.jsonl", settings, uninterrupted)
    path = tmp_path / "stopped.jsonl"
    with pytest.raises(RuntimeError, match="has failed"):
        coin_labels(tokenizer, path, settings, CoinEngine(tokenizer, fails_after=40))
    # A crash may also cut the last line short.
    with path.open("a") as file:
        file.write('{"prompt":1,"resu')
    engine = CoinEngine(tokenizer)
    assert len(Journal(path, settings.model_dump()).places) == 1
    assert coin_labels(tokenizer, path, settings, engine) == whole
    assert len(engine.requests) < len(uninterrupted.requests)
    with pytest.raises(InputError, match="it was begun with"):
        coin_labels(tokenizer, path, LabelSettings(samples=5, rollouts=3))


def label_testbed(path: Path, settings: LabelSettings, prompts: int) -> list[LabelledSolution]:
    problems = [(p.text, p.answer) for p in distinct_problems("train", prompts, seed=41)]

    async def label() -> list[LabelledSolution]:
        engine = TransformersEngine(BASE)
        try:
            return await label_prompts(
                engine,
                pattern_grader(r"^#(\d+)$", engine.tokenizer),
                SETTINGS.sampling,
                problems,
                settings,
                Journal(path, settings.model_dump()),
            )
        finally:
            engine.close()

    return asyncio.run(label())


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledSolution]:
    """Two labelled solutions each of 300 prompts of the testbed."""
    path = tmp_path_factory.mktemp("labels") / "labels.jsonl"
    return label_testbed(path, LabelSettings(samples=2, rollouts=0), prompts=300)


@pytest.mark.parametrize("kind", ["prm", "orm"])
def test_a_verifier_learns_and_can_be_served(
    kind: Any, sampled: list[LabelledSolution], tokenizer: Any, tmp_path: Path
) -> None:
    assert {label for s in sampled for label in s.labels} == {0.0, 0.5, 1.0}
    # Labels that the text decides, for so few prompts teach nothing about arithmetic: whether the
    # prompt begins with an even digit.
    solutions = [replace(s, labels=[float(s.token_ids[1] % 2)] * len(s.labels)) for s in sampled]
    lines: list[str] = []
    settings = VerifierSettings(
        learning_rate=1e-3, batch=16, max_epochs=2, dropout=0, extra_layers=1
    )
    train_verifier(kind, BASE, tmp_path / "out", solutions, settings, lines.append)
    losses = [float(line.split("validation loss ")[1].split(",")[0]) for line in lines]
    # On early stopping's own prompts: half of what a guess of even chances would lose.
    assert min(losses) < np.log(2) / 2
    # Of the state to resume from it is left that training has finished.
    kept = tmp_path / "out.training-state"
    assert [path.name for path in kept.iterdir()] == ["finished.json"]

    verifier = open_verifier(tmp_path / "out", tokenizer, engine="transformers")
    context = Context("1+1", tuple(tokenizer.encode("<user>1+1<assistant>")))
    verdict = asyncio.run(verifier.score(context, [tuple(tokenizer.encode("1+1=2\n"))]))
    verifier.close()
    assert 0 < verdict.step_scores[0] < 1


@pytest.mark.parametrize("kind", ["prm", "orm"])
def test_a_head_on_likelihoods_learns_and_leaves_the_model_as_it_is(
    kind: Any, sampled: list[LabelledSolution], tokenizer: Any, tmp_path: Path
) -> None:
    # Labels that likelihoods decide: the model's own solutions are good, made ones are not.
    def made(solution: LabelledSolution) -> LabelledSolution:
        ids = list(solution.token_ids)
        digits, seven = tokenizer.encode("0123456789"), tokenizer.encode("7")[0]
        for at in range(solution.prompt_tokens, len(ids)):
            ids[at] = seven if ids[at] in digits else ids[at]
        return replace(solution, token_ids=ids, labels=[0.0] * len(solution.labels))

    own = [replace(s, labels=[1.0] * len(s.labels)) for s in sampled[::2]]
    settings = VerifierSettings(learning_rate=3e-3, batch=16, max_epochs=8, likelihood=True)
    lines: list[str] = []
    solutions = own + [made(s) for s in own]
    train_verifier(kind, BASE, tmp_path / "out", solutions, settings, lines.append)
    assert float(lines[-1].rpartition("over all ")[2]) > 0.9
    before, after = (load_file(f / "model.safetensors") for f in (BASE, tmp_path / "out"))
    assert all(torch.equal(before[name], after[name]) for name in before)
    verifier = open_verifier(tmp_path / "out", tokenizer, engine="transformers")
    context = Context("1+1", tuple(tokenizer.encode("<user>1+1<assistant>")))

    async def both() -> list[float]:
        texts = ("1+1=2\n#2<end>", "7+7=7\n#7<end>")
        verdicts = [
            await verifier.score(context, [tuple(tokenizer.encode(text))]) for text in texts
        ]
        return [verdict.step_scores[-1] for verdict in verdicts]

    good, bad = asyncio.run(both())
    verifier.close()
    assert good > bad


def test_layers_are_not_added_to_a_model_that_stays_as_it_is() -> None:
    with pytest.raises(ValueError, match="extra_layers: 2; with likelihood"):
        VerifierSettings(likelihood=True, extra_layers=2)


def test_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    labels = LabelSettings(samples=2, rollouts=0)
    solutions = label_testbed(tmp_path / "labels.jsonl", labels, prompts=60)
    settings = VerifierSettings(learning_rate=1e-3, batch=16, max_epochs=3, dropout=0, patience=3)

    def train(out: Path, stop_after: int | None = None) -> list[str]:
        lines: list[str] = []

        def log(line: str) -> None:
            lines.append(line)
            if len(lines) == stop_after:
                raise KeyboardInterrupt

        train_verifier("prm", BASE, out, solutions, settings, log)
        return lines

    whole = train(tmp_path / "whole")
    # Interrupted in its second epoch, before that epoch's end is kept.
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", stop_after=2)
    kept = tmp_path / "stopped.training-state" / "counters.json"
    before = kept.read_text()
    other_settings = settings.model_copy(update={"learning_rate": 2e-3})
    other_base = shutil.copytree(BASE, tmp_path / "base")
    config = json.loads((other_base / "config.json").read_text())
    (other_base / "config.json").write_text(json.dumps(config | {"rope_theta": 5e3}))
    for base, labelled, chosen, what in (
        (BASE, solutions, other_settings, "learning_rate': 0.001}, not {'learning_rate': 0.002}"),
        (BASE, solutions[1:], settings, "examples"),
        (other_base, solutions, settings, "model"),
    ):
        with pytest.raises(InputError, match=f"was begun with {{'{what}.*remove the folder"):
            train_verifier("prm", base, tmp_path / "stopped", labelled, chosen)
    assert kept.read_text() == before
    resumed = train(tmp_path / "stopped")
    assert resumed == whole[1:]
    first, second = (
        load_file(tmp_path / name / "model.safetensors") for name in ("whole", "stopped")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_chains_end_correct_after_the_closest_wrong_attempt(tokenizer: Any) -> None:
    prompt = tuple(tokenizer.encode("<user>1+1<assistant>"))
    texts = {"1+1=2\n#2": 1.0, "1+1=3\n#3": 0.0, "9*9=0\n#81": 0.0, "1+1=2\n#77": 0.0}

    def labelled(text: str, label: float) -> LabelledSolution:
        ids = prompt + tuple(tokenizer.encode(text + "<end>"))
        return LabelledSolution(0, ids, len(prompt), [len(ids) - 1], [label], len(prompt))

    solutions = [labelled(text, label) for text, label in texts.items() for _ in range(8)]
    again = [tuple(tokenizer.encode("<end><user>1+1<assistant>"))]
    settings = ReviserSettings(samples=8, chains=64, context=256)
    examples = chains_of(solutions, again, tokenizer.decode, settings)
    assert len(examples) == 8
    lengths = set()
    for example in examples:
        ids, learnt = list(example.token_ids), ~np.isnan(example.targets)
        text = tokenizer.decode([i for i, keep in zip(ids, learnt, strict=True) if keep])
        assert text == "1+1=2\n#2<end>"
        attempts = tokenizer.decode(ids).split("<user>1+1<assistant>")[1:-1]
        lengths.add(len(attempts))
        # Two characters away, and one longer: the first is the closer.
        assert not attempts or attempts[-1] == "1+1=3\n#3<end>"
    assert lengths <= {0, 1, 2, 3, 4}
    assert len(lengths) > 2


def test_mixed_chains_hold_correct_attempts_and_weigh_changed_steps(tokenizer: Any) -> None:
    prompt = tuple(tokenizer.encode("<user>1+1+1<assistant>"))

    def labelled(lines: list[str], label: float) -> LabelledSolution:
        steps = [tokenizer.encode(line) for line in lines]
        ids = prompt + tuple(token for step in steps for token in step)
        ends = np.cumsum([len(step) for step in steps]) + len(prompt) - 1
        labels = [label] * len(steps)
        return LabelledSolution(0, ids, len(prompt), ends.tolist(), labels, len(prompt))

    right = ["1+1=2\n", "2+1=3\n", "#3<end>"]
    wrong = ["1+1=2\n", "2+1=4\n", "#4<end>"]
    solutions = [labelled(right, 1.0), labelled(wrong, 0.0)] * 8
    again = [tuple(tokenizer.encode("<end><user>1+1+1<assistant>"))]
    settings = ReviserSettings(samples=8, chains=64, context=256, mixed=1.0, changed_weight=3.0)
    seen = set()
    for example in chains_of(solutions, again, tokenizer.decode, settings):
        ids, weights = list(example.token_ids), np.array(example.targets)
        attempts = tokenizer.decode(ids).split("<user>1+1+1<assistant>")[1:-1]
        last = attempts[-1] if attempts else "".join(right)
        kept, changed = (
            tokenizer.decode([i for i, w in zip(ids, weights, strict=True) if w == weight])
            for weight in (1.0, 3.0)
        )
        correct = last == "".join(right)
        assert kept == ("".join(right) if correct else right[0])
        assert changed == ("" if correct else "".join(right[1:]))
        seen.add((len(attempts), correct))
    assert {True, False} == {correct for length, correct in seen if length}


def test_a_reviser_is_trained_and_its_chains_are_sampled_and_graded(
    tokenizer: Any, tmp_path: Path
) -> None:
    labels = LabelSettings(samples=6, rollouts=0)
    solutions = label_testbed(tmp_path / "labels.jsonl", labels, prompts=60)
    problems = [(p.text, p.answer) for p in distinct_problems("train", 60, seed=41)]

    async def train_and_sample() -> list[list[LabelledSolution]]:
        engine = TransformersEngine(BASE)
        again = [ask_again(engine, prompt) for prompt, _ in problems]
        settings = ReviserSettings(samples=6, chains=4, context=640)
        examples = chains_of(solutions, again, tokenizer.decode, settings)
        training = TrainSettings(learning_rate=5e-4, batch=16, max_epochs=1, dropout=0)
        train_reviser(BASE, tmp_path / "reviser", examples, training, 640, lambda _: None)
        reviser = TransformersEngine(tmp_path / "reviser")
        assert reviser.context_length == 640
        chains = await sample_chains(
            engine,
            reviser,
            pattern_grader(r"^#(\d+)$", engine.tokenizer),
            SETTINGS.sampling,
            problems[:4],
            ChainSettings(chains=2, length=6),
            Journal(tmp_path / "chains.jsonl", {}),
        )
        engine.close()
        reviser.close()
        return chains

    chains = asyncio.run(train_and_sample())
    assert [len(chain) for chain in chains] == [6] * 8
    prompt = tokenizer.encode(f"<user>{problems[0][0]}<assistant>")
    for number, attempt in enumerate(chains[0]):
        # The prompt is asked once more before each attempt, with four attempts at most in view.
        text = tokenizer.decode(attempt.token_ids[: attempt.start])
        assert text.count(tokenizer.decode(prompt)) == min(number, 4) + 1
        assert set(attempt.labels) <= {0.0, 1.0}


def test_turned_counts_neighbours() -> None:
    def chain(*labels: float) -> list[LabelledSolution]:
        return [LabelledSolution(0, [1], 0, [0], [label], 0) for label in labels]

    wrong, right = flip_rates([chain(1, 0, 0, 1), chain(1, 1)])
    assert wrong == 1 / 2
    assert right == 1 / 2


def test_too_few_prompts_cannot_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one in ten is held out"):
        fine_tune(None, None, BASE, [], lambda *_: (torch.zeros(1), 1.0), TrainSettings(), tmp_path)


def test_any_causal_model_can_be_trained(tokenizer: Any, tmp_path: Path) -> None:
    base = tmp_path / "gpt2"
    GPT2LMHeadModel(
        GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=2, n_head=2)
    ).save_pretrained(base)
    tokenizer.save_pretrained(base)
    ids = tokenizer.encode("<user>1+1<assistant>1+1=2\n#2<end>")
    solutions = [
        LabelledSolution(p, ids, 5, [10, len(ids) - 1], [0.5, p % 2], 5) for p in range(20)
    ]
    settings = VerifierSettings(learning_rate=1e-3, batch=8, max_epochs=1)
    train_verifier("prm", base, tmp_path / "prm", solutions, settings, lambda _: None)
    verifier = open_verifier(tmp_path / "prm", tokenizer, engine="transformers")
    verdict = asyncio.run(verifier.score(Context("1+1", tuple(ids[:5])), [tuple(ids[5:])]))
    verifier.close()
    assert 0 < verdict.step_scores[0] < 1
    half = settings.model_copy(update={"dtype": "float16"})
    train_verifier("prm", base, tmp_path / "half", solutions, half, lambda _: None)
    whole, rounded = (load_file(tmp_path / name / "model.safetensors") for name in ("prm", "half"))
    assert all(torch.equal(rounded[name], whole[name].half()) for name in whole)
    deeper = settings.model_copy(update={"extra_layers": 1})
    with pytest.raises(InputError, match="gpt2 has no Llama-like layers to add"):
        train_verifier("prm", base, tmp_path / "deeper", solutions, deeper)
