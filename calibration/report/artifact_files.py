"""What lies in an artifact folder, read back to be looked at; no model is touched."""

from dataclasses import dataclass
from pathlib import Path

from allocator.latency import Latency
from allocator.price import PriceList
from allocator.table import LookupTable
from calibration.report.summary import Summary
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
        folder: where they lie.
        table: over predicted difficulty.
        oracle_table: over oracle difficulty; None where there is none.
        settings: what it was sampled with; None in an artifact made from logs.
        summary: what was found; None where there is none.
        prices: what an average budget buys; None where there is none.
        latency: seconds of every plan; none of them where nothing was timed.
    """

    folder: Path
    table: LookupTable
    oracle_table: LookupTable | None
    settings: Settings | None
    summary: Summary | None
    prices: PriceList | None
    latency: Latency

    @classmethod
    def load(cls, folder: Path) -> "Contents":
        """Read all that is there.

        Raises:
            InputError: there is no table, or a file is damaged.
        """

        def there(name: str) -> bool:
            return (folder / name).is_file()

        return cls(
            folder,
            read_table(folder),
            read_oracle_table(folder) if there(ORACLE_TABLE) else None,
            load_settings(folder) if there(SETTINGS) else None,
            Summary.load(folder) if there(SUMMARY) else None,
            read_prices(folder) if there(PRICES) else None,
            read_latency(folder),
        )
