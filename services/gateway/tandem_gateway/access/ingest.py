"""The ingests of a caller: they need the role ``ingest`` and the collection."""

from collections.abc import Callable, Sequence

from tandem_gateway.access.principal import Principal, check_role, check_use
from tandem_gateway.access.trail import note
from tandem_gateway.records.documents import JobRecord, NewDocuments
from tandem_gateway.records.files import Extraction, ExtractionTask, UploadedFile
from tandem_gateway.use_cases.file_extraction import FileExtraction
from tandem_gateway.use_cases.ingest import Ingest


class GuardedIngest:
    """``Ingest`` for one caller."""

    __slots__ = ("_ingest", "_principal")

    def __init__(self, ingest: Ingest, principal: Principal) -> None:
        self._ingest = ingest
        self._principal = principal

    async def accept(
        self, collection: str, documents: NewDocuments, key: str | None = None
    ) -> tuple[JobRecord, list[str]]:
        """Store documents; see ``Ingest.accept``.

        Raises:
            Forbidden: the caller may not write to this collection.
        """
        check_use(self._principal, "ingest", collection)
        accepted = await self._ingest.accept(collection, documents, key)
        note(job_id=accepted[0].job_id, documents=len(accepted[1]))
        return accepted


class GuardedFileExtraction:
    """``FileExtraction`` for one caller. ``GuardedIngest`` checks the collection, which this step does not know."""

    __slots__ = ("_files", "_principal")

    def __init__(self, files: FileExtraction, principal: Principal) -> None:
        self._files = files
        self._principal = principal

    async def extract(
        self, files: Sequence[UploadedFile], task: ExtractionTask, hold: Callable[[int], None]
    ) -> list[Extraction]:
        """Read files; see ``FileExtraction.extract``.

        Raises:
            Forbidden: the caller has not the role ``ingest``.
        """
        check_role(self._principal, "ingest")
        return await self._files.extract(files, task, hold)
