"""FLOPs of pretraining and of inference, and how much of one buys the other (section 7).

A model of N parameters costs 6 N a token of pretraining and 2 N a token of inference. A model M
times larger costs M times both. The small one may spend that much at inference instead; what it
buys depends on the ratio of inference to pretraining tokens, R = D_inf / D_pre.
"""

from dataclasses import dataclass
from math import inf

from pydantic import Field

from allocator.errors import InputError
from allocator.schema import Schema

STUDIED = (0.16, 0.79, 22.0)  # the paper's R


def pretraining_flops(parameters: float, tokens: float) -> float:
    """FLOPs of pretraining, 6 N D.

    Args:
        parameters: of the model, N.
        tokens: pretrained on, D.
    """
    return 6 * parameters * tokens


def inference_flops(parameters: float, tokens: float) -> float:
    """FLOPs of inference, 2 N D.

    Args:
        parameters: of the model, N.
        tokens: sampled by it, or read by a verifier, D.
    """
    return 2 * parameters * tokens


class ModelSizes(Schema):
    """How many parameters the models have, by which the FLOPs of their work are counted.

    All parameters count, although of a mixture of experts only some run for each token. A language
    model is counted for the tokens that it samples, not for those of its prompts (the paper's
    D_inference), a verifier for the tokens that it reads.

    Attributes:
        model: parameters of the language model.
        verifier: of the verifier; 0 where there is none.
        reviser: of the reviser; 0 where there is none.
        reviser_verifier: of the verifier of its attempts; None where the verifier scores these,
            too.
    """

    model: int = Field(ge=0)
    verifier: int = Field(default=0, ge=0)
    reviser: int = Field(default=0, ge=0)
    reviser_verifier: int | None = Field(default=None, ge=0)

    def sampling(self, tokens: float, reviser: bool = False) -> float:
        """FLOPs of sampling tokens.

        Args:
            tokens: number of tokens.
            reviser: whether the reviser samples them, not the language model.
        """
        return inference_flops(self.reviser if reviser else self.model, tokens)

    def scoring(self, tokens: float, reviser: bool = False) -> float:
        """FLOPs of scoring.

        Args:
            tokens: number of tokens that are read.
            reviser: whether the verifier of the reviser's attempts reads them.
        """
        own = self.reviser_verifier if reviser else None
        return inference_flops(self.verifier if own is None else own, tokens)


@dataclass(frozen=True)
class Exchange:
    """A small model that samples more, against a larger one that samples once.

    Args:
        scale: parameters of the larger model over those of the small one, M.
        ratio: tokens inferred over tokens pretrained on, R, where each prompt is answered once.

    Raises:
        InputError: a larger model that is not larger, or a ratio that is not positive; or so much
            of one that the budget has no end.
    """

    scale: float
    ratio: float

    def __post_init__(self) -> None:
        if not 1 < self.scale < inf:
            raise InputError("scale", self.scale, "the larger model has more parameters; above 1")
        if not 0 < self.ratio < inf or self.budget == inf:
            raise InputError("ratio", self.ratio, "give inferred over pretrained tokens, above 0")

    @property
    def budget(self) -> float:
        """Generations for each of the larger model's at equal FLOPs: M + 3 (M - 1) / R."""
        return self.scale + 3 * (self.scale - 1) / self.ratio
