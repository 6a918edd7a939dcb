"""The heading of Markdown that a passage is under."""

import re
from typing import Final

MAX_HEADING_CHARS: Final = 200
"""Maximum length of a heading that is shown; a longer one is cut."""

# A heading, or a line that begins or ends a block of code, in which a "#" begins a comment. Nothing in it can go back.
_LINE: Final = re.compile(r"^ {0,3}(?:#{1,6}[ \t]+([^\n]*)|(`{3}|~{3}))", re.MULTILINE)


def without_closing(title: str) -> str:
    """Return the text of a heading without the signs ``#`` that may close it: ``C# ##`` is ``C#``, and so is ``C#``."""
    title = title.strip()
    before = title.rstrip("#")
    return title if before and not before[-1].isspace() else before.rstrip()


def heading_of(text: str, start: int) -> str | None:
    """Return the heading that a passage of a Markdown text is under; None if there is none before it.

    A passage that begins with a heading is under it. Only headings that begin with ``#`` count.

    Args:
        text: the whole text.
        start: offset of the passage.
    """
    end = text.find("\n", start)
    found, fence = None, None
    for line in _LINE.finditer(text, 0, len(text) if end < 0 else end):
        title, mark = line.groups()
        if mark is not None:
            fence = mark if fence is None else None if fence == mark else fence
        elif fence is None and (title := without_closing(title)):
            found = title
    return None if found is None else found[:MAX_HEADING_CHARS]
