"""The names that clients may ask for, and the budget that a name, a header or a body asks for."""

import re
from collections.abc import Sequence

from allocator.errors import InputError, shown
from runtime.server.errors import ApiError
from runtime.server.settings import ServeSettings


class ServedModels:
    """One model under its name, and under one more for each budget: ``NAME-ttc-16``.

    Args:
        settings: the server's; they name the budgets that may be asked for.
        folder: the model's, or its hub name: where the settings have no name, its last part.
        budgets: the calibrated ones.
    """

    def __init__(self, settings: ServeSettings, folder: str, budgets: Sequence[int]) -> None:
        self.name = settings.served_model_name or folder.rstrip("/").rpartition("/")[2]
        self.default, self.most = settings.default_budget, settings.max_budget
        listed = [budget for budget in budgets if budget <= self.most]
        self.names = (self.name, *(f"{self.name}-ttc-{budget}" for budget in listed))

    def budget(self, name: str, header: int | None, body: int | None) -> int:
        """Generations that a request may cost: as its body says, else its header, else the name.

        Args:
            name: the model asked for.
            header: what ``X-TTC-Budget`` says.
            body: what the field ``ttc.budget`` says.

        Raises:
            ApiError: another model.
            InputError: more than the server allows.
        """
        found = re.fullmatch(re.escape(self.name) + r"(?:-ttc-([1-9][0-9]{0,8}))?", name)
        if found is None:
            hint = f"it is not served; ask for {', '.join(self.names)}"
            raise ApiError(404, f"model: {shown(name)}: {hint}", "model")
        asked = (
            ("ttc.budget", body),
            ("X-TTC-Budget", header),
            ("model", found[1] and int(found[1])),
        )
        field, budget = next(
            ((field, int(value)) for field, value in asked if value), ("", self.default)
        )
        if budget > self.most:
            raise InputError(field, budget, f"this server allows {self.most} generations at most")
        return budget
