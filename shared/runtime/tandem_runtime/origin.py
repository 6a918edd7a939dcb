"""Refuses requests that a web page makes without its visitor's knowledge.

A browser sends a page's requests to any server that it reaches, including servers on the visitor's own machine. Two
attacks matter for a service without a login:

- *Cross-site requests.* A page may send a POST that needs no permission from the server. Browsers mark it with
  ``Sec-Fetch-Site: cross-site`` (https://www.w3.org/TR/fetch-metadata/). The service refuses marked requests that
  change something. The required content type of JSON stops the rest: a page cannot send it without a preflight request.
- *DNS rebinding.* The attacker makes the page's host name resolve to this machine. The browser then takes the service
  for the page's own server and lets the page read the answers. Such a request names a foreign host. A service that
  listens on the loopback therefore answers only to the loopback's names and to those that a setting allows.

Both rules hold with CORS too (``cors.py``): it lets pages of the allowed origins make cross-site requests, but only to
the service's own names.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tandem_runtime.cors import CrossOrigin
from tandem_runtime.http import Reply, refusal
from tandem_runtime.request_id import Scope

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

_LOOPBACK_ADDRESSES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_SHOWN: Final = 100


def allowed_hosts(listens_on: str, setting: Iterable[str]) -> frozenset[str] | None:
    """Return the allowed names in a request's Host, without a port and in lower case; None allows any name.

    Args:
        listens_on: address that the service listens on.
        setting: further names; if there are any, the service answers only to these and the loopback's names.
    """
    names = frozenset(name.lower() for name in setting)
    if names or listens_on in _LOOPBACK_ADDRESSES:
        return names | LOOPBACK_NAMES
    return None


@dataclass(frozen=True, slots=True)
class OriginRules:
    """Rules that decide which requests the service refuses.

    Attributes:
        hosts: see ``allowed_hosts``.
        setting: name of the variable that allows further hosts, for the message.
        cors: origins whose pages may make cross-site requests; None allows none.
    """

    hosts: frozenset[str] | None
    setting: str
    cors: CrossOrigin | None = None

    def refuse(self, scope: Scope) -> Reply | None:
        """Return the reply to a request that is refused; None if it is not."""
        host: bytes | None = None
        origin: bytes | None = None
        cross_site = False
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"sec-fetch-site":
                cross_site = value == b"cross-site"
            elif name == b"origin":
                origin = value
        allowed = self.cors is not None and self.cors.allows(origin)
        if cross_site and not allowed and scope["method"] not in _SAFE_METHODS:
            return refusal(
                "forbidden", "sec-fetch-site: a request from another site's page is not allowed", "sec-fetch-site"
            )
        # HTTP/1.0 needs no Host, and no browser speaks it.
        if self.hosts is not None and host is not None and _name_of(host) not in self.hosts:
            shown = ascii(host[:_MAX_SHOWN].decode("latin-1"))
            return refusal("forbidden", f"host: {shown} is not one of this service's names ({self.setting})", "host")
        return None


def _name_of(host: bytes) -> str:
    """Return a Host header's name in lower case, without its port and a final dot."""
    text = host.decode("latin-1").strip().lower()
    if text.startswith("["):
        return text[: text.find("]") + 1]
    return text.partition(":")[0].removesuffix(".")
