"""Families with a text of their own: steps tokenised one by one, and what they are checked by."""

import asyncio
import logging
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from runtime.verifiers import own_text
from runtime.verifiers.base import Context
from runtime.verifiers.families import FAMILIES
from runtime.verifiers.loading import open_verifier
from tests.support.checkpoints import MARKS, TEMPLATE, make_verifier, own_tokenizer, solution

STEPS = (
    "First, we add 12 and 7, which gives 19.",
    "Then 19 * 3 = 57;\nso x = 57 and\n\ty = 2.",
    "",
    "Thus $x - y$ is 55, as -2 + 57 = 55",
    "Ответ: 55 (+ nothing)",
    "The answer is \\boxed{55}.",
)
PROMPT = "What is (12 + 7) * 3 - 2?"
WORDS = r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"


def trained(kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer with merges: of bytes within words, as Qwen's and Llama 3's, or of characters
    across a whole text that begins with a space, as Llama's and Mistral's first ones. The latter
    have no special tokens for marks.
    """
    marks = MARKS if kind == "bytes" else [mark for mark in MARKS if mark != "ки"]
    backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=kind == "characters"))
    alphabet: list[str] = []
    if kind == "bytes":
        split = pre_tokenizers.Split(Regex(WORDS), "isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        backend.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        backend.decoder = decoders.Metaspace(prepend_scheme="first")
        marks = [*marks, *(f"<0x{byte:02X}>" for byte in range(256))]
    lines = [*STEPS, PROMPT, "ки + - ки", "+ - a b c 0123456789"]
    trainer = trainers.BpeTrainer(
        vocab_size=800, special_tokens=marks, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([line for text in lines for line in text.split("\n")] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<end>",
        additional_special_tokens=[mark for mark in MARKS[2:] if mark in marks],
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def whole(family: str, tokenizer: Any, texts: Iterable[str]) -> tuple[list[int], list[int]]:
    """Tokens and places of a solution, tokenised as one text."""
    texts = list(texts)
    if family == "rlhflow":
        text, places = "", []
        for number, step in enumerate(texts):
            text += f"<user>{step if number else f'{PROMPT} {step}'}<assistant>"
            places.append(len(tokenizer.encode(text)) - 1)
            ids = tokenizer.encode(text)
            text += "+<end>"
        return ids, places
    if family == "skywork-prm":
        ids, places = tokenizer.encode(f"{PROMPT}\n"), []
        for step in texts:
            ids += [*tokenizer.encode(step), tokenizer.encode("\n")[-1]]
            places.append(len(ids) - 1)
        return ids, places
    if family == "qwen-prm":
        system = "Please reason step by step, and put your final answer within \\boxed{}."
        text = f"<sys>{system}<user>{PROMPT}<assistant>" + "".join(f"{s}<extra_0>" for s in texts)
        mark = tokenizer.encode("<extra_0>")[-1]
    else:
        text = f"{PROMPT} " + "\n".join(f"{step} ки" for step in texts)
        mark = tokenizer.encode("ки")[-1]
    ids = tokenizer.encode(text)
    return ids, [place for place, token in enumerate(ids) if token == mark]


@pytest.mark.parametrize("kind", ["bytes", "characters"])
@pytest.mark.parametrize("family", ["qwen-prm", "skywork-prm", "math-shepherd", "rlhflow"])
def test_steps_have_the_tokens_of_the_whole_text(family: str, kind: str, tmp_path: Path) -> None:
    tokenizer, language_model = trained(kind), own_tokenizer()
    made = FAMILIES[family](tokenizer, language_model, tmp_path)
    steps = [tuple(language_model.encode(f"{step}\n")) for step in STEPS]
    for count in range(1, len(steps) + 1):
        layout = made.format_input(Context(PROMPT, ()), steps[:count])
        ids, places = whole(family, tokenizer, STEPS[:count])
        assert layout.token_ids == tuple(ids)
        assert layout.score_positions == tuple(places)
    assert len(ids) < 0.8 * len(tokenizer.decode(ids))  # there are merges


def test_a_step_is_tokenised_once(tmp_path: Path) -> None:
    class Counting:
        """The tokenizer of a language model, which counts what it decodes."""

        decoded = 0

        def get_vocab(self) -> Any:
            return own_tokenizer().get_vocab()

        def decode(self, *arguments: Any, **options: Any) -> Any:
            self.decoded += 1
            return own_tokenizer().decode(*arguments, **options)

    language_model = Counting()
    made = FAMILIES["qwen-prm"](own_tokenizer(), language_model, tmp_path)
    steps = [tuple(own_tokenizer().encode(f"{number}\n")) for number in range(20)]
    for count in range(1, 21):
        made.format_input(Context(PROMPT, ()), steps[:count])
    assert language_model.decoded == 20


def test_the_tokens_of_long_prompts_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_text, "KEPT_BEGINNINGS", 3)
    tokenizer = own_tokenizer()
    made, step = FAMILIES["qwen-prm"](tokenizer, tokenizer, tmp_path), tuple(tokenizer.encode("7"))
    prompts = [f"{number} + 12" * 1000 for number in range(20)]
    made.format_input(Context("1 + 1", ()), [step])  # compiles the chat template
    tracemalloc.start()
    read = sum(len(made.format_input(Context(prompt, ()), [step]).token_ids) for prompt in prompts)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < read / 20 * 3 * 4 * 1.5  # three prompts, at four bytes a token


def warned(folder: Path, language_model: Any, family: Any, caplog: Any) -> list[str]:
    """Warnings of a verifier that scores two solutions."""
    caplog.clear()
    verifier = open_verifier(folder, language_model, family, engine="transformers")

    async def twice() -> None:
        for _ in range(2):
            await verifier.score(*solution(language_model))

    with caplog.at_level(logging.WARNING, "ttc.verifier"):
        asyncio.run(twice())
    verifier.close()
    return [record.getMessage() for record in caplog.records if record.name == "ttc.verifier"]


def test_a_verifier_that_prefers_a_wrong_solution_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_verifier("qwen-prm", tmp_path / "prm", own_tokenizer(), 1024)
    before = warned(folder, own_tokenizer(), "auto", caplog)
    # With its two labels exchanged, the verifier's preferences are the opposite.
    weights = load_file(folder / "model.safetensors")
    for name in ("score.2.weight", "score.2.bias"):
        weights[name] = weights[name].flip(0).contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    after = warned(folder, own_tokenizer(), "auto", caplog)
    assert sorted([len(before), len(after)]) == [0, 1]
    (message,) = [*before, *after]
    assert message.startswith(
        "verifier prm (family qwen-prm): a wrong solution of an easy question"
    )
    assert message.endswith("probably it is of another family: set verifier_family")


@pytest.mark.parametrize(
    "family", ["token-classification", "sequence-classification", "likelihood"]
)
def test_verifiers_that_know_their_own_task_only_are_not_checked(
    family: str, tokenizer: Any, tmp_path: Path
) -> None:
    made = FAMILIES[family](tokenizer, tokenizer, tmp_path)
    assert made.known_solutions() is None
