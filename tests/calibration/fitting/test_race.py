"""Which searches go on after the race, on prompts made for it."""

from allocator.plan import Plan, parse_plan
from calibration.fitting.race import leaders
from calibration.replay.replay import Replay
from tests.support.samples import graded_record

SMALL, NARROW = parse_plan("beam_search:2:2"), parse_plan("beam_search:4:2")
WIDE, DIVERSE = parse_plan("beam_search:4:4"), parse_plan("dvts:4:2")


def led(easy: dict[Plan, bool], hard: dict[Plan, bool]) -> list[Plan]:
    """The leaders where twenty prompts are always solved at once and ten never are."""
    records = [
        graded_record(
            number,
            [number < 20] * 16,
            {plan: [right] * plan.n for plan, right in (easy if number < 20 else hard).items()},
        )
        for number in range(30)
    ]
    return leaders(Replay(records, 8), list(easy))


def test_a_search_goes_on_where_it_leads_its_cost_in_some_part_of_the_prompts() -> None:
    easy = {NARROW: True, DIVERSE: False, WIDE: False, SMALL: False}
    hard = {NARROW: False, DIVERSE: False, WIDE: True, SMALL: False}
    # The only one of its cost goes on, whatever it does.
    assert led(easy, hard) == [SMALL, NARROW, WIDE]


def test_where_searches_are_equal_the_best_over_all_prompts_leads() -> None:
    easy = {NARROW: True, DIVERSE: True, WIDE: True}
    hard = {NARROW: False, DIVERSE: False, WIDE: True}
    assert led(easy, hard) == [WIDE]
