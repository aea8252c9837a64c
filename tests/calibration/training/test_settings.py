"""Settings of ``ttc train`` that are refused before any model is loaded."""

import pytest
from pydantic import BaseModel, ValidationError

from calibration.training.settings import (
    ChainSettings,
    ReviserSettings,
    SampleSettings,
    TrainSettings,
)


@pytest.mark.parametrize("group", [SampleSettings, ChainSettings, ReviserSettings, TrainSettings])
def test_no_seed_is_negative(group: type[BaseModel]) -> None:
    assert group.model_validate({"seed": 0}).model_dump()["seed"] == 0
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        group.model_validate({"seed": -1})
