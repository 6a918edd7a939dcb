"""HTML: the visible text, with a line for each block; the only module that imports selectolax.

A page with headings becomes Markdown: its headings and its preformatted text have their marks.
"""

import re
from collections.abc import Iterator
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from tandem_gateway.extraction.decoding import decoded
from tandem_gateway.extraction.pieces import Piece, Unreadable

_UNSEEN: Final = frozenset({"script", "style", "template", "noscript", "head", "svg", "iframe", "object"})
_BLOCKS: Final = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav",
    "ol", "option", "p", "pre", "section", "summary", "table", "tr", "ul",
})  # fmt: skip
_CELLS: Final = frozenset({"td", "th"})
_SPACES: Final = re.compile(r"[ \t\r\n\f]+")
_SEVERAL_SPACES: Final = re.compile(r" {2,}")
_AROUND_BREAK: Final = re.compile(r" *\n[ \n]*")
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_FENCE: Final = "\n```\n"
# The mark of a heading without text, or whose text is in a block of its own.
_EMPTY_HEADING: Final = re.compile(r"^#{1,6}\n", re.MULTILINE)


def html(content: bytes) -> Iterator[Piece]:
    """Return the document of a page, and the text of its element ``title`` as title.

    Raises:
        Unreadable: the parser cannot build its tree, mostly for want of memory.
    """
    try:
        parser = LexborHTMLParser(decoded(content, html=True))
    except SelectolaxError as error:
        raise Unreadable(f"cannot be read as HTML: {error}") from None
    title = parser.css_first("title")
    named = " ".join(title.text(deep=True).split()) if title is not None else ""
    root = parser.body or parser.root
    markdown = root is not None and root.css_first(", ".join(_HEADINGS)) is not None
    seen = "" if root is None else _visible_text(root, markdown=markdown)
    yield Piece(seen, metadata={"title": named} if named else {}, format="markdown" if markdown else "text")


def _visible_text(root: LexborNode, *, markdown: bool) -> str:
    """Walk the tree without recursion: pages may be nested as deeply as their bytes allow."""
    before, after = (_marks_before, _marks_after) if markdown else (_before, _after)
    parts: list[str] = []
    node: LexborNode | None = root
    while node is not None:
        tag = node.tag or ""
        below = None
        if tag == "-text":
            parts.append(_SPACES.sub(" ", node.text_content or ""))
        elif tag not in _UNSEEN:
            parts.append(before(tag))
            below = node.child
        if below is not None:
            node = below
            continue
        while node is not None:
            parts.append(after(node.tag or ""))
            if node == root:
                node = None
            elif node.next is not None:
                node = node.next
                break
            else:
                node = node.parent
    text = _AROUND_BREAK.sub("\n", _SEVERAL_SPACES.sub(" ", "".join(parts))).strip()
    return _EMPTY_HEADING.sub("", text) if markdown else text


def _marks_before(tag: str) -> str:
    if tag == "pre":
        return _FENCE
    level = _HEADINGS.get(tag)
    return f"\n{'#' * level} " if level is not None else _before(tag)


def _marks_after(tag: str) -> str:
    return _FENCE if tag == "pre" else _after(tag)


def _before(tag: str) -> str:
    return "\n" if tag in _BLOCKS or tag == "br" else ""


def _after(tag: str) -> str:
    if tag in _CELLS:
        return " "
    return "\n" if tag in _BLOCKS else ""
