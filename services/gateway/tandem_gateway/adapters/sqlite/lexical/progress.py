"""Reports the progress of a long build of the keyword index to the log."""

import logging
import time

log = logging.getLogger(__name__)

_SECONDS = 5.0
_WORTH_TELLING = 10_000


class BuildProgress:
    """Logs a build of at least ``_WORTH_TELLING`` passages: a line every few seconds, and one at the end."""

    def __init__(self) -> None:
        """Begin without a build."""
        self._began: tuple[float, int] | None = None
        self._told = 0.0

    def building(self, position: int, last: int) -> None:
        """Report that the index has the store's passages up to ``position`` of ``last``."""
        now = time.monotonic()
        if self._began is None:
            if last - position < _WORTH_TELLING:
                return
            self._began = (now, position)
            self._told = now - _SECONDS
        if now - self._told >= _SECONDS:
            self._told = now
            log.info("building the keyword index", extra={"passage": position, "of": last})

    def finished(self, last: int) -> None:
        """Report that the index has every passage up to ``last``, if a build was reported."""
        if self._began is not None:
            started, first = self._began
            self._began = None
            seconds = round(time.monotonic() - started, 3)
            log.info("keyword index built", extra={"passages": last - first, "seconds": seconds})
