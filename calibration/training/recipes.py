"""The recipes of ``ttc train``, from a language model and a file of prompts to a trained model.

Samples are kept in a journal beside the trained model. A recipe that was interrupted, in sampling,
in training or while it measured what it has trained, resumes when it is called again.
"""

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from safetensors import SafetensorError

from allocator.errors import InputError
from allocator.files import RUN_AGAIN
from allocator.lock import exclusive
from calibration.progress import console, progress
from calibration.sampling.collect import unmatched
from calibration.training.attempts import flip_rates, sample_chains
from calibration.training.journal import Journal
from calibration.training.labels import LabelledSolution, check_steps, label_prompts
from calibration.training.settings import (
    VALIDATION_SHARE,
    ChainSettings,
    LabelSettings,
    ReviserSettings,
    SampleSettings,
    TrainSettings,
    VerifierSettings,
)
from calibration.training.state import remove_state
from runtime.answers import answers_for
from runtime.answers.graders import answers_fingerprint
from runtime.answers.grading import Grader
from runtime.answers.readers import DEADLINE
from runtime.answers.thought import SolutionReader, thoughts_of
from runtime.concurrency import sharing_cores
from runtime.engines.base import Engine, SamplingSettings
from runtime.engines.checkpoint import model_config, model_fingerprint
from runtime.engines.engine_args import EngineArgs
from runtime.engines.gpus import divide_memory
from runtime.engines.loading import EngineName, engine_kind, open_engine
from runtime.engines.tokenizer import decode
from runtime.opener import check_memory
from runtime.reviser import ask_again

Prompts = Sequence[tuple[str, str]]

MEASURED_PROMPTS = 200  # held-out prompts on which revisions are measured


class Source(BaseModel):
    """The language model that a recipe samples, how these samples are graded, and what is trained.

    Attributes:
        model: folder of the language model.
        backbone: folder of the language model that is trained on its samples; None for itself. A
            verifier that is larger than the model knows more than it, as in practice.
        answers: how answers are read, see `runtime.answers.answers_for`.
        answer_timeout: seconds that one answer may take to compare.
        thought: marks of the model's thoughts, see `runtime.answers.thought.thoughts_of`.
        sampling: how solutions are sampled.
        engine: which engine samples.
    """

    model: Path
    backbone: Path | None = None
    answers: str
    answer_timeout: float = DEADLINE
    thought: str = "auto"
    sampling: SamplingSettings
    engine: EngineName = "auto"

    @property
    def trained(self) -> Path:
        """Folder of the model that is trained.

        Raises:
            InputError: its tokens are not the language model's.
        """
        if self.backbone is None:
            return self.model
        from transformers import AutoTokenizer

        own, other = (
            AutoTokenizer.from_pretrained(folder).get_vocab()
            for folder in (self.model, self.backbone)
        )
        if own != other:
            why = f"its vocabulary must be that of {self.model}, whose tokens it is trained on"
            raise InputError("backbone", str(self.backbone), why)
        return self.backbone

    def grader(self, tokenizer: Any) -> Grader:
        """A grader of solutions of a model with this tokenizer."""
        thoughts = thoughts_of(self.thought, tokenizer)
        answers = answers_for(self.answers, Path(), self.answer_timeout, thoughts)
        return Grader(answers, SolutionReader(tokenizer, thoughts))

    def journal(self, path: Path, prompts: Prompts, **settings: object) -> Journal:
        """A journal of results that depend on this source, the prompts and the settings.

        Raises:
            InputError: it was begun with other settings.
        """
        own = {
            "model": model_fingerprint(self.model),
            # Journals from before marks were named do not have them.
            "answers": answers_fingerprint(self.answers, Path())
            + ("" if self.thought == "auto" else f", thought {self.thought}"),
            "sampling": self.sampling.model_dump(),
            "prompts": hashlib.sha256(repr(list(prompts)).encode()).hexdigest()[:16],
        }
        return Journal(path, own | settings)


async def prm_recipe(
    source: Source, prompts: Prompts, out: Path, labels: LabelSettings, training: VerifierSettings
) -> None:
    """Train a PRM by the paper's recipe (section "Verifiers", app. D).

    Args:
        source: the language model.
        prompts: (prompt, right answer) pairs.
        out: folder for the PRM. A model in it is overwritten, if it is none that the recipe reads.
        labels: how labels are sampled.
        training: the fine-tuning.

    Raises:
        InputError: unusable input; solutions without steps, see `calibration.sampling.steps`; or
            none of them right, or all.
        ModelError: training has diverged.
    """
    from calibration.training.classifiers import train_verifier

    trained = source.trained
    with _alone(out, source) as folder:
        solutions = await _labelled(source, prompts, folder, labels, stepwise=True)
        train_verifier("prm", trained, folder, solutions, training, console.print)


