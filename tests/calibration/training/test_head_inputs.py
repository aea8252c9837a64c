"""A head's language model is run over each example once."""

from math import nan
from typing import Any

import pytest
import torch

from benchmarks.testbed.paths import BASE
from calibration.training.fine_tune import Example
from calibration.training.head_inputs import KEPT_BYTES, HeadInputs
from runtime.verifiers.likelihood import LikelihoodModel

EXAMPLES = [
    Example(number, list(range(3, 3 + size)), [*[nan] * (size - 2), 0.0, 1.0], prompt_tokens=2)
    for number, size in enumerate((4, 9, 6))
]
ONE = 2 * (128 + 3) * 4  # bytes of one example's two labelled tokens


@pytest.mark.parametrize(
    ("room", "second"), [(KEPT_BYTES, []), (2 * ONE, [1]), (0, [3])], ids=["all", "two", "none"]
)
def test_the_model_reads_again_only_what_is_not_kept(
    room: int, second: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = LikelihoodModel.untrained(BASE)
    texts: list[int] = []
    read = model.read

    def counted(ids: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        texts.append(len(ids))
        return read(ids, *args, **kwargs)

    monkeypatch.setattr(model, "read", counted)
    inputs = HeadInputs(model, room)
    first = inputs.logits(model.head, EXAMPLES, "cpu")
    assert texts == [3]
    again = inputs.logits(model.head, EXAMPLES[::-1], "cpu")
    assert texts[1:] == second
    # Two labelled tokens each, in the examples' order.
    torch.testing.assert_close(again.view(3, 2).flip(0), first.view(3, 2), atol=1e-4, rtol=0)
    alone, _ = model(torch.tensor([EXAMPLES[1].token_ids]), torch.arange(9)[None] >= 2)
    torch.testing.assert_close(first[2:4], alone[0, -2:, 0], atol=1e-4, rtol=0)
