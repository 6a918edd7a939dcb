"""The metrics that the services export, from their registries."""

import re
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

import tandem_embedder.metrics
from tandem_gateway.metrics.gateway import Metrics


@dataclass(frozen=True)
class Family:
    """A metric; ``series`` are the names for queries."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str

    def series(self) -> set[str]:
        """Return the names of its series."""
        return {self.name + end for end in _ENDS.get(self.kind, ("",))}


def families(service: str) -> list[Family]:
    """Return a service's metrics without ``process_*``, in the order of its registry."""
    if service == "gateway":
        registry: CollectorRegistry = Metrics("0").registry
    else:
        embedder = tandem_embedder.metrics.Metrics()
        embedder.describe(model="", fingerprint="", precision="")  # as a loaded model sets it
        registry = embedder._registry
    found = []
    for family in registry.collect():
        if family.name.startswith("tandem_") and family.name in registry._names_to_collectors:  # no deprecated name
            end = {"counter": "_total", "info": "_info"}.get(family.type, "")
            labels = tuple(registry._names_to_collectors[family.name]._labelnames)  # type: ignore[attr-defined]
            found.append(Family(family.name + end, family.type, labels, family.documentation))
    return found


def exported() -> dict[str, Family]:
    """Return series → metric of both services."""
    return {series: family for name in SERVICES for family in families(name) for series in family.series()}


def used(query: str) -> dict[str, set[str]]:
    """Return series → label names that a PromQL expression selects by, for Tandem's own series."""
    found: dict[str, set[str]] = {}
    for name, _, selector in re.findall(r"\b(tandem_(?:gateway|embedder)_\w+)(\{([^}]*)\})?", query):
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*[=!]", selector))
    return found


SERVICES = ("gateway", "embedder")
_ENDS = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
