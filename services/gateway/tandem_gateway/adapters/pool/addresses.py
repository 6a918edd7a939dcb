"""From URLs to the addresses behind their names: pure, the resolver's answers are an argument."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Origin:
    """One of the URLs that a pool is made of."""

    url: str
    host: str
    port: int
    prefix: str
    """Path before the embedder's own; empty in most cases."""

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address, so that there is nothing to resolve."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Address:
    """One embedder: an IP address, and the URL whose name led to it."""

    label: str
    """``ip:port`` and the prefix: what logs and metrics call it, and what tells it from others."""
    url: str
    ip: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What an answer of the resolver changes."""

    added: list[Address]
    gone: list[str]
    """Labels."""


def origin(url: str) -> Origin:
    """Return a URL's parts.

    Raises:
        ValueError: if it names no host, or a port that is none.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"{url} names no host")
    return Origin(url, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80), parts.path.rstrip("/"))


def of_one_family(found: Iterable[str]) -> list[str]:
    """Return the IPv4 addresses or, if there are none, the IPv6 ones, each once, in order.

    A name often has an address of each kind for the same embedder, which would count, and be sent to, twice.
    """
    unique = sorted(set(found))
    return [ip for ip in unique if ":" not in ip] or unique


def addresses(resolved: Mapping[Origin, Sequence[str]]) -> dict[str, Address]:
    """Return the embedders behind the origins, by label; one that several names lead to is there once."""
    found: dict[str, Address] = {}
    for source, ips in resolved.items():
        for ip in ips:
            label = f"{f'[{ip}]' if ':' in ip else ip}:{source.port}{source.prefix}"
            found.setdefault(label, Address(label, source.url, ip))
    return found


def difference(current: Iterable[str], wanted: Mapping[str, Address]) -> Difference:
    """Return what has to be added to, and to leave, a pool that holds the labels of ``current``."""
    held = list(current)
    known = set(held)
    return Difference(
        [address for label, address in wanted.items() if label not in known],
        [label for label in held if label not in wanted],
    )
