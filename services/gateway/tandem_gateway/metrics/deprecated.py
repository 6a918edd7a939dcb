"""Metrics under their names of the release before, for one release; CHANGELOG.md lists them."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class DeprecatedNames(Collector):
    """Exports each sample of some metrics a second time, under an old name."""

    def __init__(self, registry: CollectorRegistry, metrics: Mapping[str, MetricWrapperBase]) -> None:
        """Add the names to a registry.

        Args:
            registry: in which the metrics themselves are.
            metrics: old name, without the ``_total`` of a counter → metric.
        """
        self._metrics = metrics
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Return the metrics under their old names."""
        for old, wrapper in self._metrics.items():
            for family in wrapper.collect():
                copy = Metric(old, f"Deprecated, use {family.name}.", family.type)
                copy.samples = [
                    sample._replace(name=old + sample.name.removeprefix(family.name)) for sample in family.samples
                ]
                yield copy
