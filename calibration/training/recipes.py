"""The recipes of ``ttc train``, from a language model and a file of prompts to a trained model.

Whatever is sampled is kept in a journal beside the trained model; a recipe that was interrupted,
in sampling or in training, goes on where it was when it is called again.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from allocator.errors import InputError
from calibration.console import console, progress
from calibration.training.fine_tune import TrainSettings
from calibration.training.journal import Journal
from calibration.training.labels import LabelledSolution, LabelSettings, label_prompts
from calibration.training.prm import train_prm
from runtime.answers import answers_for
from runtime.engine import SamplingSettings
from runtime.engines.loading import EngineName, model_fingerprint, open_engine


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

    def journal(
        self, out: Path, prompts: Sequence[tuple[str, str]], settings: BaseModel
    ) -> Journal:
        """The journal beside `out` of work that depends on this, the prompts and the settings.

        Raises:
            InputError: it was begun with others, or `out` is a file.
        """
        if out.is_file():
            raise InputError("out", str(out), "it is a file; give a folder")
        return Journal(
            out.with_name(f"{out.name}.samples.jsonl"),
            {
                "model": model_fingerprint(self.model),
                "answers": self.answers,
                "sampling": self.sampling.model_dump(),
                "first prompt": prompts[0][0],
                "settings": settings.model_dump(),
            },
        )


async def prm_recipe(
    source: Source,
    prompts: Sequence[tuple[str, str]],
    out: Path,
    labels: LabelSettings,
    training: TrainSettings,
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
    journal = source.journal(out, prompts, labels)
    with (
        open_engine(source.model, source.engine) as engine,
        progress("Labelling prompts", len(prompts)) as done,
    ):
        answers = answers_for(source.answers)
        solutions: list[LabelledSolution] = await label_prompts(
            engine, answers, source.sampling, prompts, labels, journal, done
        )
    journal.close()
    train_prm(source.model, out, solutions, training, console.print)
