"""The store, the index snapshots, and how much the store keeps."""

from dataclasses import dataclass
from pathlib import Path

from tandem_gateway.settings.parsers import postgres_url, snapshot_url
from tandem_runtime.settings import boolean, readable_file, seconds, setting, whole_number


@dataclass(frozen=True, kw_only=True)
class StorageOptions:
    """The store, the index snapshots, and how much the store keeps."""

    data_dir: Path = setting(
        "DATA_DIR", Path("data"), Path, "Directory of the store and the indexes. One gateway at a time owns it"
    )
    store_url: str = setting(
        "STORE_URL",
        "",
        postgres_url,
        "URL of a PostgreSQL database that keeps the documents, the jobs and the API keys, such as "
        "postgresql://tandem@db/tandem; PGPASSWORD or a password file may have the password. Empty: the data directory "
        "keeps them. Needs the extra postgres",
        secret=True,
        flag=False,
    )
    store_url_file: str = setting(
        "STORE_URL_FILE",
        "",
        readable_file,
        "File with such a URL, instead of TANDEM_STORE_URL. It is read at the start",
    )
    store_prepared: bool = setting(
        "STORE_PREPARED",
        True,
        boolean,
        "Whether statements in PostgreSQL are prepared. False for a PgBouncer before 1.21 in transaction mode",
    )
    max_collections: int = setting(
        "MAX_COLLECTIONS",
        100,
        whole_number(1, 100_000),
        "Maximum number of collections; each has an index in memory. Raise it if you need more; lower it to save "
        "memory",
    )
    max_pending_documents: int = setting(
        "MAX_PENDING_DOCUMENTS",
        1_000_000,
        whole_number(1, 1_000_000_000),
        "Maximum number of stored documents that wait for embedding; beyond it an ingest gets 429. Raise it for "
        "larger backlogs; lower it to slow clients down sooner",
    )
    max_queued_writes: int = setting(
        "MAX_QUEUED_WRITES",
        256,
        whole_number(1, 100_000),
        "Maximum number of writes that wait for the disk; beyond it a request gets 429. Each holds its documents "
        "in memory. Raise it for bursts of writes; lower it to save memory",
    )
    exact_below: int = setting(
        "EXACT_BELOW",
        5_000,
        whole_number(1, 1_000_000),
        "A collection with fewer vectors has no graph: the gateway compares each query with all vectors, at about"
        " 0.1 ms per 1,000. Raise it for exact results in larger collections; lower it for faster searches",
    )
    snapshot_changes: int = setting(
        "SNAPSHOT_CHANGES",
        5_000,
        whole_number(1, 1_000_000_000),
        "Number of new vectors in a collection after which the gateway adds them to the graph and saves it. Until"
        " then it compares each query with all of them. Raise it to save less often; lower it for faster searches"
        " during an ingest",
    )
    snapshot_seconds: float = setting(
        "SNAPSHOT_SECONDS",
        300.0,
        seconds(0.1, 86_400),
        "Seconds after which a changed index is saved. Raise it to save less often; lower it for a faster start "
        "after a crash",
    )
    snapshot_url: str = setting(
        "SNAPSHOT_URL",
        "",
        snapshot_url,
        "Place of index snapshots that gateways with one store in PostgreSQL share: one of them builds, and the others "
        "load. A folder that all of them mount, such as file:///mnt/snapshots, or an S3-compatible object storage, "
        "such as s3://bucket/prefix, which needs the extra s3. Empty: each gateway builds its own",
    )
    snapshot_publish_seconds: float = setting(
        "SNAPSHOT_PUBLISH_SECONDS",
        1800.0,
        seconds(1, 86_400),
        "Seconds after which a changed index is published for other gateways. Many new vectors publish it sooner. "
        "Raise it to move fewer bytes; lower it for a faster start of new gateways",
    )
    snapshot_overlay: int = setting(
        "SNAPSHOT_OVERLAY",
        20_000,
        whole_number(2, 1_000_000),
        "Maximum number of new vectors in a collection that a gateway compares with each query while it waits for a "
        "shared snapshot; beyond it the gateway builds its own. Half of them make the builder publish. Raise it to "
        "move fewer bytes; lower it for faster searches during an ingest",
    )
    scrub_seconds: float = setting(
        "SCRUB_SECONDS",
        86_400.0,
        seconds(0, 1e9),
        "Seconds from the start of one scrub to the start of the next. A scrub reads 200 rows a second and compares "
        "them with their checksums. Lower it to find decay on the disk sooner; 0 turns the scrub off",
    )
    job_retention: float = setting(
        "JOB_RETENTION_SECONDS",
        2_592_000.0,
        seconds(60, 1e9),
        "Seconds after which a finished job is deleted. Raise it if clients look at old jobs; lower it to save disk",
    )
    failed_document_bytes: int = setting(
        "FAILED_DOCUMENT_BYTES",
        64 << 20,
        whole_number(0, 1 << 50),
        "Maximum size of the failed documents that the store keeps, so that their jobs can be retried. Beyond it the "
        "oldest are dropped. Raise it to retry large ingests; lower it to save disk; 0 keeps none",
    )
    failed_document_seconds: float = setting(
        "FAILED_DOCUMENT_SECONDS",
        604_800.0,
        seconds(60, 1e9),
        "Seconds after which a failed document is dropped and can no longer be retried. Raise it to retry later; lower "
        "it to save disk",
    )
    max_finished_jobs: int = setting(
        "MAX_FINISHED_JOBS",
        100_000,
        whole_number(1, 1_000_000_000),
        "Maximum number of finished jobs that are kept; the oldest are deleted and then get 404. Each takes about"
        " 200 bytes, and each start checks all of them. Raise it if clients look at old jobs after many others; "
        "lower it for a faster start",
    )
