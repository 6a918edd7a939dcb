"""The secret of the API keys' hashes, in the file ``access.secret``, which only its owner may read.

A secret without keys tells that the keys were lost: access control is then on, and no key works.
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from tandem_gateway.adapters.fsync import sync
from tandem_gateway.errors import StorageUnavailable

FILE_NAME: Final = "access.secret"
_BYTES: Final = 32


def exists(path: Path) -> bool:
    """Return whether there is a secret, even one that cannot be read."""
    return os.path.lexists(path)


def read(path: Path) -> bytes | None:
    """Return the secret, or None if there is no file.

    Raises:
        StorageUnavailable: the secret is damaged or cannot be read.
    """
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageUnavailable(
            "the secret of the API keys cannot be read", detail=f"{path}: {error.strerror}"
        ) from error
    return _checked(path, found)


def make(path: Path) -> bytes:
    """Make a secret, unless another process does so at the same time; return the one in the file.

    Raises:
        StorageUnavailable: the file cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnavailable(f"{path.parent} cannot be written: {error.strerror}") from error
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    try:
        write(partial, secrets.token_bytes(_BYTES))
        # A link, unlike a rename, does not replace the secret that another process made meanwhile.
        with contextlib.suppress(FileExistsError):
            os.link(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)
    return _checked(path, path.read_bytes())


def write(path: Path, content: bytes) -> None:
    """Write a secret to a new file that only its owner may read.

    Raises:
        StorageUnavailable: the file exists or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageUnavailable(f"{path} cannot be written: {error.strerror}") from error


def _checked(path: Path, secret: bytes) -> bytes:
    if len(secret) != _BYTES:
        raise StorageUnavailable(
            "the secret of the API keys is damaged", detail=f"{path} has {len(secret)} bytes instead of {_BYTES}"
        )
    return secret
