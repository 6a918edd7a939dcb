"""The limits of files that clients upload."""

from dataclasses import dataclass

from tandem_runtime.settings import seconds, setting, whole_number


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """The limits of files that clients upload."""

    max_files: int = setting(
        "MAX_FILES_PER_REQUEST",
        100,
        whole_number(1, 10_000),
        "Maximum number of files in one request; more get 422. Raise it for fewer, larger requests; lower it to "
        "shorten them",
    )
    max_file_bytes: int = setting(
        "MAX_FILE_BYTES",
        16 << 20,
        whole_number(1, 1 << 30),
        "Maximum size of a file; a larger one gets 413. TANDEM_MAX_BODY_BYTES limits all files of a request together, "
        "so raise both. Lower it to save the memory of the processes that read files",
    )
    max_file_chars: int = setting(
        "MAX_FILE_CHARS",
        10_000_000,
        whole_number(1, 100_000_000),
        "Maximum number of characters that a file gives as texts and metadata; a file with more fails. "
        "TANDEM_MAX_TEXT_CHARS limits each of its documents. Raise it for large tables and books; lower it to save "
        "memory",
    )
    file_seconds: float = setting(
        "FILE_SECONDS",
        20.0,
        seconds(0.1, 600),
        "Maximum time and CPU time to read a file; then its process is killed and the file fails. Raise it for large "
        "PDFs; lower it to bound the work of a hostile file",
    )
    file_mib: int = setting(
        "FILE_MIB",
        512,
        whole_number(64, 1 << 20),
        "Maximum address space of a process that reads a file, in MiB; a file that needs more fails. Raise it for "
        "large files; lower it to save memory. The container needs it for each of TANDEM_FILE_PROCESSES",
    )
    file_processes: int = setting(
        "FILE_PROCESSES",
        2,
        whole_number(1, 256),
        "Number of processes that read files at a time. Raise it on a machine with free cores; lower it to keep "
        "cores for searches",
    )
    files_timeout: float = setting(
        "FILES_TIMEOUT_SECONDS",
        120.0,
        seconds(0.1, 3600),
        "Deadline to read all files of a request; a late request gets 504 and stores nothing. Raise it for many large "
        "files; lower it to fail sooner",
    )
