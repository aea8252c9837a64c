"""Feedback on answers: which requests were answered by which artifact, and what clients said."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from runtime.engines.base import LARGEST
from runtime.frontend.fields import Strict
from runtime.remembering import remember
from runtime.server.errors import ApiError
from runtime.server.policies import Policies
from runtime.server.recorder import Recorder
from runtime.traffic import RecordedVerdict

REMEMBERED = 100_000  # answered requests; later feedback on older ones is refused


class FeedbackRequest(Strict):
    """The body of POST /v1/feedback.

    Attributes:
        request_id: id of an answer, or of its header X-Request-Id.
        correct: whether the choice is right.
        index: number of the choice.
    """

    request_id: Annotated[str, Field(min_length=1)]
    correct: bool
    index: Annotated[int, Field(ge=0, le=LARGEST)] = 0


@dataclass
class Answered:
    """An answered request.

    Attributes:
        artifact: label of the artifact that answered it.
        choices: number of choices per prompt.
        prompts: number of prompts.
        recorded: those of its prompts whose samples were recorded.
        verdicts: what was said of its choices, by their index.
    """

    artifact: str
    choices: int
    prompts: int
    recorded: set[int] = field(default_factory=set)
    verdicts: dict[int, bool] = field(default_factory=dict)


class Feedback:
    """Remembers the last answered requests, and takes what clients say of their answers.

    Args:
        policies: count feedback by the artifact that answered.
    """

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        self._answered: OrderedDict[str, Answered] = OrderedDict()
        self._recorder: Recorder | None = None

    def record_to(self, recorder: Recorder) -> None:
        """Have feedback recorded; that on prompts that were recorded before is taken, too."""
        self._recorder = recorder
        for line in recorder.found:
            answered = self._answered.get(line.request)
            if answered is None:
                answered = self.remember(line.request, Answered(line.artifact, line.choices, 0))
            answered.recorded.add(line.prompt)
            answered.prompts = max(answered.prompts, line.prompt + 1)
        recorder.found.clear()

    def remember(self, request: str, answered: Answered) -> Answered:
        """Take feedback on a request from now on.

        Args:
            request: its id.
            answered: what is known of it; given back.
        """
        remember(self._answered, {request: answered}, REMEMBERED)
        return answered

    def give(self, body: FeedbackRequest) -> dict[str, object]:
        """Take a verdict; the reply.

        Raises:
            ApiError: no such request or choice, or another verdict than was given before.
        """
        request = body.request_id.rpartition("-")[2]  # ids in answers begin with their kind
        answered = self._answered.get(request)
        if answered is None:
            hint = "no such request was answered here, or it is too long ago"
            raise ApiError(404, f"request_id: {body.request_id[:80]!r}: {hint}", "request_id")
        if body.index >= answered.prompts * answered.choices:
            hint = f"the answer had {answered.prompts * answered.choices} choices"
            raise ApiError(404, f"index: {body.index}: {hint}", "index")
        prompt, rank = divmod(body.index, answered.choices)
        recorder = self._recorder if prompt in answered.recorded else None
        before = answered.verdicts.get(body.index)
        if before is None:
            answered.verdicts[body.index] = body.correct
            self._policies.judged(answered.artifact, body.correct)
            if recorder is not None:
                recorder.verdict(
                    RecordedVerdict(request=request, prompt=prompt, rank=rank, correct=body.correct)
                )
        elif before is not body.correct:
            raise ApiError(409, f"correct: this choice was called {_word(before)}", "correct")
        return {
            "request_id": body.request_id,
            "artifact": answered.artifact,
            "recorded": recorder is not None,
        }


def _word(correct: bool) -> str:
    return "right" if correct else "wrong"
