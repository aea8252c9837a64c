"""Read a tokenizer: its number of ids, their texts, and texts as token ids.

A model may sample ids that its tokenizer has no token for: embeddings are padded to round sizes,
and some vocabularies have holes. Such an id has no text and ends no step.
"""

from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from allocator.errors import InputError

# Tokenizers of which the vocabulary is kept: reading 150,000 tokens takes half a second.
CACHED = 8
SPACE = "\u2581"  # a space, as vocabularies of SentencePiece write it
# What a tokenizer makes of bytes that are no character.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@lru_cache(CACHED)
def vocabulary_size(tokenizer: Any) -> int:
    """The largest id + 1. ``len(tokenizer)`` is less if the vocabulary has holes."""
    largest: int = max(tokenizer.get_vocab().values())
    return max(len(tokenizer), largest + 1)


def text_key(token_ids: Iterable[int], before: bytes = b"") -> bytes:
    """A key of 16 bytes for a text.

    Args:
        token_ids: its tokens.
        before: the key of the text that they go on from.
    """
    return blake2b(before + array("q", token_ids).tobytes(), digest_size=16).digest()


@lru_cache(CACHED)
def token_texts(tokenizer: Any) -> tuple[str, ...]:
    """The text of every id, each decoded alone; empty for an id without a token."""
    size = vocabulary_size(tokenizer)
    return tuple(decode(tokenizer, [i], skip_special_tokens=False) for i in range(size))


def decode(
    tokenizer: Any,
    token_ids: Sequence[int],
    skip_special_tokens: bool = True,
    *,
    follows: bool = True,
    **how: bool,
) -> str:
    """The text of sampled token ids; an id without a token adds nothing to it.

    Args:
        tokenizer: the model's.
        token_ids: the ids.
        skip_special_tokens: whether special tokens are left out.
        follows: whether other text stands before it, so that a space at its beginning is one.
        how: further options of the tokenizer, such as ``spaces_between_special_tokens``.
    """
    lead = _lead(tokenizer) if follows else None
    before, word = ([], "") if lead is None else ([lead[0]], lead[1])

    def text(ids: Sequence[int]) -> str:
        whole = tokenizer.decode([*before, *ids], skip_special_tokens=skip_special_tokens, **how)
        return str(whole)[len(word) :]

    try:
        return text(token_ids)
    except (LookupError, TypeError, ValueError):  # tokenizers written in Python raise for such ids
        known = set(tokenizer.get_vocab().values())
        return text([token for token in token_ids if token in known])


def decode_solution(
    tokenizer: Any, token_ids: Sequence[int], skip_special_tokens: bool = True, **how: bool
) -> str:
    """As `decode`, without a character that the last tokens only begin, as vLLM's outputs are."""
    return decode(tokenizer, token_ids, skip_special_tokens, **how).rstrip(REPLACEMENT)


@lru_cache(CACHED)
def _lead(tokenizer: Any) -> tuple[int, str] | None:
    """A token, and its text, to decode before tokens that follow others.

    Tokenizers such as Llama 2's and Mistral 7B's drop the space at the beginning of what they
    decode. None for those that keep it.
    """
    for name, token in tokenizer.get_vocab().items():
        word = name.removeprefix(SPACE)
        if word != name and word.isascii() and word.isalpha():
            alone, twice = tokenizer.decode([token]), tokenizer.decode([token, token])
            return (token, word) if (alone, twice) == (word, f"{word} {word}") else None
    return None


def known_ids(tokenizer: Any, token_ids: Sequence[int]) -> tuple[int, ...]:
    """Sampled token ids without those above the vocabulary, which have no text.

    For another model with the same vocabulary, whose embedding may be padded less.
    """
    size = vocabulary_size(tokenizer)
    return tuple(token for token in token_ids if token < size)


def check_token_ids(tokenizer: Any, token_ids: Iterable[int], field: str) -> tuple[int, ...]:
    """A caller's token ids, all of them within the vocabulary.

    Raises:
        InputError: a negative id, or one above the tokenizer's largest.
    """
    found = tuple(token_ids)
    check_within(found, vocabulary_size(tokenizer), field)
    return found


def check_within(token_ids: Iterable[int], size: int, field: str) -> None:
    """Check that token ids are below a number of tokens.

    Raises:
        InputError: a negative id, or one above it.
    """
    for token in token_ids:
        if not 0 <= token < size:
            hint = f"token ids are 0 to {size - 1}, of {size} tokens; it is out of vocabulary"
            raise InputError(field, token, hint)


def encode_text(tokenizer: Any, text: str) -> tuple[int, ...]:
    """The token ids of a text, with the tokenizer's special tokens and at most one BOS token.

    A rendered chat template often begins with the BOS token's text, and a tokenizer such as
    Llama 3's or Gemma's adds another, which the model was not trained on.
    """
    ids = tuple(tokenizer.encode(text))
    bos = tokenizer.bos_token_id
    if bos is None or ids[:2] != (bos, bos):
        return ids
    # If the tokenizer adds none, the text itself begins with two, which are kept.
    doubled = (bos, *tokenizer.encode(text, add_special_tokens=False))
    return ids[1:] if ids[: len(doubled)] == doubled else ids
