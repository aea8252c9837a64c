"""The families of verifiers that people have: how each lays a solution out, and where it is read.

Every one is a causal model over tokens that is read once a step. They differ in the text they were
trained on, in the head, and in how a probability comes out of the head's logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from allocator.errors import InputError
from runtime.engines.checkpoint import model_config
from runtime.engines.tokenizer import decode, encode_text, known_ids
from runtime.verifiers.base import Context, FamilyName
from runtime.verifiers.heads import HeadedModel, TokenLogits, headed, load_head, load_pretrained
from runtime.verifiers.likelihood import HEAD_FILE, LikelihoodModel


@dataclass(frozen=True)
class Layout:
    """A solution as a verifier sees it.

    Attributes:
        token_ids: the verifier's tokens.
        score_positions: index of the token at which each step is read.
        start: index of the solution's first token, where the family reads them one by one.
    """

    token_ids: tuple[int, ...]
    score_positions: tuple[int, ...]
    start: int = 0

    @classmethod
    def at_end(cls, prompt: tuple[int, ...], solution: tuple[int, ...]) -> "Layout":
        """A solution in the language model's own tokens, read once, at its end."""
        ids = prompt + solution
        return cls(ids, (len(ids) - 1,), len(prompt))


class Family(Protocol):
    """One convention.

    Attributes:
        in_vllm: whether vLLM's pooling runner serves its models.
        shares_tokens: whether it reads the language model's own token ids.
        counts_alike: whether a text has about as many of its tokens as of the language model's.
    """

    in_vllm: bool
    shares_tokens: bool
    counts_alike: bool

    def format_input(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Layout:
        """Tokens of the solution and where to read them."""
        ...

    def load(self, folder: Path) -> nn.Module:
        """The model: token ids of shape (batch, width) -> logits (batch, width, labels).

        It takes the arguments of a causal model of transformers that have to do with its cache,
        and has the configuration of one as `config`.
        """
        ...

    def probability(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits of shape (..., labels) -> probabilities that a step is good, shape (...)."""
        ...


class _SharedTokens:
    """Verifiers that read the language model's own tokens, at the last token of every step.

    One label is read through a sigmoid; of two, the second one's softmax probability is the score.
    """

    in_vllm = True
    shares_tokens = counts_alike = True
    auto_class = ""

    def __init__(self, tokenizer: Any, language_model: Any, folder: Path) -> None:
        if tokenizer.get_vocab() != language_model.get_vocab():
            raise InputError(
                "verifier",
                str(folder),
                "its vocabulary is not the language model's; choose a verifier of the same family",
            )
        self.tokenizer = tokenizer

    def format_input(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Layout:
        ids, score_positions = list(known_ids(self.tokenizer, context.token_ids)), []
        start = len(ids)
        for step in steps:
            ids += known_ids(self.tokenizer, step)
            score_positions.append(len(ids) - 1)
        return Layout(tuple(ids), tuple(score_positions), start)

    def load(self, folder: Path) -> nn.Module:
        import transformers

        model = load_pretrained(getattr(transformers, self.auto_class), folder)
        if model.config.num_labels > 2:
            raise InputError(
                "verifier",
                str(folder),
                f"it has {model.config.num_labels} labels; a verifier has one or two",
            )
        return headed(model)

    def probability(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[..., 0].sigmoid() if logits.shape[-1] == 1 else logits.softmax(-1)[..., 1]


class TokenClassification(_SharedTokens):
    """PRMs as token classifiers: the testbed's, and those that TRL trains."""

    auto_class = "AutoModelForTokenClassification"


class SequenceClassification(_SharedTokens):
    """ORMs as sequence classifiers: the head, made for the last token, is read at every step."""

    auto_class = "AutoModelForSequenceClassification"


class Likelihood(_SharedTokens):
    """Language models read by how likely they find a solution, see `runtime.verifiers.likelihood`;
    ``ttc train prm --likelihood`` makes them.
    """

    in_vllm = False

    def load(self, folder: Path) -> nn.Module:
        return LikelihoodModel.from_pretrained(folder)


class _OwnText:
    """Verifiers with a tokenizer and a text of their own."""

    in_vllm = False
    shares_tokens = False

    def __init__(self, tokenizer: Any, language_model: Any, folder: Path) -> None:
        self.tokenizer, self.language_model = tokenizer, language_model
        # As of one family: the verifier's tokenizer has its marks besides.
        self.counts_alike = language_model.get_vocab().items() <= tokenizer.get_vocab().items()

    def texts(self, steps: Sequence[tuple[int, ...]]) -> list[str]:
        """The steps as text, without the ends of steps."""
        return [decode(self.language_model, step).strip() for step in steps]

    def token(self, text: str) -> int:
        """The token that a mark ends in."""
        return int(self.tokenizer.encode(text, add_special_tokens=False)[-1])

    def at_marks(self, text: str, mark: int, steps: int) -> Layout:
        """A text whose steps are followed by marks, read there."""
        ids = encode_text(self.tokenizer, text)
        marks = [place for place, token in enumerate(ids) if token == mark]
        return Layout(ids, tuple(marks[-steps:]))


class QwenPRM(_OwnText):
    """Qwen2.5-Math-PRM: ``<extra_0>`` after every step; two labels, the second is good."""

    in_vllm = True
    system = "Please reason step by step, and put your final answer within \\boxed{}."
    mark = "<extra_0>"

    def format_input(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Layout:
        asked = [("system", self.system), ("user", context.prompt)]
        text: str = self.tokenizer.apply_chat_template(
            [{"role": role, "content": content} for role, content in asked],
            add_generation_prompt=True,
            tokenize=False,
        )
        text += "".join(step + self.mark for step in self.texts(steps))
        return self.at_marks(text, self.token(self.mark), len(steps))

    def load(self, folder: Path) -> nn.Module:
        from transformers import Qwen2Model

        backbone = load_pretrained(Qwen2Model, folder)
        width = backbone.config.hidden_size

        def head() -> nn.Module:
            return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))

        return HeadedModel(backbone, load_head(head, folder, "score."))

    def probability(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.softmax(-1)[..., 1]


class SkyworkPRM(_OwnText):
    """Skywork o1 Open PRM: a value head on Qwen2, read through a sigmoid at every line's end."""

    def format_input(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Layout:
        start = f"{self.tokenizer.bos_token or ''}{context.prompt}\n"
        ids, score_positions = list(self.tokenizer.encode(start, add_special_tokens=False)), []
        for text in self.texts(steps):
            ids += [*self.tokenizer.encode(text, add_special_tokens=False), self.token("\n")]
            score_positions.append(len(ids) - 1)
        return Layout(tuple(ids), tuple(score_positions))

    def load(self, folder: Path) -> nn.Module:
        from transformers import Qwen2Model

        backbone = load_pretrained(Qwen2Model, folder)
        width = backbone.config.hidden_size
        return HeadedModel(
            backbone, load_head(lambda: nn.Linear(width, 1), folder, "v_head.summary.")
        )

    def probability(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[..., 0].sigmoid()


class _GoodOrBad(_OwnText):
    """Language models that answer each step with a good or a bad token."""

    def load(self, folder: Path) -> nn.Module:
        from transformers import AutoModelForCausalLM

        model = load_pretrained(AutoModelForCausalLM, folder)
        return TokenLogits(model, [self.token("+"), self.token("-")])

    def probability(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.softmax(-1)[..., 0]


class MathShepherd(_GoodOrBad):
    """Math-Shepherd: ``ки`` after every step, where ``+`` competes with ``-``."""

    mark = "ки"

    def format_input(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Layout:
        lines = "\n".join(f"{step} {self.mark}" for step in self.texts(steps))
        text = f"{context.prompt} {lines}"
        return self.at_marks(text, self.token(self.mark), len(steps))


class RLHFlow(_GoodOrBad):
    """RLHFlow: every step a turn of the user, answered by ``+`` or ``-``."""

    def format_input(self, context: Context, steps: Sequence[tuple[int, ...]]) -> Layout:
        turns: list[dict[str, str]] = []
        score_positions = []
        for number, text in enumerate(self.texts(steps)):
            turns.append(
                {"role": "user", "content": text if number else f"{context.prompt} {text}"}
            )
            ids = self.tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, return_dict=False
            )
            score_positions.append(len(ids) - 1)
            turns.append({"role": "assistant", "content": "+"})
        return Layout(tuple(ids), tuple(score_positions))


FAMILIES: dict[str, Any] = {
    "token-classification": TokenClassification,
    "sequence-classification": SequenceClassification,
    "likelihood": Likelihood,
    "qwen-prm": QwenPRM,
    "skywork-prm": SkyworkPRM,
    "math-shepherd": MathShepherd,
    "rlhflow": RLHFlow,
}


def recognise(folder: Path, name: FamilyName = "auto") -> str:
    """A verifier's family, from its configuration's architecture.

    Raises:
        InputError: none is known for it, or it is a plain language model, of which only the user
            can say which convention it was trained in.
    """
    if name != "auto":
        if name not in FAMILIES:
            raise InputError("verifier family", name, f"choose one of {', '.join(FAMILIES)}")
        return name
    if (folder / HEAD_FILE).is_file():
        return "likelihood"
    (architecture, *_) = model_config(folder).get("architectures") or [""]
    if architecture == "Qwen2ForProcessRewardModel":
        return "qwen-prm"
    if architecture == "Qwen2ForPrmModel":
        return "skywork-prm"
    for ending, family in (
        ("ForTokenClassification", "token-classification"),
        ("ForSequenceClassification", "sequence-classification"),
    ):
        if architecture.endswith(ending):
            return family
    if architecture.endswith("ForCausalLM"):
        raise InputError(
            "verifier",
            str(folder),
            "it is a language model; if it is a PRM that answers + or -, name its family: "
            "math-shepherd or rlhflow",
        )
    raise InputError(
        "verifier",
        str(folder),
        f"unknown architecture {architecture!r}; known families: {', '.join(FAMILIES)}",
    )
