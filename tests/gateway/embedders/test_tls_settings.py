"""The TLS settings for embedders: which files the startup refuses, and with which message."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from tandem_gateway.embedder_tls import load_tls
from tandem_gateway.settings import Settings
from tandem_runtime.settings import SettingsError, read
from tests.support.certificates import Authority

CA, CERT, KEY = (f"TANDEM_EMBEDDER_{name}_FILE" for name in ("CA", "CLIENT_CERT", "CLIENT_KEY"))
URL, CANARY = "TANDEM_EMBEDDER_URL", "TANDEM_CANARY_URL"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    files = Authority(tmp_path / "authority").client_files()
    return {URL: "https://embedder:8443", CA: str(files.ca), CERT: str(files.certificate), KEY: str(files.key)}


def without(environment: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in names}


@pytest.mark.parametrize("absent", [(), (CERT, KEY), (CA,), (CA, CERT, KEY)])
def test_the_files_that_an_https_url_may_have(environment: dict[str, str], absent: tuple[str, ...]):
    assert load_tls(read(Settings, without(environment, *absent))) is not None


def test_without_an_https_url_nothing_is_loaded():
    assert load_tls(read(Settings, {})) is None


@pytest.mark.parametrize("absent", [CERT, KEY])
def test_a_certificate_and_its_key_need_each_other(environment: dict[str, str], absent: str):
    with pytest.raises(SettingsError, match=f"{CERT} and {KEY} need each other"):
        read(Settings, without(environment, absent))


@pytest.mark.parametrize(("absent", "named"), [((CERT, KEY), CA), ((CA,), CERT), ((), CA)])
def test_files_without_an_https_url_are_refused(environment: dict[str, str], absent: tuple[str, ...], named: str):
    plain = {**without(environment, *absent), URL: "http://embedder:8080", CANARY: "http://canary:8080"}
    with pytest.raises(SettingsError, match=f"^{named} needs a URL that begins with https:// in {URL} or {CANARY}$"):
        read(Settings, plain)


def test_one_pool_with_tls_is_enough_and_a_pool_without_it_is_logged(
    environment: dict[str, str], caplog: pytest.LogCaptureFixture
):
    assert load_tls(read(Settings, {**environment, CANARY: "https://canary:8443"})) is not None
    assert caplog.messages == []
    assert load_tls(read(Settings, {**environment, URL: "http://embedder", CANARY: "https://canary:8443"})) is not None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "unencrypted" in caplog.text


@pytest.mark.parametrize("variable", [CA, CERT, KEY])
def test_a_missing_file_is_named(environment: dict[str, str], variable: str, tmp_path: Path):
    for path in (tmp_path / "missing.pem", tmp_path):
        with pytest.raises(SettingsError, match=f"^{variable}='{path}': a file that exists was expected$"):
            read(Settings, {**environment, variable: str(path)})


@pytest.mark.parametrize("variable", [CA, CERT, KEY])
def test_a_file_without_its_content_is_named(environment: dict[str, str], variable: str):
    Path(environment[variable]).write_text("no PEM")
    with pytest.raises(SettingsError, match=f"^{variable}='{environment[variable]}': it has no "):
        load_tls(read(Settings, environment))


def test_a_key_of_another_certificate_is_named(environment: dict[str, str], tmp_path: Path):
    other = Authority(tmp_path / "other").client_files()
    with pytest.raises(SettingsError, match=f"^{KEY}='{other.key}': it is not the key of the certificate in "):
        load_tls(replace(read(Settings, environment), embedder_client_key_file=str(other.key)))
