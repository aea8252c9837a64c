"""The error of a call of which some prompts were answered and others not."""

from collections.abc import Mapping, Sequence
from typing import Any

from allocator.errors import ModelError


class UnansweredError(ModelError):
    """A model failed on some of the prompts.

    Args:
        failed: error messages, by the prompt's request id; with transformers by its row.
        outputs: outputs of the other prompts; with transformers a `ComputeOptimalGeneration` each.
    """

    def __init__(self, failed: Mapping[Any, str], outputs: Sequence[Any]) -> None:
        what = next(iter(failed.values()))
        super().__init__(f"{len(failed)} of {len(failed) + len(outputs)} prompts", what)
        self.failed, self.outputs = dict(failed), list(outputs)

    def __reduce__(self) -> Any:
        return type(self), (self.failed, self.outputs)
