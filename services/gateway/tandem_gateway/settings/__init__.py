"""The settings of the gateway, and what each does to memory, latency and back-pressure; one module per group."""

from dataclasses import dataclass

from tandem_gateway.settings.access import AccessOptions
from tandem_gateway.settings.canary import CanaryOptions
from tandem_gateway.settings.embedders import EmbedderOptions
from tandem_gateway.settings.embedding import EmbeddingOptions
from tandem_gateway.settings.engines import EngineOptions
from tandem_gateway.settings.files import FileOptions
from tandem_gateway.settings.requests import RequestOptions
from tandem_gateway.settings.reranking import RerankOptions
from tandem_gateway.settings.server import ServerOptions
from tandem_gateway.settings.storage import StorageOptions
from tandem_gateway.settings.tokens import TokenOptions
from tandem_runtime.server_tls import check_server_tls


@dataclass(frozen=True, kw_only=True)
class Settings(
    EngineOptions,
    StorageOptions,
    EmbeddingOptions,
    FileOptions,
    RerankOptions,
    RequestOptions,
    CanaryOptions,
    EmbedderOptions,
    TokenOptions,
    AccessOptions,
    ServerOptions,
):
    """All settings. ``tandem_runtime.settings.read`` reads them once, at startup.

    The last base's fields come first, in ``--help`` and in the documentation.
    """

    @property
    def embedder_urls(self) -> list[str]:
        """URLs of the embedders of both pools."""
        return [url for url in f"{self.embedder_url},{self.canary_url}".split(",") if url]

    def __post_init__(self) -> None:
        """Check the rules across settings.

        Raises:
            ValueError: names the variables and the rule.
        """
        if self.max_documents > self.max_pending_documents:
            raise ValueError("TANDEM_MAX_DOCUMENTS_PER_REQUEST must not exceed TANDEM_MAX_PENDING_DOCUMENTS")
        self._check_store()
        if (self.canary_weight or self.shadow_percent) and not self.canary_url:
            raise ValueError("TANDEM_CANARY_WEIGHT and TANDEM_CANARY_SHADOW need TANDEM_CANARY_URL")
        if self.api_key and self.api_key_file:
            raise ValueError("TANDEM_API_KEY and TANDEM_API_KEY_FILE exclude each other: set one of them")
        self.check_tokens()
        if bool(self.embedder_client_cert_file) != bool(self.embedder_client_key_file):
            raise ValueError(
                "TANDEM_EMBEDDER_CLIENT_CERT_FILE and TANDEM_EMBEDDER_CLIENT_KEY_FILE need each other: set both or none"
            )
        check_server_tls(self.tls_cert_file, self.tls_key_file, self.tls_client_ca_file, prefix="TANDEM_TLS")
        if self.embedder_token and self.embedder_token_file:
            raise ValueError("TANDEM_EMBEDDER_TOKEN and TANDEM_EMBEDDER_TOKEN_FILE exclude each other: set one")
        for variable, file in (
            ("TANDEM_EMBEDDER_CA_FILE", self.embedder_ca_file),
            ("TANDEM_EMBEDDER_CLIENT_CERT_FILE", self.embedder_client_cert_file),
        ):
            if file and not any(url.startswith("https://") for url in self.embedder_urls):
                raise ValueError(
                    f"{variable} needs a URL that begins with https:// in TANDEM_EMBEDDER_URL or TANDEM_CANARY_URL"
                )
        if self.max_bytes_in_flight < 2 * max(self.max_body_bytes, self.max_answer_bytes):
            raise ValueError(
                "TANDEM_MAX_BYTES_IN_FLIGHT must be at least twice TANDEM_MAX_BODY_BYTES and TANDEM_MAX_ANSWER_BYTES"
            )
        if self.query_batch > self.max_queued_queries:
            raise ValueError("TANDEM_QUERY_BATCH_SIZE must not exceed TANDEM_MAX_QUEUED_QUERIES")

    def _check_store(self) -> None:
        """Check the rules of a store in PostgreSQL; see ``__post_init__``."""
        if self.store_url and self.store_url_file:
            raise ValueError("TANDEM_STORE_URL and TANDEM_STORE_URL_FILE exclude each other: set one of them")
        if self.snapshot_url and not (self.store_url or self.store_url_file):
            raise ValueError("TANDEM_SNAPSHOT_URL needs TANDEM_STORE_URL: a data directory has one gateway")
        for variable, url in (("TANDEM_PGVECTOR_URL", self.pgvector_url), ("TANDEM_MILVUS_URL", self.milvus_url)):
            if url and not (self.store_url or self.store_url_file):
                raise ValueError(f"{variable} needs TANDEM_STORE_URL: a vector engine needs a store in PostgreSQL")
        if self.snapshot_url and self.snapshot_overlay < 2 * self.snapshot_changes:
            raise ValueError("TANDEM_SNAPSHOT_OVERLAY must be at least twice TANDEM_SNAPSHOT_CHANGES")
