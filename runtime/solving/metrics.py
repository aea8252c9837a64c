"""Prometheus metrics of a solver."""

from collections.abc import Callable, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, write_to_textfile

from runtime.result import Receipt

# Upper edges, in seconds: from a tiny model's answer to a long search by a large one.
SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500)


class Metrics:
    """Counters, gauges and one histogram of one solver, all named ``ttc_...``.

    Attributes:
        registry: the metrics' own registry, which a server can export.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(name, what, labels, namespace="ttc", registry=self.registry)

        def gauge(name: str, what: str, *labels: str) -> Gauge:
            return Gauge(name, what, labels, namespace="ttc", registry=self.registry)

        self._prompts = counter("prompts", "Prompts answered, by their plan's strategy", "strategy")
        self._failures = counter("failures", "Prompts on which a model failed")
        self._generations = counter("generations", "Complete solutions sampled, pilots included")
        self._sampled_tokens = counter("sampled_tokens", "Tokens the language model sampled")
        self._thinking_tokens = counter("thinking_tokens", "Of these, the tokens of thoughts")
        self._flops = counter("flops", "FLOPs of sampling and of scoring, where models are known")
        self._seconds = Histogram(
            "prompt_seconds",
            "Wall time from a prompt's first pilot to its answer",
            namespace="ttc",
            registry=self.registry,
            buckets=SECONDS,
        )
        self._drift = gauge("drift", "1 while live traffic does not look like calibration, else 0")
        self._p_value = gauge("drift_p_value", "Of each signal's comparison", "signal")
        self._price = gauge("price", "Expected accuracy that one more generation must add")

    def answered(self, receipt: Receipt) -> None:
        """Count an answered prompt.

        Args:
            receipt: what it cost.
        """
        self._prompts.labels(receipt.plan.strategy).inc()
        self._generations.inc(receipt.generations)
        self._sampled_tokens.inc(receipt.sampled_tokens)
        self._thinking_tokens.inc(receipt.thinking_tokens)
        self._flops.inc(receipt.flops or 0.0)
        self._seconds.observe(receipt.seconds)

    def failed(self) -> None:
        """Count a prompt on which a model failed."""
        self._failures.inc()

    def drift(self, drifted: bool, p_values: Mapping[str, float]) -> None:
        """Whether traffic has drifted, and each signal's p-value."""
        self._drift.set(drifted)
        for signal, p in p_values.items():
            self._p_value.labels(signal).set(p)

    def price(self, price: float) -> None:
        """The price of compute: expected accuracy that one more generation must add."""
        self._price.set(price)

    def watch(self, name: str, what: str, value: Callable[[], float]) -> None:
        """A gauge that is read when the metrics are.

        Args:
            name: its name, without ``ttc_``.
            what: what it says.
            value: reads it.
        """
        Gauge(name, what, namespace="ttc", registry=self.registry).set_function(value)

    def write(self, path: Path) -> None:
        """Write all in the node exporter's text format; the file appears whole or not at all."""
        write_to_textfile(str(path), self.registry)
