"""Opens the audit log."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tandem_gateway.access.audit import ANONYMOUS, LostLines, encoded, rfc3339_now
from tandem_gateway.access.principal import EVERY_COLLECTION, Principal, make_principal
from tandem_gateway.settings import Settings
from tandem_runtime.log_file import LogFile
from tandem_runtime.log_writer import LogWriter
from tandem_runtime.settings import SettingsError

log = logging.getLogger(__name__)

OFF: Final = "off"
_STREAMS: Final = {"stdout": 1, "stderr": 2}
_FILE: Final = "audit.log"


def open_audit(settings: Settings, on_dropped: Callable[[int], object]) -> LogWriter | None:
    """Return the writer of the audit log; None if it is off.

    Args:
        settings: say where it goes.
        on_dropped: called with a number of lines that were lost.

    Raises:
        SettingsError: the file that a setting names cannot be written.
    """
    target = settings.audit_log
    if target == OFF:
        return None
    if target in _STREAMS:
        return LogWriter(_STREAMS[target], _lost_line, on_dropped=on_dropped)
    path = audit_path(settings)
    file = LogFile(path, settings.audit_max_bytes, settings.audit_files)
    if target:  # the default may stay unused, and so makes no file before its first line
        try:
            file.check()
        except OSError as error:
            raise SettingsError(f"TANDEM_AUDIT_LOG={target!r}: {error.strerror}") from None
    return LogWriter(_Appender(file, path), _lost_line, on_dropped=on_dropped)


def audit_path(settings: Settings) -> Path:
    """Return the path of the file, if the audit log goes to one."""
    return Path(settings.audit_log) if settings.audit_log else settings.data_dir / _FILE


def audit_sink(settings: Settings) -> Callable[[bytes], object]:
    """Return what writes a line of a command: to the gateway's file, or else to standard error.

    Only the gateway rotates the file. The function that is returned can raise OSError.
    """
    if settings.audit_log == OFF:
        return lambda line: None
    if settings.audit_log in _STREAMS:  # standard output has the text of a key alone
        return lambda line: os.write(_STREAMS["stderr"], line)
    return LogFile(audit_path(settings)).append


def anonymous(settings: Settings) -> Principal | None:
    """Return the caller of all requests without access control, if the audit log has them."""
    if settings.audit_log in ("", OFF):
        return None
    return make_principal(ANONYMOUS, ANONYMOUS, "admin", (EVERY_COLLECTION,))


class _Appender:
    """Appends lines to the file, and logs when that begins to fail and when it works again."""

    def __init__(self, file: LogFile, path: Path) -> None:
        self._file = file
        self._path = path
        self._failing = False

    def __call__(self, data: bytes) -> bool:
        """Append whole lines; return whether they are in the file."""
        try:
            self._file.append(data)
        except OSError as error:
            if not self._failing:
                told = {"file": str(self._path), "error": error.strerror}
                log.error("the audit log cannot be written; its lines wait in memory", extra=told)
            self._failing = True
            return False
        if self._failing:
            log.info("the audit log is written again", extra={"file": str(self._path)})
        self._failing = False
        return True


def _lost_line(lines: int) -> bytes:
    return encoded(LostLines(time=rfc3339_now(), lines=lines))