async def orm_recipe(
    source: Source, prompts: Prompts, out: Path, samples: SampleSettings, training: VerifierSettings
) -> None:
    """Train an ORM on whole solutions (app. F); arguments as `prm_recipe`."""
    from calibration.training.classifiers import train_verifier

    trained = source.trained
    labels = LabelSettings(**vars(samples), rollouts=0)
    with _alone(out, source) as folder:
        solutions = await _labelled(source, prompts, folder, labels)
        train_verifier("orm", trained, folder, solutions, training, console.print)


async def reviser_recipe(
    source: Source, prompts: Prompts, out: Path, chains: ReviserSettings, training: TrainSettings
) -> tuple[float, float]:
    """Train a reviser (section 6.1), and measure its revisions on held-out prompts.

    Args:
        source: the language model.
        prompts: (prompt, right answer) pairs.
        out: folder for the reviser, as `prm_recipe`'s.
        chains: how training chains are made.
        training: the fine-tuning.

    Returns:
        The shares of correct attempts that a revision turned wrong, and of wrong ones turned
        correct.

    Raises:
        InputError: unusable input; no solution is right, or all are; or most chains have no room
            for attempts.
        ModelError: training has diverged.
    """
    from calibration.training.fine_tune import release_memory
    from calibration.training.reviser import reviser_context, train_reviser

    trained = source.trained
    chains = chains.model_copy(update={"context": reviser_context(trained, chains.context)})
    labels = LabelSettings(samples=chains.samples, rollouts=0, seed=chains.seed)
    with _alone(out, source) as folder:
        solutions = await _labelled(source, prompts, folder, labels)
        examples = _chain_examples(source, prompts, solutions, chains)
        train_reviser(trained, folder, examples, training, chains.context, console.print)
        release_memory()  # for the engines that measure it
        _remove_chains_of_others(folder)
        held_out = prompts[::VALIDATION_SHARE][:MEASURED_PROMPTS]
        drawn = await _chains(source, folder, held_out, folder, ChainSettings(seed=chains.seed))
        return flip_rates(drawn)


async def reviser_orm_recipe(
    source: Source,
    reviser: Path,
    prompts: Prompts,
    out: Path,
    chains: ChainSettings,
    training: VerifierSettings,
) -> None:
    """Train the reviser's own ORM, which sees the chain (app. J).

    Args:
        source: the language model.
        reviser: the reviser.
        prompts: (prompt, right answer) pairs.
        out: folder for the ORM, as `prm_recipe`'s.
        chains: number and length of the reviser's chains to train on.
        training: the fine-tuning.

    Raises:
        InputError: unusable input; or no solution is right, or all are.
        ModelError: training has diverged.
    """
    from calibration.training.classifiers import train_verifier

    trained = source.trained
    with _alone(out, source, reviser) as folder:
        drawn = await _chains(source, reviser, prompts, folder, chains)
        attempts = [attempt for chain in drawn for attempt in chain]
        await _check_labels(source, prompts, attempts)
        context = int(model_config(reviser)["max_position_embeddings"])
        train_verifier("orm", trained, folder, attempts, training, console.print, context)


@contextmanager
def _opened(
    source: Source, which: str, model: Path, args: EngineArgs | None = None
) -> Iterator[Engine]:
    """An engine that samples, its memory checked."""
    with open_engine(model, source.engine, **(args or {})) as engine:
        if engine_kind(source.engine) == "vllm":
            check_memory(which, model, engine.context_length, source.sampling.max_tokens)
        yield engine


def _chain_examples(
    source: Source,
    prompts: Prompts,
    solutions: Sequence[LabelledSolution],
    chains: ReviserSettings,
) -> list[Any]:
    """The examples that a reviser is trained on. The model is let go, with its memory."""
    from calibration.training.reviser import chains_of

    with open_engine(source.model, "transformers") as engine:
        again = [ask_again(engine, prompt) for prompt, _ in prompts]
        return chains_of(solutions, again, partial(decode, engine.tokenizer), chains)


async def _labelled(
    source: Source, prompts: Prompts, out: Path, labels: LabelSettings, stepwise: bool = False
) -> list[LabelledSolution]:
    answers_for(source.answers)  # refused before any model is loaded
    journal = source.journal(_beside(out, "samples"), prompts, **labels.model_dump())
    with (
        _opened(source, "model", source.model) as engine,
        progress("Sampling prompts", len(prompts)) as done,
    ):
        if stepwise and not journal.places:
            await check_steps(engine, source.sampling, prompts, labels.seed)
        solutions = await label_prompts(
            engine, source.grader(engine.tokenizer), source.sampling, prompts, labels, journal, done
        )
    journal.close()
    await _check_labels(source, prompts, solutions)
    return solutions


