"""Revisions: a model that sees earlier attempts at a prompt and makes another (section 6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from runtime.engines.base import Engine
from runtime.engines.tokenizer import known_ids
from runtime.frontend.conversation import render_conversation
from runtime.verifiers.base import Context, HasContext, Verifier

Tokens = tuple[int, ...]

# Attempts in context at most (section 6.2); chains may be longer.
ATTEMPTS_IN_CONTEXT = 4


@dataclass(frozen=True)
class Reviser:
    """The model that revises, and the verifier that was trained on its attempts.

    Attributes:
        engine: shares the language model's tokens. It may be the language model itself, where
            that can revise when asked again.
        verifier: scores an attempt with the attempts before it in its context (app. J).
        longest: tokens of calibration's longest solutions; of the context so many at most are left
            to the next attempt. None leaves as many as the caller allows.
    """

    engine: Engine
    verifier: Verifier
    longest: int | None = None

    def context(self, prompt: Context, attempts: Sequence[Tokens], max_tokens: int) -> Context:
        """What the next attempt of a chain continues: the prompt and the last attempts at it.

        Args:
            prompt: the prompt alone.
            attempts: the chain so far, in order.
            max_tokens: tokens that the next attempt may take. A caller who allows more than any
                takes must not cost the chain its attempts.
        """
        own = max_tokens if self.longest is None else min(max_tokens, self.longest)
        limit = self.engine.context_length
        if isinstance(self.verifier, HasContext) and self.verifier.shares_tokens:
            limit = min(limit, self.verifier.context_length or limit)
        return Context(
            prompt.prompt,
            revision_context(
                prompt.token_ids,
                ask_again(self.engine, prompt.prompt),
                [known_ids(self.engine.tokenizer, attempt) for attempt in attempts],
                max(limit - own, len(prompt.token_ids)),
            ),
        )


def ask_again(engine: Engine, prompt: str) -> Tokens:
    """The tokens that close an attempt and ask the same prompt once more.

    With a chat template, attempts are the assistant's turns of a conversation in which the user
    asks the same again; without one, the prompt follows after an empty line.
    """
    tokenizer = engine.tokenizer
    if not tokenizer.chat_template:
        return tuple(tokenizer.encode("\n\n" + prompt, add_special_tokens=False))

    def asked_twice(attempt: str) -> str:
        turns = [("user", prompt), ("assistant", attempt), ("user", prompt)]
        return render_conversation(
            tokenizer,
            [{"role": role, "content": content} for role, content in turns],
            field="prompt",
        )

    # What stands for an attempt must be found where the attempt is, not in the prompt, nor in what
    # the template writes by itself.
    others = asked_twice("another one")
    attempt = next(name for n in count() if (name := f"an attempt {n}") not in others)
    after = asked_twice(attempt).partition(attempt)[2]
    return tuple(tokenizer.encode(after, add_special_tokens=False))


def revision_context(
    prompt_ids: Tokens, again: Tokens, attempts: Sequence[Tokens], room: int
) -> Tokens:
    """What the next attempt of a chain continues: the prompt and the last attempts at it.

    Args:
        prompt_ids: the prompt.
        again: what `ask_again` gives.
        attempts: the chain so far, in order.
        room: tokens that the context may take; older attempts are left out to fit it, and it is
            the prompt alone if none fits.
    """
    for first in range(max(0, len(attempts) - ATTEMPTS_IN_CONTEXT), len(attempts) + 1):
        context = prompt_ids
        for attempt in attempts[first:]:
            # An attempt that the model ended bears the mark of its turn's end already.
            closed = bool(again) and attempt[-1:] == again[:1]
            context += attempt + (again[1:] if closed else again)
        if len(context) <= room:
            break
    return context
