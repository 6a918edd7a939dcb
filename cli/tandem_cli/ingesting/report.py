"""What an ingest did, and how it is told."""

from dataclasses import asdict, dataclass, field
from typing import Any

from tandem_cli.output import counted, printable
from tandem_client.bulk.tally import IngestReport

MAX_FAILURES = 100


@dataclass(slots=True)
class Report:
    """Counts of documents; ``failures`` has the first 100 of those that are not stored or not embedded.

    Attributes:
        accepted: stored by the gateway.
        unchanged: of these: stored before with the same content. In a sync: documents that were not sent again.
        failed: could not be embedded.
        skipped: not valid, so they are not stored; of a file that cannot be read, the file counts as one.
        deleted: by a sync, because their files are gone.
        pending: waited for their vectors when the command ended.
        left_out: files of no known format.
        failures: name and reason.
    """

    accepted: int = 0
    unchanged: int = 0
    failed: int = 0
    skipped: int = 0
    deleted: int = 0
    pending: int = 0
    left_out: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, told: IngestReport) -> None:
        """Count a bulk ingest; ``name`` is that of its input."""
        self.accepted += told.accepted
        self.unchanged += told.unchanged
        self.failed += told.failed
        self.skipped += told.skipped
        self.pending += told.pending
        for failure in told.failures:
            where = failure.id or (f"{name}#{failure.position + 1}" if failure.position is not None else name)
            # The reason begins with the document's place in the ingest, which the name and the field tell already.
            reason = failure.reason.removeprefix(f"documents[{failure.position}].{failure.field}: ")
            self.fail(where, f"{failure.field}: {reason}" if failure.field else reason)

    def fail(self, name: str, reason: str) -> None:
        """Keep a failure, if it is among the first; it does not count it."""
        if len(self.failures) < MAX_FAILURES:
            # A name of a file that is no UTF-8 has halves of surrogate pairs, which JSON cannot say.
            said = [text.encode(errors="backslashreplace").decode() for text in (name, reason)]
            self.failures.append((said[0], said[1]))

    @property
    def complete(self) -> bool:
        """Whether all documents are stored and none failed."""
        return not self.failed and not self.skipped

    def as_json(self) -> dict[str, Any]:
        """Return the counts and the failures for JSON."""
        fields = asdict(self)
        fields["failures"] = [{"name": name, "reason": reason} for name, reason in self.failures]
        return fields

    def line(self) -> str:
        """Return the counts in one line, without those that are zero."""
        counts = {
            "unchanged": self.unchanged,
            "deleted": self.deleted,
            "failed": self.failed,
            "skipped": self.skipped,
            "waiting for their vectors": self.pending,
        }
        told = [f"{counted(self.accepted, 'document')} accepted", *(f"{n:,} {name}" for name, n in counts.items() if n)]
        if self.left_out:
            told.append(f"{counted(self.left_out, 'file')} of no known format left out")
        return ", ".join(told)

    def failure_lines(self) -> list[str]:
        """Return a line for each failure."""
        return [f"{printable(name)}: {printable(reason)}" for name, reason in self.failures]
