"""An issuer of JSON Web Tokens for tests: keys of every kind, real tokens, and a JWKS server that misbehaves."""

import contextlib
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.test/realms/search"
AUDIENCE = "tandem"
SECRET = "a secret of the tests that is long enough for HS512, sixty-four bytes"
ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}

_made: dict[str, list[Any]] = {}


def private_key(algorithm: str, number: int = 0) -> Any:
    """Return the private key of a number for an algorithm; made once in a process."""
    kind = "RSA" if algorithm[:2] in ("RS", "PS") else algorithm
    keys = _made.setdefault(kind, [])
    while len(keys) <= number:
        if kind == "RSA":
            keys.append(rsa.generate_private_key(65537, 2048))
        elif kind == "EdDSA":
            keys.append(ed25519.Ed25519PrivateKey.generate())
        else:
            keys.append(ec.generate_private_key(_CURVES[kind]()))
    return keys[number]


def public_pem(key: Any) -> bytes:
    """Return a public key in PEM."""
    pem: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem


def jwk(key: Any, kid: str | None = None, **members: Any) -> dict[str, Any]:
    """Return the public key of a private key as a member of a JWKS."""
    of = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    kind: Any = next((each for base, each in of.items() if isinstance(key, base)), OKPAlgorithm)
    found: dict[str, Any] = kind.to_jwk(key.public_key(), as_dict=True)
    found.pop("key_ops", None)
    return {**found, **({} if kid is None else {"kid": kid}), **members}


def key_set(*members: dict[str, Any]) -> bytes:
    """Return a JWKS."""
    return json.dumps({"keys": members}).encode()


def claims(**changed: Any) -> dict[str, Any]:
    """Return the claims of a valid token with changes; None leaves a claim out."""
    now = int(time.time())
    wanted = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "someone",
        "iat": now,
        "exp": now + 3600,
        "tandem_role": "search",
        "tandem_collections": ["*"],
        **changed,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def token(
    algorithm: str = "RS256", *, number: int = 0, kid: str | None = "first", header: Any = None, **changed: Any
) -> bytes:
    """Return a token with the claims of ``claims``; HS tokens are signed with ``SECRET``."""
    key = SECRET if algorithm.startswith("HS") else private_key(algorithm, number)
    headers = {**({} if kid is None else {"kid": kid}), **(header or {})}
    return jwt.encode(claims(**changed), key, algorithm, headers=headers).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Without waiting for the threads of requests that hang.
    block_on_close = False


class JwksServer:
    """Serves a JWKS on a free loopback port while the context is open.

    Attributes:
        content: the body of a reply.
        status: its status.
        headers: further headers.
        fetches: number of requests so far.
    """

    def __init__(self, content: bytes = b"", tls: ssl.SSLContext | None = None) -> None:
        self.content = content
        self.status = 200
        self.headers: dict[str, str] = {}
        self.fetches = 0
        self.released = threading.Event()
        self.released.set()
        self.asked = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.fetches += 1
                owner.asked.set()
                owner.released.wait(60)
                with contextlib.suppress(OSError):
                    self.send_response(owner.status)
                    for name, value in owner.headers.items():
                        self.send_header(name, value)
                    self.send_header("content-type", "application/json")
                    self.end_headers()
                    self.wfile.write(owner.content)

            def log_message(self, format: str, *arguments: object) -> None:
                """Write nothing."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://{'127.0.0.1' if tls is None else 'localhost'}:{self._server.server_port}/jwks.json"

    def hang(self) -> None:
        """Answer no request until ``release``."""
        self.asked.clear()
        self.released.clear()

    def release(self) -> None:
        """Answer the requests that hang."""
        self.released.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
