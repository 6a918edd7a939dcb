"""Readiness of this embedder, with the reason. The probes, the use case and the start-up code share one object."""

from dataclasses import dataclass
from enum import Enum

from tandem_embedder.errors import NotReady


class State(Enum):
    """Lifecycle state of the service."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    """The embedder cannot serve the model here. A restart does not help until the cause is removed."""
    DEAD = "dead"
    """A worker died while the embedder served. Only a new process helps, so the liveness probe fails as well."""
    DRAINING = "draining"


@dataclass(slots=True)
class Readiness:
    """State and reason. Only the event loop's thread changes them."""

    state: State = State.STARTING
    reason: str = "the model is being loaded"

    @property
    def is_ready(self) -> bool:
        """Whether the embedder accepts requests."""
        return self.state is State.READY

    def ready(self) -> None:
        """Record that the model is loaded and has passed its self-test. Only STARTING becomes READY."""
        if self.state is State.STARTING:
            self.state, self.reason = State.READY, ""

    def failed(self, reason: str) -> None:
        """Record that the embedder cannot serve the model. Has no effect while the service drains."""
        if self.state is not State.DRAINING:
            self.state, self.reason = State.FAILED, reason

    def dead(self, reason: str) -> None:
        """Record that a worker died."""
        self.state, self.reason = State.DEAD, reason

    def draining(self) -> None:
        """Record that the service is shutting down and accepts no new requests. DEAD stays DEAD."""
        if self.state is not State.DEAD:
            self.state, self.reason = State.DRAINING, "the embedder is shutting down"

    def require(self) -> None:
        """Check that the embedder accepts requests.

        Raises:
            NotReady: if it does not; the message is the reason.
        """
        if not self.is_ready:
            raise NotReady(self.reason, retry_after_seconds=1.0 if self.state is State.STARTING else 5.0)
