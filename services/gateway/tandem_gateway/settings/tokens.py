"""Which JSON Web Tokens (JWT) are accepted, and what their claims allow."""

from dataclasses import dataclass
from typing import Final

from tandem_gateway.settings.token_parsers import algorithms, audiences, globs, is_local, jwks, role_names, secret
from tandem_runtime.settings import boolean, one_of, readable_file, seconds, setting

SYMMETRIC: Final = ("HS256", "HS384", "HS512")
ASYMMETRIC: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


@dataclass(frozen=True, kw_only=True)
class TokenOptions:
    """JWTs of one issuer as a second way to authenticate; see docs/access.md."""

    jwt_jwks: str = setting(
        "JWT_JWKS",
        "",
        jwks,
        "JSON Web Key Set (JWKS) whose public keys verify JWTs: a file, or a URL that begins with https://. It "
        "switches access control on, and needs the extra jwt",
    )
    jwt_secret: str = setting(
        "JWT_SECRET",
        "",
        secret,
        "Secret of at least 32 bytes that verifies JWTs, instead of TANDEM_JWT_JWKS. It switches access control on. "
        "Whoever has it can make tokens. Prefer TANDEM_JWT_SECRET_FILE",
        secret=True,
        flag=False,
    )
    jwt_secret_file: str = setting(
        "JWT_SECRET_FILE",
        "",
        readable_file,
        "File with such a secret, instead of TANDEM_JWT_SECRET. It is read at the start",
    )
    jwt_issuer: str = setting("JWT_ISSUER", "", str, "The claim iss that a JWT must have. It is needed for JWT")
    jwt_audience: tuple[str, ...] = setting(
        "JWT_AUDIENCE",
        (),
        audiences,
        "The claim aud that a JWT must have: one of these, separated by commas. It is needed for JWT",
    )
    jwt_algorithms: tuple[str, ...] = setting(
        "JWT_ALGORITHMS",
        (),
        algorithms(*SYMMETRIC, *ASYMMETRIC),
        "Algorithms that a JWT may have, separated by commas. If it is empty: RS256 and ES256 with TANDEM_JWT_JWKS, "
        "and HS256 with a secret",
    )
    jwt_leeway: float = setting(
        "JWT_LEEWAY_SECONDS",
        30.0,
        seconds(0, 600),
        "Seconds by which the clocks of the issuer and the gateway may differ. A JWT counts this much longer",
    )
    jwt_role_claim: str = setting(
        "JWT_ROLE_CLAIM",
        "tandem_role",
        str,
        "Claim with the roles of a JWT; with dots for a nested one, such as realm_access.roles",
    )
    jwt_roles: tuple[tuple[str, str], ...] = setting(
        "JWT_ROLES",
        (),
        role_names,
        "What the values of that claim mean, as NAME=ROLE with commas between, such as writers=ingest. Other values "
        "are then ignored. If it is empty, the claim has search, ingest or admin",
    )
    jwt_default_role: str = setting(
        "JWT_DEFAULT_ROLE",
        "",
        one_of("", "search", "ingest", "admin"),
        "Role of a JWT whose claim has none. If it is empty, such a JWT gets 403",
    )
    jwt_collections_claim: str = setting(
        "JWT_COLLECTIONS_CLAIM", "tandem_collections", str, "Claim with the globs of the collections that a JWT may use"
    )
    jwt_default_collections: tuple[str, ...] = setting(
        "JWT_DEFAULT_COLLECTIONS",
        (),
        globs,
        "Globs, separated by commas, of a JWT without that claim; * allows every collection. If it is empty, such a "
        "JWT gets 403",
    )
    jwt_filter_claim: str = setting(
        "JWT_FILTER_CLAIM",
        "tandem_filter",
        str,
        "Claim with a filter: an object of metadata fields and their values. The JWT is for the documents that have "
        "them, as an API key with a filter is",
    )
    jwt_filter_required: bool = setting(
        "JWT_FILTER_REQUIRED",
        False,
        boolean,
        "Whether a JWT without that claim gets 403. Set it where tenants share collections: without it, a JWT whose "
        "claim is missing is for all documents of its collections",
    )
    jwt_jwks_ca_file: str = setting(
        "JWT_JWKS_CA_FILE",
        "",
        readable_file,
        "File with the certificates, in PEM, that the server of the JWKS is checked with, instead of the system's",
    )
    jwt_jwks_plain_http: bool = setting(
        "JWT_JWKS_PLAIN_HTTP",
        False,
        boolean,
        "Whether the JWKS may come by http:// from another machine. Whoever changes the replies on the way can then "
        "make tokens",
    )
    jwt_jwks_timeout: float = setting(
        "JWT_JWKS_TIMEOUT_SECONDS",
        5.0,
        seconds(0.1, 60),
        "Deadline of a fetch of the JWKS. A request whose JWT names an unknown key waits up to this long",
    )
    jwt_jwks_refresh: float = setting(
        "JWT_JWKS_REFRESH_SECONDS",
        300.0,
        seconds(1, 86_400),
        "Seconds between two fetches of the JWKS. A key that the issuer withdraws counts up to this long",
    )
    jwt_jwks_interval: float = setting(
        "JWT_JWKS_MIN_INTERVAL_SECONDS",
        10.0,
        seconds(0.1, 3600),
        "Least seconds between two fetches for JWTs with unknown keys, and after a failed fetch",
    )
    jwt_jwks_max_age: float = setting(
        "JWT_JWKS_MAX_AGE_SECONDS",
        86_400.0,
        seconds(1, 30 * 86_400),
        "Seconds for which the keys of the last good fetch count while fetches fail. Raise it to bridge a longer "
        "outage of the issuer; lower it if a withdrawn key must end sooner",
    )

    @property
    def jwt_on(self) -> bool:
        """Whether JWTs are accepted."""
        return bool(self.jwt_jwks or self.jwt_secret or self.jwt_secret_file)

    @property
    def jwt_accepted(self) -> tuple[str, ...]:
        """The algorithms that a JWT may have."""
        return self.jwt_algorithms or (("RS256", "ES256") if self.jwt_jwks else ("HS256",))

    def check_tokens(self) -> None:
        """Check the rules across these settings.

        Raises:
            ValueError: names the variables and the rule.
        """
        if sum(map(bool, (self.jwt_jwks, self.jwt_secret, self.jwt_secret_file))) > 1:
            raise ValueError(
                "TANDEM_JWT_JWKS, TANDEM_JWT_SECRET and TANDEM_JWT_SECRET_FILE exclude each other: set one of them"
            )
        if not self.jwt_on:
            in_vain = {
                "TANDEM_JWT_ISSUER": self.jwt_issuer,
                "TANDEM_JWT_AUDIENCE": self.jwt_audience,
                "TANDEM_JWT_ALGORITHMS": self.jwt_algorithms,
                "TANDEM_JWT_ROLES": self.jwt_roles,
                "TANDEM_JWT_DEFAULT_ROLE": self.jwt_default_role,
                "TANDEM_JWT_DEFAULT_COLLECTIONS": self.jwt_default_collections,
                "TANDEM_JWT_FILTER_REQUIRED": self.jwt_filter_required,
                "TANDEM_JWT_JWKS_CA_FILE": self.jwt_jwks_ca_file,
            }
            if names := [name for name, value in in_vain.items() if value]:
                raise ValueError(
                    f"{', '.join(names)}: TANDEM_JWT_JWKS or a secret is needed too; without it no JWT is accepted"
                )
            return
        if not (self.jwt_issuer and self.jwt_audience):
            raise ValueError(
                "JWTs need TANDEM_JWT_ISSUER and TANDEM_JWT_AUDIENCE: without them, tokens for other services work here"
            )
        fitting = ASYMMETRIC if self.jwt_jwks else SYMMETRIC
        for algorithm in self.jwt_accepted:
            if algorithm not in fitting:
                kind = "TANDEM_JWT_JWKS" if self.jwt_jwks else "a secret"
                raise ValueError(
                    f"TANDEM_JWT_ALGORITHMS: {algorithm} does not fit {kind}, which needs {', '.join(fitting)}"
                )
        if self.jwt_jwks.startswith("http://") and not self.jwt_jwks_plain_http and not is_local(self.jwt_jwks):
            raise ValueError(
                "TANDEM_JWT_JWKS: a URL that begins with https:// was expected, or TANDEM_JWT_JWKS_PLAIN_HTTP=true"
            )
        if self.jwt_jwks_ca_file and not self.jwt_jwks.startswith("https://"):
            raise ValueError("TANDEM_JWT_JWKS_CA_FILE needs a URL that begins with https:// in TANDEM_JWT_JWKS")
        if self.jwt_jwks_max_age < self.jwt_jwks_refresh + self.jwt_jwks_timeout:
            raise ValueError(
                "TANDEM_JWT_JWKS_MAX_AGE_SECONDS must be at least TANDEM_JWT_JWKS_REFRESH_SECONDS and "
                "TANDEM_JWT_JWKS_TIMEOUT_SECONDS together"
            )
