"""The files of an artifact folder, read for display; no model is loaded."""

from dataclasses import dataclass
from pathlib import Path

from allocator.latency import Latency
from allocator.price import PriceList, PricePoint
from allocator.table import LookupTable
from calibration.report.summary import Summary
from predictors.token_policy import TokenPolicy
from runtime.artifact import (
    ORACLE_TABLE,
    PRICES,
    SETTINGS,
    SUMMARY,
    load_settings,
    read_latency,
    read_oracle_table,
    read_prices,
    read_table,
)
from runtime.settings import Settings


@dataclass(frozen=True)
class Contents:
    """An artifact's files.

    Attributes:
        folder: the artifact folder.
        table: over predicted difficulty.
        oracle_table: over oracle difficulty; None where there is none.
        settings: settings it was sampled with; None in an artifact made from logs.
        summary: the results; None where there is none.
        prices: accuracy at each average budget; None where there is none.
        latency: seconds of every plan; empty where nothing was timed.
        tokens: the policy whose budgets are tokens; None where there is none.
    """

    folder: Path
    table: LookupTable
    oracle_table: LookupTable | None
    settings: Settings | None
    summary: Summary | None
    prices: PriceList | None
    latency: Latency
    tokens: TokenPolicy | None = None

    @property
    def price_rows(self) -> list[PricePoint]:
        """Prices to show: average budgets, each about twice the last, and the largest; empty where
        there is none.
        """
        rows: list[PricePoint] = []
        points = self.prices.points if self.prices else ()
        for point in reversed(points):
            if not rows or point.generations >= 2 * rows[-1].generations:
                rows.append(point)
        return [*rows, *(point for point in points[:1] if point not in rows)]

    @classmethod
    def load(cls, folder: Path) -> "Contents":
        """Read all files of the artifact.

        Raises:
            InputError: there is no table, or a file is damaged.
        """

        def exists(name: str) -> bool:
            return (folder / name).is_file()

        return cls(
            folder,
            read_table(folder),
            read_oracle_table(folder) if exists(ORACLE_TABLE) else None,
            load_settings(folder) if exists(SETTINGS) else None,
            Summary.load(folder) if exists(SUMMARY) else None,
            read_prices(folder) if exists(PRICES) else None,
            read_latency(folder),
            TokenPolicy.read(folder),
        )