async def _check_labels(
    source: Source, prompts: Prompts, solutions: Sequence[LabelledSolution]
) -> None:
    """Refuse labels that are all alike, of which nothing is learnt.

    Raises:
        InputError: no solution is right, so that the answers must be read wrongly; or all are.
    """
    from transformers import AutoTokenizer

    labels = [label for solution in solutions for label in solution.labels]
    if prompts and not any(labels):
        sampled = None
        if first := next((solution for solution in solutions if solution.prompt == 0), None):
            grader = source.grader(AutoTokenizer.from_pretrained(source.model))
            ids, start = first.token_ids, first.prompt_tokens
            sampled = await grader.answer(ids[:start], ids[start:])
        raise unmatched(source.answers, prompts[0][1], sampled)
    if labels and min(labels) == 1:
        raise InputError(
            "prompts",
            len(prompts),
            "every solution of every prompt is right, of which nothing is learnt; give harder ones",
        )


async def _chains(
    source: Source, reviser: Path, prompts: Prompts, out: Path, chains: ChainSettings
) -> list[list[LabelledSolution]]:
    answers_for(source.answers)  # refused before any model is loaded
    of_reviser = model_fingerprint(reviser)
    journal = source.journal(
        _beside(out, "chains"), prompts, reviser=of_reviser, **chains.model_dump()
    )
    folders = {"model": source.model, "reviser": reviser}
    in_vllm = engine_kind(source.engine) == "vllm"
    args = divide_memory(folders, {"model": {}, "reviser": {}}) if in_vllm else {}
    with (
        sharing_cores(),
        _opened(source, "model", source.model, args.get("model")) as engine,
        _opened(source, "reviser", reviser, args.get("reviser")) as revising,
        progress("Sampling chains", len(prompts)) as done,
    ):
        drawn = await sample_chains(
            engine,
            revising,
            source.grader(engine.tokenizer),
            source.sampling,
            prompts,
            chains,
            journal,
            done,
        )
    journal.close()
    return drawn


def _remove_chains_of_others(reviser: Path) -> None:
    """Remove chains that measured a reviser which stood in this folder before.

    Args:
        reviser: the reviser's folder.
    """
    path = _beside(reviser, "chains")
    begun = Journal.begun_with(path)
    if "reviser" in begun and begun["reviser"] != model_fingerprint(reviser):
        path.unlink()


@contextmanager
def _alone(out: Path, source: Source, reviser: Path | None = None) -> Iterator[Path]:
    """Lock the folder against other processes, and report a full disk as an InputError.

    Where the block ends well, what was kept to resume its training is removed.

    Args:
        out: the folder.
        source: its models, and the reviser, are not overwritten.
        reviser: a reviser that is sampled.

    Returns:
        The folder as an absolute path, which has a name for the files beside it.
    """
    folder = _absolute(out)
    if folder.is_file():
        raise InputError("out", str(out), "it is a file; give a folder")
    read = {"model": source.model, "backbone": source.backbone, "reviser": reviser}
    for name, model in read.items():
        if model is not None and model.resolve() == folder.resolve():
            why = f"it is the folder of the --{name}, which would be overwritten; choose another"
            raise InputError("out", str(out), why)
    try:
        with exclusive(folder.with_name(f"{folder.name}.lock"), out):
            yield folder
            remove_state(folder)
    except (OSError, SafetensorError) as error:
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        hint = f"cannot be written ({error}); what was sampled and trained is kept: {RUN_AGAIN}"
        raise InputError("out", str(out), hint) from None


def check_own(out: Path) -> None:
    """Refuse a folder with a model that no recipe has left there.

    A recipe begins with a journal beside its model, and never removes it.

    Args:
        out: folder for a trained model.

    Raises:
        InputError: it holds such a model, or has no name.
    """
    folder = _absolute(out)
    journals = [_beside(folder, what) for what in ("samples", "chains")]
    if (folder / "config.json").is_file() and not any(path.is_file() for path in journals):
        raise InputError(
            "out",
            str(out),
            "it holds a model that ttc train has not left there; choose another folder, or remove "
            "it",
        )


def _absolute(out: Path) -> Path:
    # A link stays a link: journals of earlier runs lie beside it.
    folder = Path(os.path.abspath(out))
    if not folder.name:
        raise InputError("out", str(out), "it has no name; give a folder")
    return folder


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f"{out.name}.{what}.jsonl")
