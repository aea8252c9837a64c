"""FLOPs of pretraining and of inference, and how much of one buys the other (section 7).

A model of N parameters costs 6 N a token of pretraining and 2 N a token of inference. A model M
times larger costs M times both. The small one may spend that much at inference instead; what it
buys depends on the ratio of inference to pretraining tokens, R = D_inf / D_pre.
"""

from dataclasses import dataclass

from allocator.errors import InputError

STUDIED = (0.16, 0.79, 22.0)  # the paper's R


def pretraining_flops(parameters: float, tokens: float) -> float:
    """FLOPs of pretraining, 6 N D.

    Args:
        parameters: of the model, N.
        tokens: pretrained on, D.
    """
    return 6 * parameters * tokens


@dataclass(frozen=True)
class Exchange:
    """A small model that samples more, against a larger one that samples once.

    Args:
        scale: parameters of the larger model over those of the small one, M.
        ratio: tokens inferred over tokens pretrained on, R, where each prompt is answered once.

    Raises:
        InputError: a larger model that is not larger, or a ratio that is not positive.
    """

    scale: float
    ratio: float

    def __post_init__(self) -> None:
        if not self.scale > 1:
            raise InputError("scale", self.scale, "the larger model has more parameters; above 1")
        if not self.ratio > 0:
            raise InputError("ratio", self.ratio, "give inferred over pretrained tokens, above 0")

    @property
    def budget(self) -> float:
        """Generations for each of the larger model's at equal FLOPs: M + 3 (M - 1) / R."""
        return self.scale + 3 * (self.scale - 1) / self.ratio
