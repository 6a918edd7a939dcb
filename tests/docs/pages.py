"""Reads the README and the pages under docs/: their links, anchors and commands."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "docs"

_FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^ {4,}.*$", re.MULTILINE)
_CODE = re.compile(r"`[^`\n]+`")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"^```sh\n(?P<command>.*?)^```\n(?:\n```json\n(?P<reply>.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Return the README and every page under docs/."""
    return [README, *sorted(DOCS.rglob("*.md"))]


def name(page: Path) -> str:
    """Return a page's path inside the repository."""
    return page.relative_to(REPOSITORY).as_posix()


def links(page: Path) -> list[str]:
    """Return the targets of a page's links and images that are inside the repository."""
    prose = _CODE.sub("", _INDENTED.sub("", _FENCED.sub("", page.read_text())))
    return [target for target in _LINK.findall(prose) if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> list[str]:
    """Return the anchors of a page's headings, in the form of GitHub and the documentation site."""
    headings = _HEADING.findall(_FENCED.sub("", page.read_text()))
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def commands(page: Path) -> list[tuple[str, str | None]]:
    """Return a page's shell commands, each with the reply below it."""
    return [(found["command"], found["reply"]) for found in _BLOCK.finditer(page.read_text())]


def make_targets(page: Path) -> set[str]:
    """Return the make targets that a page names."""
    return set(re.findall(r"(?:`|^ {4})make ([a-z-]+)", page.read_text(), re.MULTILINE))


def modules(page: Path) -> set[str]:
    """Return the Python modules that a page tells the reader to run."""
    return set(re.findall(r"python -m ([\w.]+)", page.read_text()))
