"""Clients that search continuously while something happens to the services, and the errors that they got."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import httpx2 as httpx

from tests.support.stack import wait_until


class SearchLoad:
    """Search from several threads until the end of the block, with a new text each time.

    with SearchLoad(url) as load:
        ...
        load.go_on(20)  # waits until 20 more were answered
    assert load.failures == []
    """

    def __init__(
        self, url: str, *, clients: int = 4, collection: str = "default", headers: dict[str, str] | None = None
    ) -> None:
        self._url = url
        self._headers = headers
        self._clients = clients
        self._collection = collection
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.answered = 0
        self.failures: list[str] = []
        """Errors of the searches that got no hits."""
        self.milliseconds: list[float] = []
        """Duration of each answered search, as the gateway reports it."""

    def go_on(self, searches: int, timeout: float = 60.0) -> None:
        """Wait until this number of further searches is answered."""
        goal = self.answered + searches
        wait_until(lambda: self.answered >= goal or self.failures, f"{searches} more searches", timeout)

    def stop(self) -> None:
        """Stop new searches, and wait for the running ones."""
        self._stop.set()
        self._pool.shutdown()

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(self._clients)
        self._running = [self._pool.submit(self._work) for _ in range(self._clients)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None:
            for running in self._running:
                running.result()

    def _work(self) -> None:
        with httpx.Client(base_url=self._url, headers=self._headers, trust_env=False, timeout=30.0) as http:
            while not self._stop.is_set():
                body: dict[str, Any] = {"query": f"query {next(self._numbers)}", "collection": self._collection}
                try:
                    answer = http.post("/v1/search", json=body)
                    failure = None if answer.status_code == 200 and answer.json()["results"] else answer.text
                except httpx.TransportError as error:
                    failure = repr(error)
                with self._lock:
                    if failure is None:
                        self.answered += 1
                        self.milliseconds.append(answer.json()["took_ms"])
                    else:
                        self.failures.append(failure)
