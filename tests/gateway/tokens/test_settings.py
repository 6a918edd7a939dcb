"""Settings of JWT that would open the door are refused at the start."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tandem_gateway.access.token_claims import principal_of_claims
from tandem_gateway.app import make_app
from tandem_gateway.composition.tokens import rules_of
from tandem_gateway.settings import Settings
from tandem_runtime.settings import SettingsError, describe, read
from tests.docs.pages import REPOSITORY
from tests.support.issuing import AUDIENCE, ISSUER, SECRET, jwk, key_set, private_key

BASE = {"TANDEM_JWT_ISSUER": ISSUER, "TANDEM_JWT_AUDIENCE": AUDIENCE}
URL = "https://issuer.test/keys"


def settings(environment: Mapping[str, str]) -> Settings:
    return read(Settings, environment)


def test_without_settings_jwt_is_off():
    assert not settings({}).jwt_on


def test_a_secret_or_a_set_of_keys_switches_it_on(tmp_path: Path):
    file = tmp_path / "file"
    file.write_text(SECRET)
    for given in ({"SECRET": SECRET}, {"SECRET_FILE": str(file)}):
        found = settings({**BASE, **{f"TANDEM_JWT_{name}": value for name, value in given.items()}})
        assert (found.jwt_on, found.jwt_accepted) == (True, ("HS256",))
    for given in (URL, "http://127.0.0.1:80/a?b=c", "http://localhost/", str(file)):
        found = settings({**BASE, "TANDEM_JWT_JWKS": given})
        assert (found.jwt_on, found.jwt_accepted) == (True, ("RS256", "ES256"))


def test_the_maps_of_claims(tmp_path: Path):
    found = settings(
        {
            **BASE,
            "TANDEM_JWT_JWKS": URL,
            "TANDEM_JWT_ROLES": "search-admins=admin, a=b=ingest",
            "TANDEM_JWT_DEFAULT_COLLECTIONS": "a-*, b",
            "TANDEM_JWT_AUDIENCE": "a, b,a",
        }
    )
    assert found.jwt_roles == (("search-admins", "admin"), ("a=b", "ingest"))
    assert found.jwt_default_collections == ("a-*", "b")
    assert found.jwt_audience == ("a", "b")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"SECRET": "short"}, r"TANDEM_JWT_SECRET=\.\.\.: 32 to 1024 bytes"),
        ({"SECRET": SECRET, "JWKS": URL}, "exclude each other"),
        ({"SECRET": SECRET, "ISSUER": ""}, "TANDEM_JWT_ISSUER and TANDEM_JWT_AUDIENCE"),
        ({"SECRET": SECRET, "AUDIENCE": ""}, "TANDEM_JWT_ISSUER and TANDEM_JWT_AUDIENCE"),
        ({}, "TANDEM_JWT_ISSUER, TANDEM_JWT_AUDIENCE: TANDEM_JWT_JWKS or a secret is needed"),
        ({"ISSUER": "", "AUDIENCE": "", "ROLES": "writers=ingest"}, "TANDEM_JWT_ROLES: TANDEM_JWT_JWKS or a secret"),
        ({"ISSUER": "", "AUDIENCE": "", "FILTER_REQUIRED": "true"}, "TANDEM_JWT_FILTER_REQUIRED: TANDEM_JWT_JWKS"),
        ({"SECRET": SECRET, "ALGORITHMS": "RS256"}, "RS256 does not fit a secret"),
        ({"JWKS": URL, "ALGORITHMS": "RS256,HS256"}, "HS256 does not fit TANDEM_JWT_JWKS"),
        ({"JWKS": URL, "ALGORITHMS": "none"}, "TANDEM_JWT_ALGORITHMS"),
        ({"JWKS": URL, "ALGORITHMS": "ES256K"}, "TANDEM_JWT_ALGORITHMS"),
        ({"JWKS": "http://issuer.test/keys"}, "https://"),
        ({"JWKS": "ftp://issuer.test/keys"}, "https://"),
        ({"JWKS": "https://me:secret@issuer.test/"}, "no user name"),
        ({"JWKS": "/nowhere"}, "a file that exists"),
        ({"JWKS": "http://127.0.0.1/", "JWKS_CA_FILE": __file__}, "TANDEM_JWT_JWKS_CA_FILE needs"),
        ({"JWKS": URL, "ROLES": "a=root"}, "TANDEM_JWT_ROLES"),
        ({"JWKS": URL, "ROLES": "a=admin,a=search"}, "each name was expected once"),
        ({"JWKS": URL, "ROLES": "=admin"}, "TANDEM_JWT_ROLES"),
        ({"JWKS": URL, "DEFAULT_ROLE": "root"}, "TANDEM_JWT_DEFAULT_ROLE"),
        ({"JWKS": URL, "DEFAULT_COLLECTIONS": "a/b"}, "TANDEM_JWT_DEFAULT_COLLECTIONS"),
        ({"JWKS": URL, "DEFAULT_COLLECTIONS": "*****"}, "TANDEM_JWT_DEFAULT_COLLECTIONS"),
        ({"JWKS": URL, "JWKS_MAX_AGE_SECONDS": "100"}, "TANDEM_JWT_JWKS_MAX_AGE_SECONDS must be at least"),
    ],
)
def test_a_mistake_ends_the_start(given: Mapping[str, str], message: str):
    with pytest.raises(SettingsError, match=message):
        settings({**BASE, **{f"TANDEM_JWT_{name}": value for name, value in given.items()}})


def test_the_operator_may_allow_http():
    given = {**BASE, "TANDEM_JWT_JWKS": "http://issuer.test/keys", "TANDEM_JWT_JWKS_PLAIN_HTTP": "true"}
    assert settings(given).jwt_on


def test_the_secret_is_not_shown():
    found = settings({**BASE, "TANDEM_JWT_SECRET": SECRET})
    assert SECRET not in repr(found)
    assert SECRET not in str(describe(found))


def refused(tmp_path: Path, **options: object) -> str:
    with pytest.raises(SettingsError) as caught:
        make_app(Settings(data_dir=tmp_path, jwt_issuer=ISSUER, jwt_audience=(AUDIENCE,), **options), lambda: None)
    return str(caught.value)


def test_a_file_that_cannot_be_used_ends_the_start(tmp_path: Path):
    file = tmp_path / "file"
    file.write_text("<html>")
    assert "it is not JSON" in refused(tmp_path, jwt_jwks=str(file))
    file.write_bytes(key_set(jwk(private_key("EdDSA"), "a")))
    assert "no public key for ES256, RS256" in refused(tmp_path, jwt_jwks=str(file))
    file.write_text("short")
    assert "32 to 1024 bytes" in refused(tmp_path, jwt_secret_file=str(file))
    assert "short" not in refused(tmp_path, jwt_secret_file=str(file))
    file.write_text("x" * 40)
    options = {"jwt_secret_file": str(file), "jwt_algorithms": ("HS512",)}
    assert "HS512 needs at least 64 bytes" in refused(tmp_path, **options)
    assert "in PEM" in refused(tmp_path, jwt_jwks=URL, jwt_jwks_ca_file=str(file))


@pytest.mark.parametrize("package", ["jwt", "cryptography"])
def test_without_its_packages_the_settings_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert f"the package {package} is not installed; install tandem-services[gateway,jwt]" in refused(
        tmp_path, jwt_secret=SECRET
    )
    make_app(Settings(data_dir=tmp_path), lambda: None)


def test_without_the_settings_its_packages_are_not_loaded(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from tandem_gateway.app import make_app
from tandem_gateway.settings import Settings
make_app(Settings(data_dir=Path({str(tmp_path)!r})), lambda: None)
print(sorted({{"jwt", "cryptography", "httpx2"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60, env=dict(os.environ)
    )
    assert done.stdout == "[]\n"


def test_jwt_protects_an_address_that_others_can_reach(tmp_path: Path) -> None:
    options = {"data_dir": tmp_path, "host": "0.0.0.0"}
    with pytest.raises(SettingsError, match="TANDEM_JWT_JWKS"):
        make_app(Settings(**options), lambda: None)
    _, gateway = make_app(
        Settings(**options, jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience=(AUDIENCE,)), lambda: None
    )
    assert gateway.access is not None
    assert gateway.access.on
    gateway.access.close()
    # Without the settings of JWT the gateway is still closed.
    _, gateway = make_app(Settings(data_dir=tmp_path), lambda: None)
    assert gateway.access is not None
    assert gateway.access.on
    gateway.access.close()


def test_the_example_of_the_documentation_is_true() -> None:
    page = (REPOSITORY / "docs" / "access.md").read_text()
    lines = re.findall(r"^    (TANDEM_JWT_\w+)=(.*)$", page, re.MULTILINE)
    found = settings(dict(lines))
    block = re.search(r"^    \{\n.*?^    \}$", page, re.MULTILINE | re.DOTALL)
    assert block is not None
    shown = json.loads(block[0])
    principal = principal_of_claims(shown, rules_of(found))
    assert (principal.role, principal.collections) == ("ingest", ("team-7", "team-7-archive-*"))
    assert shown["iss"] == found.jwt_issuer
    assert set(shown["aud"]) & set(found.jwt_audience)
    del shown["tandem_collections"]
    assert principal_of_claims(shown, rules_of(found)).collections == ("shared-*",)
