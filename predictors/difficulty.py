"""What is known of difficulty after so many pilots: a prediction, and how far off it may be."""

from dataclasses import dataclass
from pathlib import Path

from predictors.distribution import DifficultyDistribution
from predictors.learned import DifficultyPredictor


@dataclass(frozen=True)
class DifficultyModel:
    """A predictor for one number of pilots, and the distribution of pass@1 at its predictions."""

    predictor: DifficultyPredictor
    distribution: DifficultyDistribution

    def save(self, folder: Path, pilots: int) -> None:
        """Write into an artifact folder: ``difficulty-2.txt`` and ``difficulty-2.json``."""
        self.predictor.save(folder / f"difficulty-{pilots}.txt")
        self.distribution.save(folder / f"difficulty-{pilots}.json")

    @classmethod
    def load(cls, folder: Path, pilots: int, names: tuple[str, ...]) -> "DifficultyModel":
        """Read one back.

        Args:
            folder: the artifact's.
            pilots: the number of pilots.
            names: the features it is to have been fitted on.

        Raises:
            InputError: missing, damaged, or fitted on other features.
        """
        return cls(
            DifficultyPredictor.load(folder / f"difficulty-{pilots}.txt", names),
            DifficultyDistribution.load(folder / f"difficulty-{pilots}.json"),
        )
