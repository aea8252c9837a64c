"""Policies whose budgets are tokens, made by hand: what they decide can be computed."""

from dataclasses import replace

from allocator.plan import Plan
from allocator.table import BudgetRow, Cell, LookupTable
from benchmarks.testbed.paths import ARTIFACT
from predictors.branches import BranchScoring
from predictors.thinking_policy import DepthGain, SampleGain, ThinkingPolicy, TokenPrice
from predictors.token_policy import TokenPolicy
from runtime.artifact import Artifact

POLICY = ThinkingPolicy(
    scoring=BranchScoring(),
    probes=(5, 10, 20),
    caps=(11, None),
    stages=(1, 2, 4),
    sampling=(SampleGain(weights=(-2.0, 1.0, 0.0), rho=1.0, tokens=20),) * 2,
    deepening=(DepthGain(weights=(-1.0, 0.0, 0.0, 0.0, 0.0), tokens=20),),
    prices=(
        TokenPrice(price=1e-6, tokens=900, accuracy=0.9),
        TokenPrice(price=1.0, tokens=9, accuracy=0.5),
    ),
)


def with_token_budgets(artifact: Artifact) -> Artifact:
    """An artifact with two thoughts of at most 11 tokens for 50 tokens, and with `POLICY`."""
    plan = Plan(strategy="best_of_n", n=2, thinking=11)
    cell = Cell(plan=plan, accuracy=0.5, low=0.4, high=0.6, generations=2, tokens=40, prompts=9)
    row = BudgetRow(budget=50, unit="tokens", pilots=0, edges=(), cells=(cell,))
    table = LookupTable(
        fingerprint=artifact.policy.table.fingerprint, difficulty="predicted", rows=(row,)
    )
    return replace(artifact, tokens=TokenPolicy(table, {}), thinking=POLICY)


def unverified() -> Artifact:
    """The testbed's so, without a verifier: it could not read a thinking model's tokens."""
    found = with_token_budgets(Artifact.load(ARTIFACT))
    return replace(found, settings=found.settings.model_copy(update={"verifier": None}))
