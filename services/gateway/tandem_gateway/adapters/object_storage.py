"""Shared files in an S3-compatible object storage. The only module that imports obstore.

The library reads the credentials, the region and the endpoint from the usual variables: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, and those of the roles of containers. Only an endpoint that begins
with http:// is reached without TLS.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from tandem_gateway.errors import StorageUnavailable

_PIECE_BYTES: Final = 4 << 20
_PART_BYTES: Final = 16 << 20
"""Size of the parts of an upload; S3 takes at most 10,000, so that a file may have 156 GiB."""
_PARTS_AT_ONCE: Final = 2
"""Parts in memory during an upload."""
_MAX_ERROR: Final = 300
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
"""Variables of the library that name the address of the storage."""


class ObjectStorage:
    """Implements ``SharedFiles``."""

    def __init__(self, url: str) -> None:
        """Use a bucket, and the objects in it whose names begin with a prefix.

        Args:
            url: ``s3://bucket/prefix``.

        Raises:
            StorageUnavailable: the settings of the library are wrong.
        """
        for variable in _ENDPOINTS:
            # The library takes any text, and panics at the first request.
            endpoint = os.environ.get(variable)
            if endpoint is not None and not endpoint.startswith(("http://", "https://")):
                raise StorageUnavailable(f"{variable} has to be a URL that begins with http:// or https://")
        self._url = url
        self._stopped = threading.Event()
        with self._translated():
            self._store = S3Store.from_url(
                url,
                config={"disable_bulk_delete": True},  # not every storage has the request that removes several
                client_options={"connect_timeout": "5s", "timeout": "120s", "allow_http": True},
                retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=60)},
            )

    def write(self, name: str, source: Path) -> None:
        """Store a file; it gets its name once it is complete."""
        with self._translated(), source.open("rb") as content:

            def pieces() -> Iterator[bytes]:
                while piece := content.read(_PIECE_BYTES):
                    self._check()
                    yield piece

            obstore.put(self._store, name, pieces(), chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)

    def read(self, name: str) -> Iterator[bytes]:
        """Return the content of a file in pieces."""
        with self._translated():
            for piece in obstore.get(self._store, name).stream(min_chunk_size=_PIECE_BYTES):
                self._check()
                yield bytes(piece)

    def names(self, folder: str) -> list[str]:
        """Return the names of all files in a folder. Parts of unfinished uploads are not among them."""
        with self._translated():
            return sorted(each["path"] for page in obstore.list(self._store, prefix=folder) for each in page)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files."""
        with self._translated():
            for name in names:
                self._check()
                try:
                    obstore.delete(self._store, name)
                except FileNotFoundError:
                    continue

    def stop(self) -> None:
        """Make all reads and writes fail."""
        self._stopped.set()

    def _check(self) -> None:
        if self._stopped.is_set():
            raise StorageUnavailable("the gateway is shutting down")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            # A panic of the library is no Exception: it would end the task that shares snapshots.
            if not isinstance(error, (BaseError, OSError)) and type(error).__name__ != "PanicException":
                raise
            self._check()  # the library wraps what the pieces of an upload raise
            told = " ".join(str(error).split())[:_MAX_ERROR]
            raise StorageUnavailable(
                "the shared snapshots cannot be read or written", detail=f"{self._url}: {told}"
            ) from error
