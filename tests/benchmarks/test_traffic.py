"""Recorded traffic of the testbed makes a table that is not clearly worse than the original."""

from pathlib import Path

import pytest

from benchmarks.traffic.recalibration import BUDGETS, recalibrated


@pytest.mark.slow
def test_traffic_is_recalibrated_to_a_table_like_the_original(tmp_path: Path) -> None:
    graded, estimated = recalibrated(tmp_path, prompts=160, shares=(1.0, 0.0))
    assert graded.worse == estimated.worse == []
    assert [whole.budget for whole in graded.whole] == list(BUDGETS)
    assert graded.notes[0].startswith("of the ")
    assert "known of 0 of 160" in estimated.notes[0]
    # Estimated correctness is close to the graded one, at every budget.
    assert all(abs(whole.difference) < 0.05 for whole in estimated.truth)
    # A gain with the budget is measured, not assumed.
    assert graded.whole[-1].after.low > graded.whole[0].after.high
