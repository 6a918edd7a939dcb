"""An S3-compatible server in a thread of the tests. Its buckets are folders."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Final

from localbucket import S3Handler

from tests.support.http_servers import running

BUCKET: Final = "snapshots"


class _Quiet(S3Handler):
    def log_message(self, *arguments: object) -> None: ...


@contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """Run a server with an empty bucket, and return the environment of its clients."""
    (folder / BUCKET).mkdir(parents=True)
    handler = type("Handler", (_Quiet,), {"data_root": folder})
    with running(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as url:
        yield {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": url,
        }
