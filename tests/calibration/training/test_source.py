"""What a recipe trains: the language model itself, or another one with the same tokens."""

import pytest

from allocator.errors import InputError
from benchmarks.rewriting.paths import BASE as REWRITING
from benchmarks.testbed.paths import BASE, REVISER
from calibration.training.recipes import Source
from runtime.engines.base import SamplingSettings

SOURCE = Source(model=BASE, answers="pattern:^#(.*)$", sampling=SamplingSettings())


def test_a_backbone_is_trained_in_place_of_the_model() -> None:
    assert SOURCE.trained == BASE
    assert SOURCE.model_copy(update={"backbone": REVISER}).trained == REVISER


def test_a_backbone_of_other_tokens_is_refused() -> None:
    with pytest.raises(InputError, match=r"backbone: .*its vocabulary must be that of"):
        _ = SOURCE.model_copy(update={"backbone": REWRITING}).trained
