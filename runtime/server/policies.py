"""The artifact that answers, and another one that may be tried on a share of the requests."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

from prometheus_client import Counter

from runtime.artifact import Artifact, content_label
from runtime.models import Models
from runtime.result import Receipt
from runtime.server.share import in_share
from runtime.solving.metrics import Metrics
from runtime.solving.solve import Solver

COUNTER_HELP = {
    "prompts": "Prompts answered, by artifact",
    "generations": "Complete solutions sampled, by artifact",
    "sampled_tokens": "Tokens that the language model sampled, by artifact",
    "failures": "Prompts on which a model failed, by artifact",
    "right": "Answers that clients called right, by artifact",
    "wrong": "Answers that clients called wrong, by artifact",
}


@dataclass(eq=False)
class ServedPolicy:
    """An artifact in service.

    Attributes:
        artifact: the artifact.
        label: its short name.
        since: Unix time at which it began to answer, in seconds.
        counts: what it has answered, by the names of `COUNTER_HELP`.
        solver: answers prompts with it; None before the first.
    """

    artifact: Artifact
    label: str
    since: float = field(default_factory=time.time)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTER_HELP, 0))
    solver: Solver | None = None

    @classmethod
    def of(cls, artifact: Artifact) -> "ServedPolicy":
        """An artifact that begins to answer; its folder is read for its label."""
        return cls(artifact, content_label(artifact.folder))

    def to_json(self) -> dict[str, Any]:
        """As JSON, with the accuracy by feedback; None without any."""
        judged = self.counts["right"] + self.counts["wrong"]
        accuracy = self.counts["right"] / judged if judged else None
        shown = {"artifact": self.label, "since": int(self.since)}
        return shown | self.counts | {"accuracy": accuracy}


class Policies:
    """The artifacts in service. A request is answered by the one that was chosen as it began.

    Args:
        artifact: the first.
        seed: of requests without one.
        metrics: of all.

    Attributes:
        current: answers, but for those requests that the other one does.
        trial: tried on a share of the requests; None for none.
        share: that share.
    """

    def __init__(self, artifact: Artifact, seed: int, metrics: Metrics) -> None:
        self.current = ServedPolicy.of(artifact)
        self.trial: ServedPolicy | None = None
        self.share = 0.0
        self._seed, self._metrics = seed, metrics
        self._counters = {
            name: Counter(
                f"artifact_{name}", what, ("artifact",), namespace="ttc", registry=metrics.registry
            )
            for name, what in COUNTER_HELP.items()
        }

    def choose(self, request: str) -> ServedPolicy:
        """The artifact for a request.

        Args:
            request: its id, hexadecimal and random.
        """
        if self.trial is not None and in_share(request, self.share):
            return self.trial
        return self.current

    def put(self, policy: ServedPolicy, share: float) -> None:
        """Have an artifact answer requests from now on; those that have begun keep theirs.

        Args:
            policy: the artifact. If it is in service already, it keeps its counts.
            share: of the requests, above 0; with 1 it takes the place of the current one.
        """
        known = [one for one in (self.current, self.trial) if one is not None]
        policy = next((one for one in known if one.label == policy.label), policy)
        if share == 1:
            self.current = policy
            self.end_trial()
        else:
            self.trial, self.share = policy, share

    def end_trial(self) -> None:
        """Have the current artifact answer all requests."""
        self.trial, self.share = None, 0.0

    def solver(self, policy: ServedPolicy, models: Models) -> Solver:
        """The solver of an artifact, with the models as they are now."""
        scored = replace(models, scoring=policy.artifact.settings.scoring)
        if policy.solver is None:
            policy.solver = Solver(scored, policy.artifact, self._seed, metrics=self._metrics)
        else:
            policy.solver.models = scored
        return policy.solver

    def answered(self, policy: ServedPolicy, receipt: Receipt) -> None:
        """Count an answered prompt."""
        self.count(policy, "prompts")
        self.count(policy, "generations", receipt.generations)
        self.count(policy, "sampled_tokens", receipt.sampled_tokens)

    def count(self, policy: ServedPolicy, name: str, by: int = 1) -> None:
        """Count something of `COUNTER_HELP`."""
        policy.counts[name] += by
        self._counters[name].labels(policy.label).inc(by)

    def judged(self, label: str, correct: bool) -> None:
        """Count a client's verdict on an artifact's answer."""
        name = "right" if correct else "wrong"
        self._counters[name].labels(label).inc()
        for policy in (self.current, self.trial):
            if policy is not None and policy.label == label:
                policy.counts[name] += 1

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        trial = None if self.trial is None else self.trial.to_json()
        return {"current": self.current.to_json(), "trial": trial, "share": self.share}
