"""Difficulty models: predicted pass@1 from a number of pilots, with its distribution."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from allocator.bins import bin_of
from allocator.errors import InputError
from predictors.distribution import DifficultyDistribution
from predictors.features import FEATURE_NAMES
from predictors.learned import DifficultyPredictor
from predictors.prompt import PromptProbe


@dataclass(frozen=True)
class DifficultyModel:
    """The difficulty model of one number of pilots.

    Attributes:
        predictor: predicts pass@1 from pilot features; without pilots from the prompt's features
            and the language model's state after it.
        distribution: distribution of pass@1 given the prediction.
    """

    predictor: DifficultyPredictor | PromptProbe
    distribution: DifficultyDistribution

    def save(self, folder: Path, pilots: int) -> None:
        """Write into an artifact folder: ``difficulty-2.txt`` and ``difficulty-2.json``."""
        self.predictor.save(folder / _file(pilots))
        self.distribution.save(folder / f"difficulty-{pilots}.json")

    @classmethod
    def load(cls, folder: Path, pilots: int) -> "DifficultyModel":
        """Read one back.

        Raises:
            InputError: missing, damaged, or fitted on features of another version.
        """
        path = folder / _file(pilots)
        return cls(
            DifficultyPredictor.load(path) if pilots else PromptProbe.load(path),
            DifficultyDistribution.load(folder / f"difficulty-{pilots}.json"),
        )

    @classmethod
    def load_all(cls, folder: Path) -> dict[int, "DifficultyModel"]:
        """All difficulty models of an artifact, by number of pilots, ascending.

        Raises:
            InputError: there are none, or as `load`.
        """
        counts = sorted(
            int(path.stem.removeprefix("difficulty-"))
            for path in folder.glob("difficulty-*.json")
            if path.stem.removeprefix("difficulty-").isdecimal()
        )
        if not counts:
            raise InputError("artifact", str(folder), "has no difficulty model; calibrate again")
        return {count: cls.load(folder, count) for count in counts}


def traffic_signals(
    features: NDArray[np.float64], predicted: ArrayLike, edges: tuple[float, ...]
) -> dict[str, NDArray[np.float64]]:
    """The signals by which drift is measured, see `allocator.drift`.

    Args:
        features: pilot features, shape (..., features).
        predicted: pass@1 predicted from them, shape (...).
        edges: inner edges of the bins of the predictions.

    Returns:
        Mean pilot score, agreement, and bin (1 the easiest), by name, shape (...) each.
    """
    return {
        "score": features[..., FEATURE_NAMES.index("score_mean")],
        "agreement": features[..., FEATURE_NAMES.index("agreement")],
        "bin": bin_of(edges, predicted).astype(float) + 1,
    }


def _file(pilots: int) -> str:
    return f"difficulty-{pilots}.{'txt' if pilots else 'safetensors'}"
