"""Builds the authentication by JSON Web Tokens, if it is on."""

import ssl
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tandem_gateway.access.token_claims import ClaimRules
from tandem_gateway.access.tokens import TokenAuthentication
from tandem_gateway.metrics.gateway import Metrics
from tandem_gateway.records.access import ROLES, Role
from tandem_gateway.settings import Settings
from tandem_gateway.settings.token_parsers import secret_in_file
from tandem_runtime.settings import SettingsError

if TYPE_CHECKING:
    from tandem_gateway.adapters.jwt.key_keeper import KeyKeeper

_HASH_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}


def build_tokens(settings: Settings, metrics: Metrics) -> TokenAuthentication | None:
    """Build the authentication by JWTs; None if it is off. Reads files.

    Args:
        settings: the gateway's settings.
        metrics: of the keys.

    Raises:
        SettingsError: it is on, and its packages are not installed, or a file cannot be used.
    """
    if not settings.jwt_on:
        return None
    for package in ("jwt", "cryptography"):
        if find_spec(package) is None:
            raise SettingsError(
                f"TANDEM_JWT_JWKS, TANDEM_JWT_SECRET: the package {package} is not installed; install "
                "tandem-services[gateway,jwt], or leave out the settings of JWT"
            )
    # Only if JWT is on: these modules take 10 to 15 MiB.
    from tandem_gateway.adapters.jwt.keys import secret_key  # noqa: PLC0415
    from tandem_gateway.adapters.jwt.verifier import FixedKeys, Issuer, JwtVerifier, Keys  # noqa: PLC0415

    algorithms = frozenset(settings.jwt_accepted)
    issuer = Issuer(settings.jwt_issuer, settings.jwt_audience, algorithms, settings.jwt_leeway)
    keys: Keys
    keys = _jwks(settings, metrics) if settings.jwt_jwks else FixedKeys(secret_key(_secret(settings), algorithms))
    return TokenAuthentication(JwtVerifier(issuer, keys), rules_of(settings))


def _jwks(settings: Settings, metrics: Metrics) -> "KeyKeeper":
    from tandem_gateway.adapters.jwt.key_keeper import JwksUnavailable, KeyKeeper, RefreshPolicy  # noqa: PLC0415
    from tandem_gateway.adapters.jwt.keys import InvalidKeySet  # noqa: PLC0415
    from tandem_gateway.adapters.jwt.sources import JwksFile, JwksUrl  # noqa: PLC0415

    policy = RefreshPolicy(
        settings.jwt_jwks_refresh, settings.jwt_jwks_interval, settings.jwt_jwks_max_age, settings.jwt_jwks_timeout
    )

    def observe(good: bool | None, keys: int) -> None:
        metrics.access.jwks_looked_at(settings.jwt_issuer, good, keys)

    where = settings.jwt_jwks
    if "://" not in where:
        file = JwksFile(Path(where))
        keeper = KeyKeeper(file, settings.jwt_accepted, policy, observe)
        try:
            keeper.adopt(file.read_now())  # a mistake in the setting shows now
        except (JwksUnavailable, InvalidKeySet) as error:
            raise SettingsError(f"TANDEM_JWT_JWKS={where!r}: {error}") from None
        return keeper
    try:
        tls = ssl.create_default_context(cafile=settings.jwt_jwks_ca_file or None)
    except (OSError, ValueError):
        raise SettingsError(
            f"TANDEM_JWT_JWKS_CA_FILE={settings.jwt_jwks_ca_file!r}: certificates in PEM were expected"
        ) from None
    source = JwksUrl(where, tls=tls, plain_http=settings.jwt_jwks_plain_http, timeout=settings.jwt_jwks_timeout)
    return KeyKeeper(source, settings.jwt_accepted, policy, observe)


def _secret(settings: Settings) -> bytes:
    """Return the secret.

    Raises:
        SettingsError: its file cannot be used, or it is too short for an algorithm.
    """
    variable = "TANDEM_JWT_SECRET_FILE" if settings.jwt_secret_file else "TANDEM_JWT_SECRET"
    try:
        secret = (
            secret_in_file(Path(settings.jwt_secret_file)) if settings.jwt_secret_file else settings.jwt_secret.encode()
        )
    except OSError as error:
        raise SettingsError(f"{variable}={settings.jwt_secret_file!r}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{variable}={settings.jwt_secret_file!r}: {error}") from None
    for algorithm in settings.jwt_accepted:
        if len(secret) < _HASH_BYTES[algorithm]:
            raise SettingsError(f"{variable}: {algorithm} needs at least {_HASH_BYTES[algorithm]} bytes")
    return secret


def rules_of(settings: Settings) -> ClaimRules:
    """Return how the settings say that claims are read."""
    by_name: dict[str, Role] = {role: role for role in ROLES}
    return ClaimRules(
        role=settings.jwt_role_claim,
        roles={name: by_name[role] for name, role in settings.jwt_roles} or None,
        default_role=by_name.get(settings.jwt_default_role),
        collections=settings.jwt_collections_claim,
        default_collections=settings.jwt_default_collections,
        filter=settings.jwt_filter_claim,
        filter_required=settings.jwt_filter_required,
    )
