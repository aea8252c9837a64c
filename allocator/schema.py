"""The base of everything that is kept as JSON."""

from pydantic import BaseModel, ConfigDict


class Schema(BaseModel):
    """An immutable value: no fields but its own, and only finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
