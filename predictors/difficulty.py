"""What is known of difficulty after so many pilots: a prediction, and how far off it may be."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from allocator.errors import InputError
from predictors.distribution import DifficultyDistribution
from predictors.features import FEATURE_NAMES
from predictors.learned import DifficultyPredictor
from predictors.prompt import PROBED_FEATURE_NAMES, PROMPT_FEATURE_NAMES, HiddenProbe


@dataclass(frozen=True)
class DifficultyModel:
    """Difficulty from one number of pilots.

    Attributes:
        predictor: predicts pass@1 from pilot features; from prompt features without pilots.
        distribution: of pass@1 at its predictions.
        probe: reads the language model's state after the prompt, for a predictor without pilots;
            None where it reads the prompt's surface alone.
    """

    predictor: DifficultyPredictor
    distribution: DifficultyDistribution
    probe: HiddenProbe | None = None

    def from_prompt(
        self, features: NDArray[np.float64], state: NDArray[np.float32] | None
    ) -> float:
        """Predicted pass@1 without pilots.

        Args:
            features: `predictors.prompt.prompt_features`.
            state: the language model's state after the prompt, if there is a probe to read it.

        Raises:
            InputError: no state, and a probe that needs one.
        """
        if self.probe is not None:
            if state is None:
                raise InputError("state", None, "give the model's state after the prompt")
            features = np.append(features, self.probe.predict(state[None]))
        return float(self.predictor.predict(features[None])[0])

    def save(self, folder: Path, pilots: int) -> None:
        """Write into an artifact folder: ``difficulty-2.txt``, ``difficulty-2.json``."""
        self.predictor.save(folder / f"difficulty-{pilots}.txt")
        self.distribution.save(folder / f"difficulty-{pilots}.json")
        if self.probe is not None:
            self.probe.save(folder / f"difficulty-{pilots}.safetensors")

    @classmethod
    def load(cls, folder: Path, pilots: int) -> "DifficultyModel":
        """Read one back.

        Raises:
            InputError: missing, damaged, or fitted on other features than this library's.
        """
        probe: HiddenProbe | None = None
        names: tuple[str, ...] = FEATURE_NAMES
        if pilots == 0:
            names = PROMPT_FEATURE_NAMES
            if (path := folder / f"difficulty-{pilots}.safetensors").exists():
                probe, names = HiddenProbe.load(path), PROBED_FEATURE_NAMES
        return cls(
            DifficultyPredictor.load(folder / f"difficulty-{pilots}.txt", names),
            DifficultyDistribution.load(folder / f"difficulty-{pilots}.json"),
            probe,
        )

    @classmethod
    def load_all(cls, folder: Path) -> dict[int, "DifficultyModel"]:
        """All that an artifact has, by number of pilots, ascending.

        Raises:
            InputError: there are none, or as `load`.
        """
        counts = sorted(
            int(path.stem.removeprefix("difficulty-"))
            for path in folder.glob("difficulty-*.json")
            if path.stem.removeprefix("difficulty-").isdecimal()
        )
        if not counts:
            raise InputError("artifact", str(folder), "it has no difficulty model; calibrate again")
        return {count: cls.load(folder, count) for count in counts}
