"""The use cases as one caller may use them: the only way from a request to the data while access control is on.

Each wrapper sees the command before the use case and the result after it. The rules of a further use case belong into
a wrapper of its own, which ``GuardedUseCases`` returns under the name that the use case has in ``UseCases``.
"""

from tandem_gateway.access.documents import GuardedCollections, GuardedDocuments, GuardedSources
from tandem_gateway.access.embeddings import GuardedEmbedTexts
from tandem_gateway.access.ingest import GuardedFileExtraction, GuardedIngest
from tandem_gateway.access.jobs import GuardedJobEvents, GuardedJobs
from tandem_gateway.access.principal import Principal
from tandem_gateway.access.reembedding import GuardedReembed
from tandem_gateway.access.search import (
    GuardedBatchSearch,
    GuardedFacets,
    GuardedRerank,
    GuardedSearchPipeline,
    GuardedSimilarSearch,
)
from tandem_gateway.use_cases.use_cases import UseCases


class GuardedUseCases:
    """The use cases of one caller. A wrapper is made when it is asked for: a request uses one or two."""

    __slots__ = ("_principal", "_use_cases")

    def __init__(self, use_cases: UseCases, principal: Principal) -> None:
        self._use_cases = use_cases
        self._principal = principal

    @property
    def search_pipeline(self) -> GuardedSearchPipeline:
        """Searches."""
        return GuardedSearchPipeline(self._use_cases.search_pipeline, self._principal)

    @property
    def batch_search(self) -> GuardedBatchSearch:
        """Several searches at once."""
        return GuardedBatchSearch(self._use_cases.batch_search, self._principal)

    @property
    def similar_search(self) -> GuardedSimilarSearch:
        """Searches for similar documents."""
        return GuardedSimilarSearch(self._use_cases.similar_search, self._use_cases.documents, self._principal)

    @property
    def embed_texts(self) -> GuardedEmbedTexts:
        """Vectors of texts."""
        return GuardedEmbedTexts(self._use_cases.embed_texts, self._principal)

    @property
    def facets(self) -> GuardedFacets:
        """Counts of documents."""
        return GuardedFacets(self._use_cases.facets, self._principal)

    @property
    def rerank(self) -> GuardedRerank:
        """Requests to rerank."""
        return GuardedRerank(self._use_cases.rerank, self._principal)

    @property
    def ingest(self) -> GuardedIngest:
        """Ingests."""
        return GuardedIngest(self._use_cases.ingest, self._use_cases.collections, self._principal)

    @property
    def files(self) -> GuardedFileExtraction:
        """Files."""
        return GuardedFileExtraction(self._use_cases.files, self._principal)

    @property
    def jobs(self) -> GuardedJobs:
        """Jobs."""
        return GuardedJobs(self._use_cases.jobs, self._principal)

    @property
    def job_events(self) -> GuardedJobEvents:
        """The progress of jobs."""
        return GuardedJobEvents(self._use_cases.job_events, self.jobs)

    @property
    def documents(self) -> GuardedDocuments:
        """Documents."""
        return GuardedDocuments(self._use_cases.documents, self._use_cases.collections, self._principal)

    @property
    def collections(self) -> GuardedCollections:
        """Collections."""
        return GuardedCollections(self._use_cases.collections, self._principal)

    @property
    def sources(self) -> GuardedSources:
        """Sources."""
        return GuardedSources(self._use_cases.sources, self._principal)

    @property
    def reembed(self) -> GuardedReembed:
        """Re-embedding."""
        return GuardedReembed(self._use_cases.reembed, self._principal)

    def blocked_reason(self, collection: str) -> str | None:
        """Return why the documents of a job that the caller has read are not being embedded."""
        return self._use_cases.blocked_reason(collection)


CallersUseCases = UseCases | GuardedUseCases
"""What a handler gets: every use case while access control is off, else those of its caller."""
