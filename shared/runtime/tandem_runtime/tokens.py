"""Shared tokens between services: from a setting, or from a file that is read again when it changes.

A caller sends the first token. A server accepts all of them, so that operators can change a token without a gap. No
message of this module contains a token.
"""

import hmac
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

MIN_CHARS: Final = 16
"""Minimum length of a token; a shorter one is easy to guess."""
MAX_CHARS: Final = 512
"""Maximum length of a token."""
MAX_TOKENS: Final = 16
"""Maximum number of tokens."""
MAX_FILE_BYTES: Final = 16 << 10
"""Maximum size of a file of tokens."""

_RULE: Final = f"{MIN_CHARS} to {MAX_CHARS} printable ASCII characters without a space or a comma"
_SCHEME: Final = b"bearer"


class InvalidTokens(ValueError):
    """The tokens break a rule, or their file cannot be read; the message contains no token."""


def parse_tokens(text: str) -> tuple[str, ...]:
    """Return the tokens of a text that separates them by commas; an empty text has none.

    Raises:
        InvalidTokens: a token is too short, too long or has another character, or there are too many.
    """
    return _checked(text.split(",")) if text else ()


def read_tokens(file: Path) -> tuple[str, ...]:
    """Return the tokens of a file, one per line, at least one; blank lines do not count. Blocks.

    Raises:
        InvalidTokens: as ``parse_tokens``; also if the file cannot be read, is too large or has no token.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidTokens(error.strerror or str(error)) from error
    if len(content) > MAX_FILE_BYTES:
        raise InvalidTokens(f"it has more than {MAX_FILE_BYTES} bytes")
    found = _checked([line for line in content.decode("latin-1").splitlines() if line.strip()])
    if not found:
        raise InvalidTokens("it has no token")
    return found


def _checked(tokens: Sequence[str]) -> tuple[str, ...]:
    stripped = [token.strip() for token in tokens]
    for place, token in enumerate(stripped, 1):
        if not (
            MIN_CHARS <= len(token) <= MAX_CHARS
            and token.isascii()
            and token.isprintable()
            and " " not in token
            and "," not in token
        ):
            raise InvalidTokens(f"token {place} of {len(stripped)}: {_RULE} were expected")
    if len(stripped) > MAX_TOKENS:
        raise InvalidTokens(f"{len(stripped)} tokens are too many, at most {MAX_TOKENS} are read")
    return tuple(dict.fromkeys(stripped))


class Tokens:
    """The tokens in force."""

    def __init__(self, given: Sequence[str] = (), file: Path | None = None) -> None:
        """Read the file, if there is one; blocks.

        Args:
            given: the tokens, without a file.
            file: file of the tokens; ``given`` is then not used.

        Raises:
            InvalidTokens: the file cannot be used.
        """
        self._file = file
        self._tokens = tuple(given) if file is None else read_tokens(file)
        self._failed: str | None = None

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def __repr__(self) -> str:
        return f"Tokens({len(self._tokens)} set)"

    @property
    def authorization(self) -> str | None:
        """Value of the header ``authorization`` that a caller sends; None without a token."""
        return f"Bearer {self._tokens[0]}" if self._tokens else None

    def accepts(self, authorization: bytes | None) -> bool:
        """Return whether a request with this header may pass; without tokens, every request may."""
        if not self._tokens:
            return True
        scheme, _, credentials = (authorization or b"").partition(b" ")
        credentials = credentials.strip()
        # Compare with every token, in constant time: the duration must not show how much of which token is right.
        matches = [hmac.compare_digest(credentials, token.encode()) for token in self._tokens]
        return any(matches) and scheme.lower() == _SCHEME

    def renewals(self) -> "list[Callable[[], None]]":
        """Return the functions to call at an interval, see ``renewal.renewing``; none without a file."""
        return [] if self._file is None else [self.renew]

    def renew(self) -> None:
        """Read the file again; keep the tokens if it cannot be used, and log that once. Blocks."""
        if self._file is None:
            return
        try:
            found = read_tokens(self._file)
        except InvalidTokens as error:
            if str(error) != self._failed:
                self._failed = str(error)
                about = {"file": str(self._file), "error": str(error)}
                log.warning("a changed token file cannot be used; the previous tokens stay", extra=about)
            return
        self._failed = None
        if found != self._tokens:
            self._tokens = found
            log.info("tokens renewed", extra={"file": str(self._file), "tokens": len(found)})
