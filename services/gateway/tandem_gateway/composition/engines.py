"""Opens the vector engines that the settings name. Their packages are imported only if they are used."""

from tandem_gateway.ports.vector_engine import VectorEngine
from tandem_gateway.records.engines import OWN_ENGINE
from tandem_gateway.settings import Settings

_OF_STORE = "store"


def engine_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of the engines that a collection may have."""
    given = {"pgvector": settings.pgvector_url, "milvus": settings.milvus_url}
    return (OWN_ENGINE, *(name for name, url in given.items() if url))


def open_engines(settings: Settings) -> dict[str, VectorEngine]:
    """Return the engines by name, for one thread; each connects with its first call."""
    engines: dict[str, VectorEngine] = {}
    if settings.pgvector_url:
        from tandem_gateway.adapters.postgres.pgvector_engine import PgvectorEngine  # noqa: PLC0415 - optional

        url = settings.store_url if settings.pgvector_url == _OF_STORE else settings.pgvector_url
        engines["pgvector"] = PgvectorEngine(url, prepared=settings.store_prepared)
    if settings.milvus_url:
        from tandem_gateway.adapters.milvus_engine import MilvusEngine  # noqa: PLC0415 - takes a second and 80 MiB

        engines["milvus"] = MilvusEngine(
            settings.milvus_url, token=settings.milvus_token, database=settings.milvus_database
        )
    return engines
