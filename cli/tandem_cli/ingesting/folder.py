"""The files of a folder that an ingest takes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from tandem_cli.ingesting.rows import SUFFIXES

FILE_SUFFIXES = (".txt", ".md", ".html", ".htm", ".docx", ".pdf")
"""What the gateway's route for files reads, without the formats of rows."""


@dataclass(slots=True)
class Found:
    """Files of a folder.

    Attributes:
        files: name relative to the folder, with slashes → path; in the order of the names.
        left_out: number of files that are of no known format.
    """

    files: dict[str, Path] = field(default_factory=dict)
    left_out: int = 0


def walk(folder: Path, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Found:
    """Return the files of a folder and of its folders.

    Hidden files and folders, whose names begin with a dot, are left out. So are links to folders, which could lead in a
    circle. A link to nothing is a file that cannot be read: its target may be on a disk that is not mounted now.

    Args:
        folder: that exists.
        include: shell patterns of relative names, of which one has to match; empty for all.
        exclude: shell patterns of relative names; ``*`` matches slashes too.

    Raises:
        OSError: if a folder cannot be read.
    """
    found = Found()
    for path in sorted(_files(folder), key=lambda path: path.relative_to(folder).as_posix()):
        name = path.relative_to(folder).as_posix()
        if include and not any(fnmatchcase(name, pattern) for pattern in include):
            continue
        if any(fnmatchcase(name, pattern) for pattern in exclude):
            continue
        if path.suffix.lower() in FILE_SUFFIXES or path.suffix.lower() in SUFFIXES:
            found.files[name] = path
        else:
            found.left_out += 1
    return found


def _files(folder: Path) -> list[Path]:
    found = []
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if not path.is_symlink():
                found += _files(path)
        elif path.is_file() or (path.is_symlink() and not path.exists()):
            found.append(path)
    return found
