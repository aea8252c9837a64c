"""The families of verifiers that people have: how each lays a solution out, and where it is read.

Every one is a causal model over tokens that is read once a step. They differ in the text they were
trained on, in the head, and in how a probability comes out of the head's logits.
"""

from pathlib import Path
from typing import Any

from allocator.errors import InputError
from runtime.engines.checkpoint import model_config
from runtime.verifiers.base import FamilyName
from runtime.verifiers.likelihood import HEAD_FILE
from runtime.verifiers.own_text import MathShepherd, QwenPRM, RLHFlow, SkyworkPRM
from runtime.verifiers.shared_tokens import Likelihood, SequenceClassification, TokenClassification

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
