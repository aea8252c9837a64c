"""Predicted pass@1 from the prompt alone, before sampling.

Inputs are surface features of the text that suit any language and model, and the language model's
hidden state at the last token of the prompt, from which its answer starts. A linear probe reads
them.
"""

import re
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from allocator.errors import InputError
from allocator.files import atomic_write

PROMPT_FEATURE_NAMES = (
    "prompt_tokens",
    "prompt_characters",
    "prompt_words",
    "prompt_lines",
    "longest_word",
    "numbers",
    "longest_number",
    "digit_share",
    "letter_share",
    "symbol_share",
    "character_entropy",
)
PENALTIES = np.logspace(-1, 5, 13)  # of the ridge; chosen by leave-one-out error


def prompt_features(text: str, tokens: int) -> NDArray[np.float64]:
    """The surface features of one prompt, shape (len(PROMPT_FEATURE_NAMES),).

    Args:
        text: the prompt.
        tokens: its length in tokens, chat template included.

    Raises:
        InputError: an empty prompt.
    """
    if not text:
        raise InputError("prompt", text, "must not be empty")
    numbers = re.findall(r"\d+", text)
    shares = np.array(list(Counter(text).values())) / len(text)
    digits, letters = sum(map(str.isdigit, text)), sum(map(str.isalpha, text))
    blanks = sum(map(str.isspace, text))
    values = (
        tokens,
        len(text),
        len(text.split()),
        len(text.splitlines()),
        max(map(len, text.split()), default=0),
        len(numbers),
        max(map(len, numbers), default=0),
        digits / len(text),
        letters / len(text),
        (len(text) - digits - letters - blanks) / len(text),
        -float(np.sum(shares * np.log(shares))),
    )
    return np.array(values, dtype=float)


def with_states(
    features: NDArray[np.float64], states: NDArray[np.floating] | None
) -> NDArray[np.float64]:
    """The probe's inputs: prompt features, joined with the model's state after each prompt.

    Args:
        features: shape (prompts, replicates, features).
        states: shape (prompts, hidden); None leaves the features as they are.
    """
    if states is None:
        return features
    repeated = np.broadcast_to(states[:, None], (*features.shape[:2], states.shape[1]))
    return np.concatenate([features, repeated], axis=2)


class PromptProbe:
    """Ridge regression of pass@1 on prompt features and hidden states, in scikit-learn's manner.

    Columns are standardised, and the penalty is chosen by leave-one-out error. The target is pass@1
    itself: regressing its log-odds ranks prompts equally well but has a greater error. Without
    pilots the probe is better than trees, see `benchmarks.allocation.predictors`.

    Attributes:
        coef_: weight of each column on its original scale, shape (columns,).
        intercept_: the prediction where all columns are 0.
    """

    def fit(self, states: NDArray[np.floating], pass_at_1: NDArray[np.float64]) -> "PromptProbe":
        """Fit on states, shape (rows, columns), and pass@1 in [0, 1], shape (rows,)."""
        from sklearn.linear_model import RidgeCV
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler()
        ridge = RidgeCV(PENALTIES).fit(scaler.fit_transform(states.astype(float)), pass_at_1)
        self.coef_: NDArray[np.float64] = ridge.coef_ / scaler.scale_
        self.intercept_ = float(ridge.intercept_ - self.coef_ @ scaler.mean_)
        return self

    def predict(self, states: NDArray[np.floating]) -> NDArray[np.float64]:
        """Expected pass@1, shape (rows,).

        Args:
            states: shape (rows, columns).

        Raises:
            InputError: another number of columns than it was fitted on, as of another model.
        """
        if states.shape[-1] != len(self.coef_):
            raise InputError(
                "states", states.shape, f"must have {len(self.coef_)} columns; fit the probe again"
            )
        return np.clip(states.astype(float) @ self.coef_ + self.intercept_, 0.0, 1.0)

    def save(self, path: Path) -> None:
        """Write as safetensors; the file appears whole or not at all."""
        with atomic_write(path) as scratch:
            scratch.write_bytes(
                save({"coef": self.coef_, "intercept": np.array([self.intercept_])})
            )

    @classmethod
    def load(cls, path: Path) -> "PromptProbe":
        """Read a probe back.

        Raises:
            InputError: missing or damaged.
        """
        if not path.is_file():
            raise InputError("probe", str(path), "no such file; make one with ttc calibrate")
        probe = cls()
        try:
            tensors = load_file(path)
            probe.coef_, (intercept,) = tensors["coef"], tensors["intercept"]
            probe.intercept_ = float(intercept)
        except (SafetensorError, KeyError, ValueError) as error:
            raise InputError("probe", str(path), f"damaged; calibrate again ({error})") from None
        return probe
