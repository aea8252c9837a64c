"""A training on disk: what resumes it, and what it was made with once it has finished.

Weights and optimizer are safetensors; counters, and what it was made with, are JSON.
"""

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from allocator.errors import InputError
from allocator.files import atomic_write

COUNTERS, FINISHED = "counters.json", "finished.json"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps of each parameter


class TrainingState:
    """The latest state from which training can resume, in a folder beside its model.

    Args:
        out: the model's folder; the state is beside it.
        model: the module that is trained.
        optimizer: an AdamW over it, with one group of parameters.
        schedule: schedule of the learning rate.
        settings: what the weights depend on, as JSON has it; a state of others is refused.
    """

    def __init__(
        self, out: Path, model: Any, optimizer: Any, schedule: Any, settings: Mapping[str, Any]
    ) -> None:
        self._out, self._folder = out, _folder(out)
        self._settings = dict(settings)
        self._model, self._optimizer, self._schedule = model, optimizer, schedule

    def is_finished(self, made_with: Mapping[str, Any]) -> bool:
        """Whether the model's folder holds the result of a finished training of these settings."""
        path = self._folder / FINISHED
        known = path.is_file() and (self._out / "config.json").is_file()
        return known and json.loads(path.read_text()) == dict(made_with)

    def finish(self, made_with: Mapping[str, Any]) -> None:
        """Note in place of the state that training has finished.

        Args:
            made_with: what the model in its folder depends on, as JSON has it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._folder / FINISHED) as scratch:
            scratch.write_text(json.dumps(dict(made_with)))
        (self._folder / COUNTERS).unlink(missing_ok=True)
        for path in self._folder.glob("*.safetensors"):
            path.unlink()

    def load(self) -> dict[str, float]:
        """Load the state and return its counters; empty where there is no state.

        The model's folder holds no finished training from then on.

        Raises:
            InputError: it is the state of another training.
        """
        (self._folder / FINISHED).unlink(missing_ok=True)
        path = self._folder / COUNTERS
        if not path.is_file():
            return {}
        from safetensors.torch import load_file

        counters = json.loads(path.read_text())
        self._check(counters.pop("settings", {}))
        taken = counters.pop("steps")
        tensors = load_file(self._folder / f"{taken}.safetensors")
        weights = {
            n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")
        }
        if weights.keys() != self._model.state_dict().keys():
            raise self._foreign("with other weights")
        self._model.load_state_dict(weights)
        state = self._optimizer.state_dict()
        state["state"] = {
            i: {moment: tensors[f"optimizer.{i}.{moment}"] for moment in MOMENTS}
            for i in state["param_groups"][0]["params"]
            if f"optimizer.{i}.step" in tensors  # the others have had no gradient yet
        }
        self._optimizer.load_state_dict(state)
        with warnings.catch_warnings():
            # The schedule's earlier steps are part of the optimizer's state.
            warnings.simplefilter("ignore", UserWarning)
            for _ in range(taken):
                self._schedule.step()
        return dict(counters)

    def _check(self, begun: Mapping[str, Any]) -> None:
        own = self._settings
        names = [name for name in own if name not in begun or begun[name] != own[name]]
        if names:
            was, now = ({name: of.get(name) for name in names} for of in (begun, own))
            raise self._foreign(f"with {was}, not {now}")

    def _foreign(self, how: str) -> InputError:
        return InputError(
            "training-state",
            str(self._folder),
            f"this training was begun {how}; remove the folder to train anew, or choose another "
            "one for the model",
        )

    def save(self, counters: Mapping[str, float]) -> None:
        """Save the state; the counters are written last and atomically, and make it valid."""
        from safetensors.torch import save_file

        self._folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"model.{n}": t.clone() for n, t in self._model.state_dict().items()}
        for i, values in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{moment}": values[moment].clone() for moment in MOMENTS}
        current = self._folder / f"{self._schedule.last_epoch}.safetensors"
        save_file(tensors, current)
        with atomic_write(self._folder / COUNTERS) as scratch:
            kept = {**counters, "steps": self._schedule.last_epoch, "settings": self._settings}
            scratch.write_text(json.dumps(kept))
        for path in self._folder.glob("*.safetensors"):
            if path != current:
                path.unlink()

    def remove(self) -> None:
        """Remove what is kept of the training."""
        remove_state(self._out)


def remove_state(out: Path) -> None:
    """Remove what is kept of a model's training.

    Args:
        out: the model's folder.
    """
    shutil.rmtree(_folder(out), ignore_errors=True)


def _folder(out: Path) -> Path:
    return out.with_name(f"{out.name}.training-state")
