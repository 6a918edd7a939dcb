"""Maps URLs to the addresses behind their names: pure functions that take the resolver's answers as an argument."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Origin:
    """One of the URLs that a pool is configured with."""

    url: str
    host: str
    port: int
    prefix: str
    """Path that precedes the embedder's own paths; usually empty."""

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address and needs no resolver."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Address:
    """One embedder: an IP address, and the URL whose name resolved to it."""

    label: str
    """``ip:port`` and the prefix; identifies the embedder in the pool, in logs and in metrics."""
    url: str
    ip: str


@dataclass(frozen=True, slots=True)
class Difference:
    """The changes that the resolver's answers make to a pool."""

    added: list[Address]
    gone: list[str]
    """Labels of the addresses to remove."""


def origin(url: str) -> Origin:
    """Return the parts of a URL.

    Raises:
        ValueError: the URL has no host, or its port is not valid.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"{url} names no host")
    return Origin(url, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80), parts.path.rstrip("/"))


def of_one_family(found: Iterable[str]) -> list[str]:
    """Return the IPv4 addresses or, if there are none, the IPv6 addresses; sorted, without duplicates.

    A name often has both an IPv4 and an IPv6 address for one embedder. With both, the pool would count it twice and
    send it twice the calls.
    """
    unique = sorted(set(found))
    return [ip for ip in unique if ":" not in ip] or unique


def addresses(resolved: Mapping[Origin, Sequence[str]]) -> dict[str, Address]:
    """Return the embedders behind the origins, by label; an embedder with several names appears once."""
    found: dict[str, Address] = {}
    for source, ips in resolved.items():
        for ip in ips:
            label = f"{f'[{ip}]' if ':' in ip else ip}:{source.port}{source.prefix}"
            found.setdefault(label, Address(label, source.url, ip))
    return found


def difference(current: Iterable[str], wanted: Mapping[str, Address]) -> Difference:
    """Return the addresses to add to a pool with the labels in ``current``, and the labels to remove."""
    held = list(current)
    known = set(held)
    return Difference(
        [address for label, address in wanted.items() if label not in known],
        [label for label in held if label not in wanted],
    )
