"""Finds everything that a built site would load from the network: ``python offline.py SITE``. Standard library only."""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

_REMOTE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
_IN_CSS = re.compile(r"(?:url\(\s*[\"']?|@import\s+[\"'])((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)
# A link element with another relation, such as canonical, is only an address.
_LOADING_RELATIONS = {
    "stylesheet",
    "preload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "modulepreload",
    "icon",
    "manifest",
}


class _Loads(HTMLParser):
    """Collects the addresses that a page loads by itself, without the links that a reader may follow."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Inspect one element."""
        values = {name: value or "" for name, value in attrs}
        if tag == "link" and not _LOADING_RELATIONS & set(values.get("rel", "").lower().split()):
            return
        names = {"link": ("href",), "a": ()}.get(tag, ("src", "srcset", "poster", "data"))
        self.found += [values[name] for name in names if _REMOTE.match(values.get(name, ""))]
        self.found += _IN_CSS.findall(values.get("style", ""))


def loads_in_html(text: str) -> list[str]:
    """Return the remote addresses that an HTML page loads."""
    parser = _Loads()
    parser.feed(text)
    styles = re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL | re.IGNORECASE)
    return parser.found + [address for style in styles for address in _IN_CSS.findall(style)]


def loads_in_css(text: str) -> list[str]:
    """Return the remote addresses that a style sheet loads."""
    return _IN_CSS.findall(text)


def remote_loads(site: Path) -> Iterator[tuple[Path, str]]:
    """Return each file of a site that loads something from the network, with the address."""
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            found = loads_in_html(path.read_text())
        elif path.suffix == ".css":
            found = loads_in_css(path.read_text())
        else:
            continue
        yield from ((path, address) for address in found)


def main(site: Path) -> int:
    """Print the remote addresses that a site loads, and return 1 if there are any."""
    pages = list(site.rglob("*.html"))
    if not pages:
        print(f"{site} has no pages", file=sys.stderr)
        return 1
    found = list(remote_loads(site))
    for path, address in found:
        print(f"{path} loads {address}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
