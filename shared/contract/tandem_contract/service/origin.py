"""Refuses requests that a web page makes behind its visitor's back.

A browser sends a page's requests to any server that it reaches, one on the visitor's own machine among them. Two ways
matter for a service without a login:

- *Cross-site requests.* A page may send a POST that needs no permission from the server. Browsers mark it with
  ``Sec-Fetch-Site: cross-site`` (https://www.w3.org/TR/fetch-metadata/). Requests that change something are refused
  with that mark. A required content type of JSON refuses the rest: a page cannot send it without asking first.
- *DNS rebinding.* A page's own host name is made to resolve to this machine, so that the browser takes the service for
  the page's own server, and lets the page read the answers. Such a request names a foreign host. A service that listens
  on the loopback answers only to the loopback's names and to those that a setting allows.
"""

from collections.abc import Iterable
from typing import Final

from tandem_contract.service.http import Reply, refusal
from tandem_contract.service.request_id import AsgiApp, Receive, Scope, Send

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

_LOOPBACK_ADDRESSES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_MOST_SHOWN: Final = 100


def allowed_hosts(listens_on: str, setting: Iterable[str]) -> frozenset[str] | None:
    """Return the names that a request's Host may have, without a port and in lower case; None if any will do.

    Args:
        listens_on: address that the service listens on.
        setting: further names; where there is one, the service answers to no other than these and the loopback's.
    """
    names = frozenset(name.lower() for name in setting)
    if names or listens_on in _LOOPBACK_ADDRESSES:
        return names | LOOPBACK_NAMES
    return None


def guarded(app: AsgiApp, hosts: frozenset[str] | None, setting: str) -> AsgiApp:
    """Return ``app`` behind both checks.

    Args:
        app: what to guard.
        hosts: see ``allowed_hosts``.
        setting: name of the variable that allows further hosts, for the message.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refused = _refuse(scope, hosts, setting)
            if refused is not None:
                await refused.send(scope, send)
                return
        await app(scope, receive, send)

    return wrapped


def _refuse(scope: Scope, hosts: frozenset[str] | None, setting: str) -> Reply | None:
    host: bytes | None = None
    cross_site = False
    for name, value in scope["headers"]:
        if name == b"host":
            host = value
        elif name == b"sec-fetch-site":
            cross_site = value == b"cross-site"
    if cross_site and scope["method"] not in _SAFE_METHODS:
        return refusal(
            "forbidden", "sec-fetch-site: a request from another site's page is not allowed", "sec-fetch-site"
        )
    # HTTP/1.0 needs no Host, and no browser speaks it.
    if hosts is not None and host is not None and _name_of(host) not in hosts:
        shown = ascii(host[:_MOST_SHOWN].decode("latin-1"))
        return refusal("forbidden", f"host: {shown} is not one of this service's names ({setting})", "host")
    return None


def _name_of(host: bytes) -> str:
    """Return a Host header's name without its port, in lower case and without the dot that may end it."""
    text = host.decode("latin-1").strip().lower()
    if text.startswith("["):
        return text[: text.find("]") + 1]
    return text.partition(":")[0].removesuffix(".")
