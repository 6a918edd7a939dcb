"""What both clients have: their arguments, options, and the newest position of the store."""

import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Generic, Self, TypeVar

import httpx2

from tandem_client.api import Api
from tandem_client.exchange import Received, newer_position
from tandem_client.retry import RetryPolicy
from tandem_client.settings import Certificate, Settings, Verify, key_of, url_of
from tandem_contract import headers as names

Http = TypeVar("Http", bound=httpx2.Client | httpx2.AsyncClient)


class BaseClient(Api, Generic[Http]):
    """Base of ``Client`` and ``AsyncClient``, which have the same arguments and methods."""

    def __init__(  # noqa: PLR0913 - all of them are optional
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        attempt_timeout: float | None = None,
        retries: int = 3,
        headers: Mapping[str, str] | None = None,
        verify: Verify = True,
        cert: Certificate | None = None,
        trust_env: bool | None = None,
        max_connections: int = 20,
        max_reply_bytes: int = 64 << 20,
    ) -> None:
        """Make a client; it connects with its first call.

        Args:
            url: of the gateway; None for ``TANDEM_URL``, or http://localhost:8000 without it.
            api_key: None for ``TANDEM_API_KEY`` or the content of the file ``TANDEM_API_KEY_FILE``; empty for no key.
            timeout: seconds that a call may take, with all its attempts and waits.
            attempt_timeout: seconds that one attempt may take; None for what is left of ``timeout``.
            retries: maximum number of further attempts of a call; 0 for none.
            headers: sent with every request.
            verify: False to trust any certificate; a file with certificates of authorities; or an SSLContext.
            cert: file with the client's certificate and key, or a pair of files.
            trust_env: whether a proxy of the environment is used; None for all URLs but those of the loopback.
            max_connections: maximum number of connections at the same time.
            max_reply_bytes: a larger reply, decompressed, raises InvalidReply.

        Raises:
            ValueError: an argument or a variable of the environment is not valid.
        """
        self._settings = Settings(
            url=url_of(url, os.environ),
            api_key=key_of(api_key, os.environ),
            timeout=timeout,
            attempt_timeout=attempt_timeout,
            retry=RetryPolicy(retries=retries),
            headers=dict(headers or {}),
            max_connections=max_connections,
            max_reply_bytes=max_reply_bytes,
            verify=verify,
            cert=cert,
            trust_env=trust_env,
        )
        try:
            self._shared: Shared[Http] = Shared(self._connect(self._settings))
        except httpx2.InvalidURL as error:
            raise ValueError(f"url: {self._settings.url} is not valid: {error}") from error

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings.url!r})"

    @property
    def settings(self) -> Settings:
        """All settings of the client."""
        return self._settings

    @property
    def position(self) -> str | None:
        """Newest position of the store that a reply told; searches with ``consistency="session"`` send it."""
        return self._shared.position

    def with_options(
        self,
        *,
        timeout: float | None = None,
        attempt_timeout: float | None = None,
        retries: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a client with other options that shares the connections; closing either closes both.

        Args:
            timeout: as in the constructor, like the others; None leaves it as it is.
            attempt_timeout: seconds that one attempt may take.
            retries: maximum number of further attempts.
            headers: sent with every request, besides those of this client.
        """
        settings = self._settings
        if timeout is not None:
            settings = replace(settings, timeout=timeout)
        if attempt_timeout is not None:
            settings = replace(settings, attempt_timeout=attempt_timeout)
        if retries is not None:
            settings = replace(settings, retry=replace(settings.retry, retries=retries))
        if headers is not None:
            settings = replace(settings, headers={**settings.headers, **headers})
        return self._with_settings(settings)

    def _with_settings(self, settings: Settings) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, _settings=settings)
        return other

    def _connect(self, settings: Settings) -> Http:
        """Return the httpx2 client, which does not connect yet."""
        raise NotImplementedError


class Shared(Generic[Http]):
    """What clients with different options share: connections, and the newest position of the store."""

    def __init__(self, http: Http) -> None:
        self.http = http
        self.position: str | None = None
        self._lock = threading.Lock()

    def learn(self, received: Received) -> None:
        """Remember the position that a reply tells."""
        with self._lock:
            self.position = newer_position(self.position, received.headers.get(names.POSITION))
