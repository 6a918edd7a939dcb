"""Numbers of documents: one for each document, in the same order, and the same after a way there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.adapters.moving.digests import Digest
from tandem_gateway.adapters.moving.numbers import BITS, MAX_NUMBER, numbering
from tandem_gateway.errors import StorageUnavailable

COLLECTIONS = st.integers(0, 8)


@given(
    st.sets(st.integers(1, 30)).flatmap(
        lambda numbers: st.fixed_dictionaries(dict.fromkeys(sorted(numbers), COLLECTIONS))
    ),
    st.integers(0, 6),
    st.dictionaries(st.integers(1, 12), st.integers(0, 20)),
)
def test_each_document_has_a_number_of_its_own_in_its_order(
    owners: dict[int, int], collections: int, later: dict[int, int]
):
    """``owners``: number that SQLite gave → its collection. ``later``: collection → how many documents came later."""
    unique = max(owners, default=0)
    early = [min(collection, collections) << BITS | number for number, collection in owners.items()]
    bases = {collection: unique if collection <= collections else 0 for collection in {0, *later}}
    late = [c << BITS | bases[c] + number for c, count in later.items() for number in range(1, count + 1)]
    last = {collection: bases[collection] + later.get(collection, 0) for collection in bases}
    last |= {number >> BITS: unique for number in early if number >> BITS not in last}
    found = numbering(unique, collections, last)
    numbers = {number: found.of(number) for number in (*early, *late)}
    assert len(set(numbers.values())) == len(numbers)
    assert [found.of(number) for number in early] == list(owners)
    assert max(numbers.values(), default=0) <= found.last
    for one, another in zip(sorted(numbers), sorted(numbers)[1:], strict=False):
        if one >> BITS == another >> BITS:
            assert numbers[one] < numbers[another]


def test_too_many_numbers_are_refused():
    with pytest.raises(StorageUnavailable, match=r"has given .* numbers to documents"):
        numbering(0, 0, {1: MAX_NUMBER, 2: 1})


@given(st.lists(st.tuples(st.integers(), st.binary() | st.none(), st.booleans())), st.randoms())
def test_a_digest_depends_on_the_rows_alone(rows: list[tuple[int, bytes | None, bool]], random: object):
    rows = [(number % 2**60, *rest) for number, *rest in rows]
    first, second = Digest(), Digest()
    assert list(first.counted(rows)) == rows
    shuffled = list(rows)
    random.shuffle(shuffled)
    list(second.counted(shuffled))
    assert first == second
    second.add((1, b"more", True))
    assert first != second
