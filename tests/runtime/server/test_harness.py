"""lm-evaluation-harness against the real server: it measures what the solver reaches."""

from typing import Any

import pytest

from benchmarks.serving.accuracy import by_harness
from benchmarks.testbed.task import distinct_problems
from runtime.result import Spend
from runtime.solving.solve import Solver
from tests.support.serving import Apis

PROBLEMS = list(distinct_problems("test", 40, seed=61))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("endpoint", "budget"),
    # To completions the harness sends the longest prompts first, which pilots would call drift;
    # at a budget of 8 there are none.
    [("chat/completions", 16), ("completions", 8)],
)
def test_the_harness_finds_what_the_solver_finds(apis: Apis, endpoint: str, budget: Any) -> None:
    with apis.listening() as api:
        found, accuracy = by_harness(api.url, "base", PROBLEMS, budget, endpoint)
        counted = api.service.metrics.registry.get_sample_value(
            "ttc_http_requests_total", {"endpoint": f"/v1/{endpoint}", "status": "200"}
        )
        solver = Solver(apis.models, api.service.artifact)
    results = apis.run(solver.solve_all([p.text for p in PROBLEMS], Spend(budget=budget)))
    assert found == [result.answer for result in results]
    right = [a == problem.answer for a, problem in zip(found, PROBLEMS, strict=True)]
    assert accuracy == sum(right) / len(right) > 0.4
    assert counted == len(PROBLEMS)
