"""The policy whose budgets are tokens: how many thoughts a prompt gets, and of what depth."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from allocator.table import LookupTable
from predictors.difficulty import DifficultyModel

# Its folder within an artifact's, and the table's file there.
TOKENS, TABLE = "tokens", "table.json"


@dataclass(frozen=True)
class TokenPolicy:
    """A policy whose budgets are tokens.

    Attributes:
        table: over predicted difficulty; its rows are in tokens.
        difficulty: difficulty models by number of pilots, ascending.
    """

    table: LookupTable
    difficulty: Mapping[int, DifficultyModel]

    def save(self, folder: Path) -> None:
        """Write it into an artifact's folder."""
        within = folder / TOKENS
        within.mkdir()
        self.table.save(within / TABLE)
        for pilots, model in self.difficulty.items():
            model.save(within, pilots)

    @classmethod
    def read(cls, folder: Path) -> "TokenPolicy | None":
        """An artifact's; None where it has none.

        Raises:
            InputError: damaged.
        """
        within = folder / TOKENS
        if not within.is_dir():
            return None
        return cls(LookupTable.load(within / TABLE), DifficultyModel.load_all(within))
