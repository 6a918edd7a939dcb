"""Whether this embedder can serve, and why not; one object that the probes, the use case and the start-up share."""

from dataclasses import dataclass
from enum import Enum

from tandem_embedder.errors import NotReady


class State(Enum):
    """Where the service is in its life."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    """The model cannot be served here; starting again does not help until the reason is gone."""
    DEAD = "dead"
    """It served and a worker died; only a new process helps, so liveness ends as well."""
    DRAINING = "draining"


@dataclass(slots=True)
class Readiness:
    """State and reason; changed by the event loop's thread only."""

    state: State = State.STARTING
    reason: str = "the model is being loaded"

    @property
    def is_ready(self) -> bool:
        """Whether requests are taken."""
        return self.state is State.READY

    def ready(self) -> None:
        """The model is loaded and proven; has no effect once the service drains."""
        if self.state is State.STARTING:
            self.state, self.reason = State.READY, ""

    def failed(self, reason: str) -> None:
        """The model cannot be served."""
        if self.state is not State.DRAINING:
            self.state, self.reason = State.FAILED, reason

    def dead(self, reason: str) -> None:
        """A worker died."""
        self.state, self.reason = State.DEAD, reason

    def draining(self) -> None:
        """The service ends; takes no new requests."""
        if self.state is not State.DEAD:
            self.state, self.reason = State.DRAINING, "the embedder is shutting down"

    def require(self) -> None:
        """Return if ready.

        Raises:
            NotReady: with the reason.
        """
        if not self.is_ready:
            raise NotReady(self.reason, retry_after_seconds=1.0 if self.state is State.STARTING else 5.0)
