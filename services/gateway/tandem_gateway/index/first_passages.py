"""Which document a passage belongs to: the first passage of a document stands for it."""

import math

import numpy as np

from tandem_gateway.index.filtered import are_among
from tandem_gateway.records.arrays import Keys

_NONE: Keys = np.empty(0, np.uint64)
# New passages that wait in a dictionary until they are this many, or this share of all.
_FEW_NEW = 1000
_NEW_SHARE = 0.25
# The passages that match a query are not spread evenly over the documents.
_SLACK = 2.0


def passages_to_find(documents: int, passages: int, later: int, widening: int) -> int:
    """Return how many of the nearest passages a search should find to have enough documents.

    Args:
        documents: number of documents that are needed, at least 1.
        passages: number of passages in the index; 0 if all its documents were deleted.
        later: how many of them are not the first of their document; the map forgets deleted ones late.
        widening: 1 for the first search; more if that found too few documents.
    """
    later_share = min(later / max(passages, 1), 0.75)  # of a few long documents, a query rarely matches more passages
    # One more than there are: a search that finds fewer than requested has found all.
    return min(passages + 1, math.ceil(documents * _SLACK / (1.0 - later_share)) * widening)


class FirstPassages:
    """Later passage → first passage of its document. One thread at a time may use it.

    It takes 16 bytes for each passage that is not the first of its document, and nothing for the others. Ids are never
    reused, so what it says about a removed passage is true for ever, and of no use; it is forgotten at some time.
    """

    def __init__(self, later: Keys = _NONE, firsts: Keys = _NONE) -> None:
        """Make the map.

        Args:
            later: passages that are not the first of their document, ``(n,) uint64``, in any order.
            firsts: the first passage of each one's document, ``(n,) uint64``.
        """
        order = np.argsort(later)
        self._later, self._firsts = later[order], firsts[order]
        self._new: dict[int, int] = {}
        self._removed: set[int] = set()
        self._expanded: tuple[Keys, Keys] | None = None
        """The last argument and answer of ``passages_of``."""

    def __len__(self) -> int:
        return len(self._later) + len(self._new)

    def add(self, passages: Keys, firsts: Keys) -> None:
        """Add passages with the first passage of their document each; first ones and known ones are skipped."""
        later = (passages != firsts) & ~are_among(passages, self._later)
        if not later.any():
            return
        self._expanded = None
        self._new.update(zip(passages[later].tolist(), firsts[later].tolist(), strict=True))
        if len(self._new) > max(_FEW_NEW, _NEW_SHARE * len(self._later)):
            self._merge()

    def remove(self, passages: Keys) -> None:
        """Forget passages; unknown ones are skipped."""
        if not len(self) or not len(passages):
            return
        for passage in passages.tolist():
            if self._new.pop(passage, None) is None:
                self._removed.add(passage)
        if len(self._removed) > max(_FEW_NEW, _NEW_SHARE * len(self._later)):
            self._merge()

    def of(self, passages: Keys) -> Keys:
        """Return the first passage of each passage's document; both are ``(n,) uint64``."""
        firsts = passages
        if len(self._later):
            places = np.minimum(np.searchsorted(self._later, passages), len(self._later) - 1)
            firsts = np.where(self._later[places] == passages, self._firsts[places], passages)
        if self._new:
            firsts = np.array([self._new.get(first, first) for first in firsts.tolist()], np.uint64)
        return firsts

    def passages_of(self, firsts: Keys) -> Keys:
        """Return all passages of documents, ascending, ``(n,) uint64``.

        Args:
            firsts: the first passages of the documents, ascending. The answer is kept for the next call with the same
                array.
        """
        if not len(self):
            return firsts
        if self._expanded is None or self._expanded[0] is not firsts:
            new = np.array(list(self._new.items()), np.uint64).reshape(-1, 2)
            later = self._later[are_among(self._firsts, firsts)]
            found = np.concatenate([firsts, later, new[are_among(new[:, 1], firsts), 0]])
            found.sort()
            self._expanded = firsts, found
        return self._expanded[1]

    def _merge(self) -> None:
        new = np.array(list(self._new.items()), np.uint64).reshape(-1, 2)
        later = np.concatenate([self._later, new[:, 0]])
        firsts = np.concatenate([self._firsts, new[:, 1]])
        if self._removed:
            kept = ~np.isin(later, np.fromiter(self._removed, np.uint64, len(self._removed)))
            later, firsts = later[kept], firsts[kept]
        order = np.argsort(later)
        self._later, self._firsts = later[order], firsts[order]
        self._new, self._removed = {}, set()
