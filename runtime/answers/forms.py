"""How answers of a requested form are read and compared."""

from collections.abc import Sequence

from runtime.answers.calls import CallAnswers, EachCall
from runtime.answers.json_answers import JsonAnswers
from runtime.answers.readers import Answers, PatternAnswers
from runtime.answers.thought import Thought
from runtime.frontend.answer_form import AnswerForm

WHOLE_TEXT = r"\A([\s\S]*)\Z"


def answers_of(form: AnswerForm, task: Answers, thoughts: Sequence[Thought]) -> Answers:
    """The reader of a request's answers.

    Args:
        form: the form that the request asks for.
        task: the artifact's reader. If it reads a field of JSON, it reads requested JSON, too.
        thoughts: marks of thoughts, after which solutions are read.
    """
    if form.calls is not None:
        kind = EachCall if form.calls.vote == "each" else CallAnswers
        return kind(form.calls, task)
    if form.reading == "json" and not isinstance(task, JsonAnswers):
        return JsonAnswers(thoughts=thoughts)
    if form.reading == "text":
        return PatternAnswers(WHOLE_TEXT, thoughts)
    return task
