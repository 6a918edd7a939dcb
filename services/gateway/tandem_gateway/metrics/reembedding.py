"""Collections that are embedded with another model."""

from collections.abc import Sequence
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Gauge

from tandem_gateway.index.state import IndexState

State = Literal["filling", "ready", "switched"]
STATES: Final[tuple[State, ...]] = ("filling", "ready", "switched")


class ReembeddingMetrics:
    """Shows the progress of each re-embedding."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._passages = Gauge(
            "tandem_gateway_reembedding_passages",
            "Passages of a collection that is re-embedded: those with a vector in its second space (embedded), and "
            "those without (missing). As of a second ago.",
            ["collection", "part"],
            registry=registry,
        )
        self._state = Gauge(
            "tandem_gateway_reembedding_state",
            "1 for the state of a collection's re-embedding, 0 for the others: filling, ready (all passages have a "
            "vector) or switched (searches use the new vectors).",
            ["collection", "state"],
            registry=registry,
        )

    def set(self, states: Sequence[IndexState]) -> None:
        """Set the values of all collections; those that are not re-embedded have none.

        Args:
            states: of all indexes, in one state of the store.
        """
        self._passages.clear()
        self._state.clear()
        serving = {state.collection: state for state in states if state.serving}
        for second in states:
            served = serving.get(second.collection)
            if second.serving or served is None:
                continue
            self._passages.labels(second.collection, "embedded").set(second.count)
            self._passages.labels(second.collection, "missing").set(max(0, served.count - second.count))
            now = reembedding_state(second, served)
            for state in STATES:
                self._state.labels(second.collection, state).set(state == now)


def reembedding_state(second: IndexState, serving: IndexState) -> State:
    """Return the state of a re-embedding; see ``use_cases.reembedding``. The newer space has the higher id."""
    if second.space_id < serving.space_id:
        return "switched"
    return "ready" if second.count >= serving.count else "filling"
