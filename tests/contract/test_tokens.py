"""Tokens between services: what is accepted, how a file is read again, and that no message shows a token."""

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_runtime.tokens import MAX_FILE_BYTES, MAX_TOKENS, InvalidTokens, Tokens, parse_tokens, read_tokens

OLD, NEW = "the-old-token-of-the-test", "the-new-token-of-the-test"
GOOD = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","), min_size=16, max_size=64)


def bearer(token: str) -> bytes:
    return f"Bearer {token}".encode()


@given(tokens=st.lists(GOOD, min_size=1, max_size=MAX_TOKENS, unique=True), other=GOOD)
def test_each_given_token_is_accepted_and_no_other(tokens: list[str], other: str) -> None:
    made = Tokens(parse_tokens(",".join(tokens)))
    assert all(made.accepts(bearer(token)) for token in tokens)
    assert made.accepts(bearer(other)) == (other in tokens)
    assert made.authorization == f"Bearer {tokens[0]}"


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        OLD.encode(),
        f"Basic {OLD}".encode(),
        bearer(OLD[:-1]),
        bearer(OLD + "x"),
        b"\xff",
    ],
)
def test_a_request_without_the_token_is_not_accepted(header: bytes | None) -> None:
    assert not Tokens([OLD]).accepts(header)


def test_the_scheme_may_have_any_case_and_spaces_around_the_token_do_not_count() -> None:
    assert Tokens([OLD]).accepts(f"bEARER  {OLD} ".encode())


def test_without_tokens_every_request_is_accepted_and_none_is_sent() -> None:
    made = Tokens()
    assert made.accepts(None)
    assert made.authorization is None
    assert not made


@pytest.mark.parametrize(
    "text", ["short", "x" * 513, "a token with spaces in it", "ein-Schlüssel-mit-Umlaut", f"{OLD},"]
)
def test_a_bad_token_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(InvalidTokens, match=r"^token \d of \d: 16 to 512 printable") as caught:
        parse_tokens(text)
    assert text not in str(caught.value)


def test_too_many_tokens_are_refused() -> None:
    with pytest.raises(InvalidTokens, match="17 tokens are too many, at most 16"):
        parse_tokens(",".join(f"{number:0>20}" for number in range(17)))


def test_a_file_has_a_token_per_line(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{NEW}\r\n\n  {OLD}  \n{NEW}\n")
    assert read_tokens(file) == (NEW, OLD)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "it has no token"), (b"\n \n", "it has no token"), (b"x" * (MAX_FILE_BYTES + 1), "more than 16384 bytes")],
)
def test_an_unusable_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(InvalidTokens, match=message):
        Tokens(file=tmp_path / "token")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTokens, match="No such file"):
        Tokens(file=tmp_path / "token")


def test_a_changed_file_is_read_and_an_unusable_one_keeps_the_tokens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = tmp_path / "token"
    file.write_text(OLD)
    made = Tokens(file=file)
    file.write_text(f"{NEW}\n{OLD}\n")
    made.renew()
    assert made.accepts(bearer(NEW))
    assert made.accepts(bearer(OLD))
    assert made.authorization == f"Bearer {NEW}"
    file.write_text("bad")
    made.renew()
    made.renew()
    file.unlink()
    made.renew()
    assert made.accepts(bearer(OLD))
    file.write_text(NEW)
    made.renew()
    assert not made.accepts(bearer(OLD))
    assert [record.message for record in caplog.records] == [
        "tokens renewed",
        "a changed token file cannot be used; the previous tokens stay",
        "a changed token file cannot be used; the previous tokens stay",
        "tokens renewed",
    ]
    assert not any(token in str(vars(record)) for record in caplog.records for token in (OLD, NEW))
    assert OLD not in repr(made)


def test_only_a_file_is_read_again(tmp_path: Path) -> None:
    assert Tokens([OLD]).renewals() == []
    (tmp_path / "token").write_text(OLD)
    assert len(Tokens(file=tmp_path / "token").renewals()) == 1
