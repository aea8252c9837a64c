"""Model names of the server, and the budget that a name, a header or a body requests."""

import re
from collections.abc import Sequence

from allocator.errors import InputError, shown
from runtime.server.errors import ApiError
from runtime.server.settings import ServeSettings


class ServedModels:
    """One model under its name, and under one more for each budget: ``NAME-ttc-16``.

    Args:
        settings: the server's, with its default and maximum budget.
        folder: the model's folder or hub name; its last part is the model's name if the settings
            have none.
        budgets: the calibrated budgets.
    """

    def __init__(self, settings: ServeSettings, folder: str, budgets: Sequence[int]) -> None:
        self.name = settings.served_model_name or folder.rstrip("/").rpartition("/")[2]
        self.default, self.max_budget = settings.default_budget, settings.max_budget
        listed = [budget for budget in budgets if budget <= self.max_budget]
        self.names = (self.name, *(f"{self.name}-ttc-{budget}" for budget in listed))

    def budget(
        self,
        name: str,
        header: int | None,
        body: int | None,
        choices: int = 1,
        in_tokens: bool = False,
    ) -> int:
        """Generations that each prompt may cost: by the body, else the header, else the name.

        Args:
            name: the model requested.
            header: value of ``X-TTC-Budget``.
            body: value of the field ``ttc.budget``.
            choices: solutions requested of each prompt, to which the server's default is raised.
            in_tokens: whether the body has a budget in tokens, beside which none is allowed.

        Raises:
            ApiError: an unknown model.
            InputError: more than the server allows, or a second budget.
        """
        found = re.fullmatch(re.escape(self.name) + r"(?:-ttc-([1-9][0-9]{0,8}))?", name)
        if found is None:
            hint = f"it is not served; ask for {', '.join(self.names)}"
            raise ApiError(404, f"model: {shown(name)}: {hint}", "model")
        sources = (
            ("ttc.budget", body),
            ("X-TTC-Budget", header),
            ("model", found[1] and int(found[1])),
        )
        field, budget = next(
            ((field, int(value)) for field, value in sources if value),
            ("n", max(self.default, choices)),
        )
        if in_tokens and field != "n":
            raise InputError(field, budget, "the body has a budget in tokens; give one of the two")
        if budget > self.max_budget:
            raise InputError(
                field, budget, f"this server allows {self.max_budget} generations at most"
            )
        return budget
