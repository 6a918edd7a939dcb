"""The choice of a reply's coding by Accept-Encoding, and the reading of Content-Encoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.http.coding.negotiation import CODINGS, MAX_HEADER, choose, coding_of


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate", "gzip"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("GZIP ; q=0.3 , br", "gzip"),
        ("x-gzip", "gzip"),
        ("*", "zstd"),
        ("zstd;q=0, *;q=0.1", "gzip"),
        ("*;q=0", None),
        ("gzip;q=0", None),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("identity;q=0, gzip;q=0.001", "gzip"),
        ("identity", None),
        ("deflate, br", None),
        ("", None),
        ("gzip;q=2, zstd;q=-1", None),
        ("gzip;q=0.1234", None),
        ("gzip;level=9", None),
        ("gzip" + " " * MAX_HEADER, None),
    ],
)
def test_the_coding_of_a_reply(accepted: str, expected: str | None) -> None:
    assert choose(accepted.encode()) == expected


_QUALITIES = st.integers(0, 1000).map(lambda n: n / 1000)


@given(st.dictionaries(st.sampled_from(["gzip", "zstd", "br", "identity", "*"]), _QUALITIES), st.randoms())
def test_the_chosen_coding_has_the_highest_quality_whatever_the_order(
    qualities: dict[str, float], random: object
) -> None:
    items = [f"{name};q={quality}" for name, quality in qualities.items()]
    chosen = choose(", ".join(items).encode())
    assert choose(",".join(reversed(items)).encode()) == chosen
    of = {coding: qualities.get(coding, qualities.get("*", 0)) for coding in CODINGS}
    if chosen is None:
        assert max(of.values()) in (0, *[q for q in of.values() if q < qualities.get("identity", 0)])
    else:
        assert of[chosen] == max(of.values()) > 0
        assert of[chosen] >= qualities.get("identity", 0)


@given(st.binary(max_size=200))
def test_no_header_breaks_the_choice(accepted: bytes) -> None:
    assert choose(accepted) in (None, *CODINGS)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b""], None),
        ([b"identity"], None),
        ([b"gzip"], "gzip"),
        ([b" GZip "], "gzip"),
        ([b"x-gzip"], "gzip"),
        ([b"identity, zstd"], "zstd"),
        ([b"zstd", b""], "zstd"),
    ],
)
def test_the_coding_of_a_body(values: list[bytes], expected: str | None) -> None:
    assert coding_of(values) == expected


@pytest.mark.parametrize("values", [[b"br"], [b"deflate"], [b"gzip, gzip"], [b"gzip", b"zstd"], [b"\xff"]])
def test_other_codings_and_several_are_refused(values: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        coding_of(values)
