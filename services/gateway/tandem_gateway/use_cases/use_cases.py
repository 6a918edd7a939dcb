"""All use cases of a running gateway."""

from dataclasses import dataclass

from tandem_gateway.use_cases.batch_search import BatchSearch
from tandem_gateway.use_cases.collections import Collections
from tandem_gateway.use_cases.dense_search import DenseSearch
from tandem_gateway.use_cases.documents import Documents
from tandem_gateway.use_cases.embed_texts import EmbedTexts
from tandem_gateway.use_cases.embedding_worker import EmbeddingWorker
from tandem_gateway.use_cases.facets import Facets
from tandem_gateway.use_cases.file_extraction import FileExtraction
from tandem_gateway.use_cases.ingest import Ingest
from tandem_gateway.use_cases.job_events import JobEvents
from tandem_gateway.use_cases.jobs import Jobs
from tandem_gateway.use_cases.reembedding import Reembed
from tandem_gateway.use_cases.reembedding_worker import ReembeddingWorker
from tandem_gateway.use_cases.reranking import Rerank
from tandem_gateway.use_cases.scrubbing import Scrubber
from tandem_gateway.use_cases.search_pipeline import SearchPipeline
from tandem_gateway.use_cases.similar_search import SimilarSearch
from tandem_gateway.use_cases.sources import Sources


@dataclass(frozen=True, slots=True)
class UseCases:
    """The use cases, which exist once the gateway is ready."""

    dense_search: DenseSearch
    search_pipeline: SearchPipeline
    batch_search: BatchSearch
    similar_search: SimilarSearch
    embed_texts: EmbedTexts
    ingest: Ingest
    jobs: Jobs
    job_events: JobEvents
    documents: Documents
    collections: Collections
    sources: Sources
    facets: Facets
    files: FileExtraction
    reembed: Reembed
    rerank: Rerank
    embedding: EmbeddingWorker
    reembedding: ReembeddingWorker
    scrubber: Scrubber

    def blocked_reason(self, collection: str) -> str | None:
        """Return why the documents of a collection are not being embedded; None if nothing blocks them."""
        return self.embedding.blocked_reason(collection)
