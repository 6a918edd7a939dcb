"""The URL of the database in a file."""

from pathlib import Path

import pytest

from tandem_gateway.composition.store_url import with_store_url
from tandem_gateway.settings import Settings
from tandem_runtime.settings import SettingsError, describe


def test_the_file_has_the_url(tmp_path: Path):
    file = tmp_path / "url"
    file.write_text("  postgresql://tandem:hunter2@db/tandem\n")
    settings = with_store_url(Settings(store_url_file=str(file)))
    assert settings.store_url == "postgresql://tandem:hunter2@db/tandem"
    assert "hunter2" not in str(describe(settings))
    assert with_store_url(settings) == settings
    assert with_store_url(Settings()) == Settings()


@pytest.mark.parametrize(
    "content",
    [b"", b"  \n", b"host=db password=secret", b"postgresql://\xff secret", b"postgresql://" + b"secret" * 1000],
)
def test_a_file_without_a_url_is_named_and_not_quoted(tmp_path: Path, content: bytes):
    file = tmp_path / "url"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"^TANDEM_STORE_URL_FILE=.*postgresql://") as refused:
        with_store_url(Settings(store_url_file=str(file)))
    assert "secret" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"^TANDEM_STORE_URL_FILE=.*No such file"):
        with_store_url(Settings(store_url_file=str(tmp_path / "none")))


def test_only_one_of_both_may_be_set():
    with pytest.raises(ValueError, match="TANDEM_STORE_URL_FILE exclude each other"):
        Settings(store_url="postgresql://db/a", store_url_file="a")
