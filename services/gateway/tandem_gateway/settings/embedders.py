"""Where the embedders are, and how the gateway reaches them."""

from dataclasses import dataclass

from tandem_gateway.settings.parsers import urls
from tandem_runtime.settings import readable_file, seconds, setting
from tandem_runtime.tokens import parse_tokens


@dataclass(frozen=True, kw_only=True)
class EmbedderOptions:
    """Where the embedders are, and how the gateway reaches them."""

    embedder_url: str = setting(
        "EMBEDDER_URL",
        "http://127.0.0.1:8080",
        urls,
        "URL of the embedders, or several URLs separated by commas. A host name stands for all of its addresses: "
        "its IPv4 addresses, or its IPv6 addresses if it has no IPv4 address",
    )
    resolve_seconds: float = setting(
        "RESOLVE_SECONDS",
        5.0,
        seconds(0.05, 3600),
        "Seconds between two DNS lookups of a host name, and the longest wait for a lookup. If a lookup fails, "
        "the gateway keeps the last known addresses. Lower it to find new embedders sooner; raise it to spare the"
        " DNS server",
    )
    embedder_token: tuple[str, ...] = setting(
        "EMBEDDER_TOKEN",
        (),
        parse_tokens,
        "Bearer token that the gateway sends to the embedders, for those that demand one (the same setting on their "
        "side). Of several, separated by commas, it sends the first. Prefer TANDEM_EMBEDDER_TOKEN_FILE. It has no "
        "flag: other users of the machine can see command lines",
        secret=True,
        flag=False,
    )
    embedder_token_file: str = setting(
        "EMBEDDER_TOKEN_FILE",
        "",
        readable_file,
        "File whose first line is that token, instead of TANDEM_EMBEDDER_TOKEN. The gateway reads a changed file "
        "within 5 seconds. If the new content cannot be used, the previous token stays",
    )
    embedder_ca_file: str = setting(
        "EMBEDDER_CA_FILE",
        "",
        readable_file,
        "PEM file with the certificates of the CAs that sign the embedders' certificates, for URLs that begin with "
        "https://. If it is empty, the gateway trusts the system's CAs. The gateway reads a changed file within "
        "5 seconds; new connections then use it",
    )
    embedder_client_cert_file: str = setting(
        "EMBEDDER_CLIENT_CERT_FILE",
        "",
        readable_file,
        "PEM file with the certificate that the gateway shows to embedders (mutual TLS), followed by intermediate "
        "certificates. It needs TANDEM_EMBEDDER_CLIENT_KEY_FILE. Read again like TANDEM_EMBEDDER_CA_FILE",
    )
    embedder_client_key_file: str = setting(
        "EMBEDDER_CLIENT_KEY_FILE",
        "",
        readable_file,
        "PEM file with the private key of TANDEM_EMBEDDER_CLIENT_CERT_FILE, without a passphrase. Only the gateway's "
        "user should be able to read it",
    )
    embed_attempt: float = setting(
        "EMBED_ATTEMPT_SECONDS",
        2.0,
        seconds(0.05, 300),
        "Seconds to wait for one embedder before retrying the query on another, at most half of the remaining "
        "deadline. It applies only while another embedder is available. Lower it to lose less time to a hung "
        "embedder; raise it if busy embedders are abandoned too early",
    )
