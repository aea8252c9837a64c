"""The recipes of ``ttc train``, from a language model and a file of prompts to a trained model.

Whatever is sampled is kept in a journal beside the trained model; a recipe that was interrupted,
in sampling or in training, goes on where it was when it is called again.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from calibration.console import console, progress
from calibration.training.attempts import sample_chains, turned
from calibration.training.journal import Journal
from calibration.training.labels import LabelledSolution, label_prompts
from calibration.training.settings import (
    VALIDATION_SHARE,
    ChainSettings,
    LabelSettings,
    ReviserSettings,
    SampleSettings,
    TrainSettings,
)
from runtime.answers import answers_for
from runtime.engine import SamplingSettings
from runtime.engines.loading import EngineName, model_config, model_fingerprint, open_engine
from runtime.graders import answers_fingerprint
from runtime.reviser import ask_again

Prompts = Sequence[tuple[str, str]]

MEASURED_PROMPTS = 200  # of those held out, to measure what revisions do


class Source(BaseModel):
    """What a recipe starts from.

    Attributes:
        model: folder of the language model.
        answers: how answers are read, see `runtime.answers.answers_for`.
        sampling: how solutions are sampled.
        engine: which engine samples.
    """

    model: Path
    answers: str
    sampling: SamplingSettings
    engine: EngineName = "auto"

    def journal(self, path: Path, prompts: Prompts, **settings: object) -> Journal:
        """A journal of work that depends on this, the prompts and the settings.

        Raises:
            InputError: it was begun with others.
        """
        own = {
            "model": model_fingerprint(self.model),
            "answers": answers_fingerprint(self.answers, Path()),
            "sampling": self.sampling.model_dump(),
            "prompts": hashlib.sha256(repr(list(prompts)).encode()).hexdigest()[:16],
        }
        return Journal(path, own | settings)


async def prm_recipe(
    source: Source, prompts: Prompts, out: Path, labels: LabelSettings, training: TrainSettings
) -> None:
    """Train a PRM by the paper's recipe (section "Verifiers", app. D).

    Args:
        source: the language model.
        prompts: (prompt, right answer) pairs.
        out: folder for the PRM.
        labels: how labels are sampled.
        training: the fine-tuning.

    Raises:
        InputError: unusable input.
    """
    from calibration.training.classifiers import train_verifier

    solutions = await _labelled(source, prompts, out, labels)
    train_verifier("prm", source.model, out, solutions, training, console.print)


async def orm_recipe(
    source: Source, prompts: Prompts, out: Path, samples: SampleSettings, training: TrainSettings
) -> None:
    """Train an ORM on whole solutions (app. F); arguments as `prm_recipe`."""
    from calibration.training.classifiers import train_verifier

    solutions = await _labelled(source, prompts, out, LabelSettings(**vars(samples), rollouts=0))
    train_verifier("orm", source.model, out, solutions, training, console.print)


async def reviser_recipe(
    source: Source, prompts: Prompts, out: Path, chains: ReviserSettings, training: TrainSettings
) -> tuple[float, float]:
    """Train a reviser (section 6.1), and measure what its revisions do on prompts held out.

    Args:
        source: the language model.
        prompts: (prompt, right answer) pairs.
        out: folder for the reviser.
        chains: how the chains to learn from are made.
        training: the fine-tuning.

    Returns:
        The shares of correct attempts that a revision turned wrong, and of wrong ones turned
        correct.

    Raises:
        InputError: unusable input.
    """
    from calibration.training.reviser import chains_of, train_reviser

    labels = LabelSettings(samples=chains.samples, rollouts=0, seed=chains.seed)
    solutions = await _labelled(source, prompts, out, labels)
    with open_engine(source.model, "transformers") as engine:
        again = [ask_again(engine, prompt) for prompt, _ in prompts]

        def decode(ids: Sequence[int]) -> str:
            return str(engine.tokenizer.decode(ids, skip_special_tokens=True))

        examples = chains_of(solutions, again, decode, chains)
    train_reviser(source.model, out, examples, training, chains.context, console.print)
    held_out = prompts[::VALIDATION_SHARE][:MEASURED_PROMPTS]
    drawn = await _chains(source, out, held_out, out, ChainSettings(seed=chains.seed))
    return turned(drawn)


async def reviser_orm_recipe(
    source: Source,
    reviser: Path,
    prompts: Prompts,
    out: Path,
    chains: ChainSettings,
    training: TrainSettings,
) -> None:
    """Train the reviser's own ORM, which sees the chain (app. J).

    Args:
        source: the language model.
        reviser: the reviser.
        prompts: (prompt, right answer) pairs.
        out: folder for the ORM.
        chains: how many chains of the reviser's it is trained on.
        training: the fine-tuning.

    Raises:
        InputError: unusable input.
    """
    from calibration.training.classifiers import train_verifier

    drawn = await _chains(source, reviser, prompts, out, chains)
    attempts = [attempt for chain in drawn for attempt in chain]
    context = int(model_config(reviser)["max_position_embeddings"])
    train_verifier("orm", source.model, out, attempts, training, console.print, context)


async def _labelled(
    source: Source, prompts: Prompts, out: Path, labels: LabelSettings
) -> list[LabelledSolution]:
    answers = answers_for(source.answers)
    journal = source.journal(_beside(out, "samples"), prompts, **labels.model_dump())
    with (
        open_engine(source.model, source.engine) as engine,
        progress("Sampling prompts", len(prompts)) as done,
    ):
        solutions = await label_prompts(
            engine, answers, source.sampling, prompts, labels, journal, done
        )
    journal.close()
    return solutions


async def _chains(
    source: Source, reviser: Path, prompts: Prompts, out: Path, chains: ChainSettings
) -> list[list[LabelledSolution]]:
    answers = answers_for(source.answers)
    of_reviser = model_fingerprint(reviser)
    journal = source.journal(
        _beside(out, "chains"), prompts, reviser=of_reviser, **chains.model_dump()
    )
    with (
        open_engine(source.model, source.engine) as engine,
        open_engine(reviser, source.engine) as revising,
        progress("Sampling chains", len(prompts)) as done,
    ):
        drawn = await sample_chains(
            engine, revising, answers, source.sampling, prompts, chains, journal, done
        )
    journal.close()
    return drawn


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f"{out.name}.{what}.jsonl")
