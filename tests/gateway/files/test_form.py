"""Forms: any split of the body gives the same form, and each limit is named."""

import contextlib
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_contract.decoding import InvalidMessage
from tandem_gateway.errors import InvalidRequest
from tandem_gateway.http.form import Form, FormLimits, FormParser, boundary_of
from tandem_gateway.records.files import UploadedFile
from tandem_runtime.memory import MemoryBudget, OverBudget

LIMITS = FormLimits(files=3, file_bytes=1000, metadata_bytes=100)
BOUNDARY = "--a"


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    named = f'; filename="{filename}"' if filename is not None else ""
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"{named}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def parsed(body: bytes, cuts: Iterable[int] = (), held: list[int] | None = None) -> Form:
    parser = FormParser(BOUNDARY.encode(), LIMITS, (held if held is not None else []).append)
    begin = 0
    for end in [*sorted(cuts), len(body)]:
        if body[begin:end]:
            parser.feed(body[begin:end])
        begin = end
    return parser.form()


BODY = form(
    part("metadata", b'{"a": 1}'), part("files", b"\r\n--\r\n---", "a é.txt"), part("collection", b"books"),
    part("files", b"", "dir/b.md"),
)  # fmt: skip


@given(st.lists(st.integers(0, len(BODY)), max_size=20))
def test_any_split_of_a_body_gives_the_same_form(cuts: list[int]) -> None:
    held: list[int] = []
    assert parsed(BODY, cuts, held) == Form(
        "books",
        b'{"a": 1}',
        [UploadedFile("a é.txt", bytearray(b"\r\n--\r\n---")), UploadedFile("dir/b.md", bytearray())],
    )
    assert sum(held) >= len(BODY) - 300


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (form(), "missing_field", "files"),
        (form(part("collection", b"a")), "missing_field", "files"),
        (form(part("files", b"x")), "missing_field", "files[0]"),
        (form(part("files", b"x", "")), "missing_field", "files[0]"),
        (form(part("other", b"x", "a.txt")), "unknown_field", "other"),
        (form(part("collection", b"a"), part("collection", b"b")), "invalid_field", "collection"),
        (form(part("metadata", b" " * 65537)), "limit_exceeded", "metadata"),
        (form(*[part("files", b"", f"{n}.txt") for n in range(4)]), "limit_exceeded", "files"),
        (form(part("files", b"x" * 1001, "a.txt")), "body_too_large", "files[0]"),
        (form(part("collection", b"\xff"), part("files", b"x", "a.txt")), "invalid_encoding", "collection"),
        (part("files", b"x", "a.txt"), "malformed_body", "body"),
        (b"", "malformed_body", "body"),
        (b"no form", "malformed_body", "body"),
        (b"--" + BOUNDARY.encode() + b"\r\n" + b"x: y\r\n" * 100 + b"\r\n", "limit_exceeded", "files"),
    ],
)
def test_what_is_wrong_with_a_form_is_named(body: bytes, code: str, param: str) -> None:
    with pytest.raises((InvalidMessage, InvalidRequest)) as raised:
        parsed(body)
    assert (raised.value.code, raised.value.param) == (code, param)


def test_a_form_beyond_the_memory_budget_is_refused() -> None:
    lease = MemoryBudget(1 << 16, "A_SETTING").lease(0.001)
    limits = FormLimits(3, 1 << 20, 100)
    parser = FormParser(BOUNDARY.encode(), limits, lease.add)
    with pytest.raises(OverBudget):
        parser.feed(form(part("files", b"x" * 70_000, "a.txt")))


@given(st.binary(max_size=200))
def test_no_body_is_an_unexpected_error(body: bytes) -> None:
    for content in (body, form(part("files", body, "a.txt")), BODY[:60] + body):
        with contextlib.suppress(InvalidMessage, InvalidRequest):
            parsed(content)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=a", b"a"),
        ('Multipart/Form-Data; charset=utf-8; boundary="a b"', b"a b"),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=" + "a" * 71, None),
        ("multipart/mixed; boundary=a", None),
        ("application/json", None),
    ],
)
def test_the_boundary_is_that_of_the_content_type(content_type: str, boundary: bytes | None) -> None:
    scope = {"type": "http", "headers": [(b"content-type", content_type.encode())]}
    if boundary is not None:
        assert boundary_of(scope) == boundary
        return
    with pytest.raises(InvalidMessage) as raised:
        boundary_of(scope)
    assert (raised.value.code, raised.value.param) == ("unsupported_media_type", "content-type")
