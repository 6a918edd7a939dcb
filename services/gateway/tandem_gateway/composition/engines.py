"""Opens the vector engines that the settings name. Their packages are imported only if they are used."""

from importlib.util import find_spec

from tandem_gateway.ports.vector_engine import VectorEngine
from tandem_gateway.records.engines import OWN_ENGINE
from tandem_gateway.settings import Settings
from tandem_runtime.settings import SettingsError

_OF_STORE = "store"


def engine_names(settings: Settings) -> tuple[str, ...]:
    """Return the names of the engines that a collection may have.

    Raises:
        SettingsError: an engine is set up without its package, or without a store in PostgreSQL.
    """
    names = [OWN_ENGINE]
    if settings.pgvector_url:
        _check(settings, "TANDEM_PGVECTOR_URL", "psycopg", "postgres")
        names.append("pgvector")
    if settings.milvus_url:
        _check(settings, "TANDEM_MILVUS_URL", "pymilvus", "milvus")
        names.append("milvus")
    return tuple(names)


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


def _check(settings: Settings, variable: str, package: str, extra: str) -> None:
    if not settings.store_url:
        raise SettingsError(f"{variable}: a vector engine needs a store in PostgreSQL: set TANDEM_STORE_URL, too")
    if find_spec(package) is None:
        raise SettingsError(
            f"{variable}: the package {package} is not installed; install tandem-search[gateway,{extra}]"
        )
