"""Recorded traffic: a folder of samples that a server has drawn, and of what clients said of them.

settings.json       models, answers and sampling, as `runtime.settings.Settings`
traffic-NNNNNN.jsonl  lines in the order in which they were written, in several files: the samples
                    of a prompt (`RecordedPrompt`), or a verdict on one of them (`RecordedVerdict`)

`runtime.server.recorder` writes it, `calibration.data.traffic` reads it as a log.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from allocator.errors import InputError
from allocator.files import first_error
from allocator.schema import Schema
from predictors.sample import Sample
from predictors.scoring import Scoring
from runtime.artifact import SETTINGS
from runtime.verifiers.base import all_aggregations

FILES, FILE = "traffic-*.jsonl", "traffic-{:06d}.jsonl"
# Calibration from a log needs this many samples of each question.
MIN_SAMPLES = 4


class RecordedPrompt(Schema):
    """A prompt's independent samples, best first. Lists have one entry per sample.

    Attributes:
        request: id of the request.
        prompt: number of the prompt within the request.
        choices: number of choices per prompt in the request's answer.
        artifact: label of the artifact that answered it.
        question: hash of the prompt.
        text: the prompt; None where it is not to be recorded.
        answer: final answers, None for none; numbered where prompts are not to be recorded.
        probability: how probably the sample is correct, by the artifact's score.
        score: the verifier's predictions after each step.
        logprob: summed natural log-probability of the tokens.
        tokens: number of sampled tokens.
        finished: whether the model ended the sample itself.
    """

    request: str
    prompt: int
    choices: int
    artifact: str
    question: str
    text: str | None
    answer: tuple[str | None, ...]
    probability: tuple[float, ...]
    score: tuple[tuple[float, ...], ...]
    logprob: tuple[float, ...]
    tokens: tuple[int, ...]
    finished: tuple[bool, ...]

    @classmethod
    def of(
        cls,
        text: str,
        samples: Sequence[Sample],
        *,
        request: str,
        prompt: int,
        choices: int,
        artifact: str,
        scoring: Scoring,
        show_prompts: bool,
    ) -> "RecordedPrompt":
        """The line of an answered prompt.

        Args:
            text: the prompt.
            samples: independent, and scored; best first.
            request, prompt, choices, artifact: as the attributes.
            scoring: the artifact's.
            show_prompts: whether prompt and answers may be read by people.
        """
        answers = [sample.answer for sample in samples]
        return cls(
            request=request,
            prompt=prompt,
            choices=choices,
            artifact=artifact,
            question=question_id(text),
            text=text if show_prompts else None,
            answer=tuple(answers if show_prompts else _numbered(answers)),
            probability=tuple(probability_of(scoring, sample) for sample in samples),
            score=tuple(sample.step_scores for sample in samples),
            logprob=tuple(sample.logprob for sample in samples),
            tokens=tuple(sample.tokens for sample in samples),
            finished=tuple(sample.ended for sample in samples),
        )


def probability_of(scoring: Scoring, sample: Sample) -> float:
    """How probably a sample is correct; its score may be sharpened, a power of that."""
    known = (sample.logprob, sample.tokens, sample.ended, sample.confidence)
    return float(scoring.probability(all_aggregations(sample.step_scores), *known))


class RecordedVerdict(Schema):
    """What a client said of an answer.

    Attributes:
        request: id of the request.
        prompt: number of the prompt within the request.
        rank: number of the sample among the prompt's, best first.
        correct: whether its answer is right.
    """

    request: str
    prompt: int
    rank: int
    correct: bool


Line = RecordedPrompt | RecordedVerdict
_LINES: TypeAdapter[Line] = TypeAdapter(Line)


def question_id(prompt: str) -> str:
    """The hash by which a prompt is known again."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def is_traffic(folder: Path) -> bool:
    """Whether a folder holds recorded traffic."""
    return (folder / SETTINGS).is_file() and any(folder.glob(FILES))


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of one file; one that a killed server has not ended is left out.

    Raises:
        InputError: a damaged line.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield _LINES.validate_json(line)
            except ValidationError as error:
                shown = line[:60].decode(errors="replace")
                raise InputError(
                    f"{path}, line {number}", shown, f"damaged ({first_error(error)}); remove it"
                ) from None


def _numbered(answers: list[str | None]) -> list[str | None]:
    """Answers by the order of their first occurrence: all that comparing them needs."""
    numbers: dict[str, str] = {}
    return [
        None if answer is None else numbers.setdefault(answer, str(len(numbers) + 1))
        for answer in answers
    ]
