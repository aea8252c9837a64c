"""Small tokenizers with what real ones have: holes, merged tokens, a BOS token, no backend."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import BertGenerationTokenizer, PreTrainedTokenizerFast

MERGED = ".\n\n"


def holed_tokenizer() -> PreTrainedTokenizerFast:
    """Fewer tokens than its largest id: characters at every third id, and ``.\\n\\n`` as one."""
    tokens = ["<unk>", *"0123456789+=.\n", MERGED]
    backend = Tokenizer(models.WordLevel({t: 3 * i for i, t in enumerate(tokens)}, "<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"\.\n\n|[\s\S]"), behavior="isolated")
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


def bos_tokenizer() -> PreTrainedTokenizerFast:
    """Adds a BOS token to every text as Llama 3's does, and has a chat template that writes it."""
    vocabulary = {t: i for i, t in enumerate(["<bos>", "<eos>", "<unk>", *"0123456789+=ABU:\n "])}
    backend = Tokenizer(models.WordLevel(vocabulary, "<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    backend.decoder = decoders.Fuse()
    backend.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 0)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
    tokenizer.chat_template = (
        "{{ bos_token }}{% for message in messages %}U:{{ message['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}A:{% endif %}"
    )
    return tokenizer


def python_tokenizer(folder: Path) -> Any:
    """One without a fast backend, which raises IndexError at ids that it does not have."""
    path = folder / "spiece.model"
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["12+7=19\n#19", "a solution in words"] * 5),
            model_writer=file,
            vocab_size=40,
            hard_vocab_limit=False,
            minloglevel=2,
        )
    return BertGenerationTokenizer(str(path))


def spaced_tokenizer(*words: str) -> PreTrainedTokenizerFast:
    """A token a word, with the space before it; decoding drops the first, as Llama 2's does."""
    tokens = ["<unk>", *(f"\u2581{word}" for word in words), "\u2581\u2581"]
    backend = Tokenizer(models.WordLevel({t: i for i, t in enumerate(tokens)}, "<unk>"))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


def byte_tokenizer(
    *marks: str, special: bool = False, merges: Sequence[tuple[str, str]] = ()
) -> PreTrainedTokenizerFast:
    """A token a byte, and some marks; pairs of tokens may be merged, a newline is ``Ċ`` in them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = [*alphabet, *(first + second for first, second in merges)]
    ids = {token: number for number, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.BPE(ids, list(merges)))
    # What is merged may be of several words.
    words = not merges
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(mark, special=special, normalized=False) for mark in marks])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)
