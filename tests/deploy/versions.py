"""Every place that names Tandem's version. pyproject.toml defines it; a test compares the other places with it.

``python -m tests.deploy.versions`` prints the version; with a new one as argument, it writes it everywhere. It needs
only the standard library. The services read their version from the installed package.
"""

import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]

VERSION = r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?"


# The same in the form of Semantic Versioning, which Helm and npm demand: 1.2.3-rc1.
SEMVER = r"\d+\.\d+\.\d+(?:-(?:a|b|rc)\d+)?"


class Place(NamedTuple):
    """Files, and a pattern whose group is the version, in the form of Python or of Semantic Versioning."""

    files: tuple[str, ...]
    pattern: str
    semver: bool = False


_DEPLOYED = ("deploy/**/*.yml", "deploy/**/*.yaml")
_TEXTS = ("README.md", "docs/**/*.md")

_PROJECTS = ("shared/contract/pyproject.toml", "clients/python/pyproject.toml", "cli/pyproject.toml")

PLACES = (
    Place(("pyproject.toml", *_PROJECTS), rf'(?m)^version = "({VERSION})"$'),
    Place(("pyproject.toml", *_PROJECTS), rf'"tandem-[a-z]+(?:\[[a-z,]+\])?==({VERSION})"'),
    Place(("services/*/Dockerfile",), rf"(?m)^ARG VERSION=({VERSION})$"),
    Place(("services/*/Dockerfile", *_DEPLOYED, *_TEXTS), rf"\btandem-(?:gateway|embedder):({VERSION})\b"),
    Place(_DEPLOYED, rf"\$\{{TANDEM_TAG:-({VERSION})\}}"),
    Place(("deploy/**/kustomization.yaml",), rf"(?m)^ +newTag: ({VERSION})$"),
    Place(("deploy/helm/*/Chart.yaml",), rf'(?m)^appVersion: "({VERSION})"$'),
    Place(("deploy/helm/*/Chart.yaml",), rf"(?m)^version: ({SEMVER})$", semver=True),
    Place(
        ("clients/typescript/package*.json",),
        rf'(?m)(?<="name": "tandem-client",\n)\s+"version": "({SEMVER})"',
        semver=True,
    ),
    Place(("clients/typescript/README.md",), rf"tandem-client-({SEMVER})\.tgz", semver=True),
    Place(_TEXTS, rf"\| `TANDEM_TAG` \| `({VERSION})` \|"),
)


def semver(version: str) -> str:
    """Return a version in the form of Semantic Versioning: 1.2.3-rc1 for 1.2.3rc1."""
    return re.sub(r"(?<=\d)(?=a|b|rc)", "-", version)


def current(root: Path = REPOSITORY) -> str:
    """Return the version in pyproject.toml."""
    found = re.search(PLACES[0].pattern, (root / "pyproject.toml").read_text())
    assert found is not None, "pyproject.toml has no version"
    return found[1]


def places(root: Path = REPOSITORY) -> Iterator[tuple[Path, Place]]:
    """Yield each file with each pattern that may match in it."""
    for place in PLACES:
        for pattern in place.files:
            for path in sorted(root.glob(pattern)):
                yield path, place


def named(root: Path = REPOSITORY) -> list[tuple[Path, Place, str]]:
    """Return every version in the files: file, place, version."""
    return [
        (path, place, found[1].replace("-", ""))
        for path, place in places(root)
        for found in re.finditer(place.pattern, path.read_text())
    ]


def _replaced(found: re.Match[str], version: str) -> str:
    return found[0].replace(found[1], version)


def write(new: str, root: Path = REPOSITORY) -> list[Path]:
    """Write a version into every place; return the files that changed."""
    if re.fullmatch(VERSION, new) is None:
        raise ValueError(f"{new!r} is no version such as 1.2.3 or 1.2.3rc1")
    changed: dict[Path, None] = {}
    for path, place in places(root):
        text = path.read_text()
        written = semver(new) if place.semver else new
        replaced = re.sub(place.pattern, partial(_replaced, version=written), text)
        if replaced != text:
            path.write_text(replaced)
            changed[path] = None
    return list(changed)


def main(arguments: list[str]) -> int:
    """Print the version, or write a new one."""
    if len(arguments) > 1:
        print("usage: python -m tests.deploy.versions [NEW]", file=sys.stderr)
        return 2
    if not arguments:
        print(current())
        return 0
    try:
        changed = write(arguments[0])
    except ValueError as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 2
    for path in changed:
        print(f"tandem: {path.relative_to(REPOSITORY)}")
    print(f"tandem: {current()}; now write its section of CHANGELOG.md, and run make setup")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
