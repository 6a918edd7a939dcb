"""HTML: the visible text, with a line for each block; the only module that imports selectolax."""

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
    seen = "" if root is None else _visible_text(root)
    yield Piece(seen, metadata={"title": named} if named else {})


def _visible_text(root: LexborNode) -> str:
    """Walk the tree without recursion: pages may be nested as deeply as their bytes allow."""
    parts: list[str] = []
    node: LexborNode | None = root
    while node is not None:
        tag = node.tag or ""
        below = None
        if tag == "-text":
            parts.append(_SPACES.sub(" ", node.text_content or ""))
        elif tag not in _UNSEEN:
            parts.append(_before(tag))
            below = node.child
        if below is not None:
            node = below
            continue
        while node is not None:
            parts.append(_after(node.tag or ""))
            if node == root:
                node = None
            elif node.next is not None:
                node = node.next
                break
            else:
                node = node.parent
    return _AROUND_BREAK.sub("\n", _SEVERAL_SPACES.sub(" ", "".join(parts))).strip()


def _before(tag: str) -> str:
    return "\n" if tag in _BLOCKS or tag == "br" else ""


def _after(tag: str) -> str:
    if tag in _CELLS:
        return " "
    return "\n" if tag in _BLOCKS else ""
