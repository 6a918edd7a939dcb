"""Settings of the vector engines."""

from dataclasses import dataclass

from tandem_gateway.settings.parsers import milvus_url, pgvector_url
from tandem_runtime.settings import setting


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Engines for collections that do not fit into the gateway's memory. All need a store in PostgreSQL."""

    pgvector_url: str = setting(
        "PGVECTOR_URL",
        "",
        pgvector_url,
        "URL of a PostgreSQL database with the extension pgvector (0.8 or later), for collections with the engine "
        "pgvector; the word store takes the database of TANDEM_STORE_URL. Empty: there are no such collections",
        secret=True,
        flag=False,
    )
    milvus_url: str = setting(
        "MILVUS_URL",
        "",
        milvus_url,
        "URL of a Milvus server, such as http://milvus:19530, for collections with the engine milvus. Needs the extra "
        "milvus. Empty: there are no such collections",
    )
    milvus_token: str = setting(
        "MILVUS_TOKEN",
        "",
        str,
        "Token for Milvus: user:password or an API key. It has no flag: other users of the machine can see command "
        "lines",
        secret=True,
        flag=False,
    )
    milvus_database: str = setting("MILVUS_DATABASE", "", str, "Database in Milvus. Empty: its default database")
