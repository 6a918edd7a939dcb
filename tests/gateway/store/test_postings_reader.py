"""The numbers of a frequent term, which come as one text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.adapters.sqlite.lexical import postings_reader


@given(st.lists(st.integers(-(1 << 62), 1 << 62)), st.integers(0, 40))
def test_a_text_of_numbers_is_read_in_pieces(numbers: list[int], piece: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postings_reader, "_PIECE_CHARS", piece)
        found = postings_reader._numbers(",".join(map(str, numbers)))
    assert found.dtype == np.int64
    assert found.tolist() == numbers
