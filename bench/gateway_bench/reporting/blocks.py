"""Replaces the generated blocks of a Markdown file.

A block stands between two comments::

    <!-- table:comparison -->
    ...replaced...
    <!-- /table:comparison -->
"""

import re
from collections.abc import Mapping

_BLOCK = re.compile(r"^<!-- table:(?P<name>[a-z-]+) -->\n(?P<content>.*?)^<!-- /table:(?P=name) -->$", re.M | re.S)
_MARK = re.compile(r"^<!-- /?table:[a-z-]+ -->$", re.M)


class BrokenBlock(Exception):
    """A comment that begins or ends a block has no counterpart."""


def fill(text: str, blocks: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return a text with the content of its blocks replaced, and the names of the replaced blocks.

    A block whose name is not in ``blocks`` stays as it is.

    Raises:
        BrokenBlock: if the text has such a comment without its counterpart.
    """
    filled: list[str] = []

    def replace(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in blocks:
            return found[0]
        filled.append(name)
        return f"<!-- table:{name} -->\n\n{blocks[name].strip()}\n\n<!-- /table:{name} -->"

    whole = sum(len(_MARK.findall(found[0])) for found in _BLOCK.finditer(text))
    if whole != len(_MARK.findall(text)):
        raise BrokenBlock("a <!-- table:NAME --> has no <!-- /table:NAME -->, or the other way round")
    return _BLOCK.sub(replace, text), filled
