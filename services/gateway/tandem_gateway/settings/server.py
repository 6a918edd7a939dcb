"""How the gateway listens, logs, authorises operators and stops."""

from dataclasses import dataclass

from tandem_gateway.settings.parsers import origins, token
from tandem_runtime.settings import boolean, names, one_of, readable_file, seconds, setting, whole_number


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How the gateway listens, logs, authorises operators and stops."""

    host: str = setting("GATEWAY_HOST", "127.0.0.1", str, "Address to listen on")
    port: int = setting("GATEWAY_PORT", 8000, whole_number(0, 65535), "Port to listen on")
    admin_token: str = setting(
        "ADMIN_TOKEN",
        "",
        token,
        "Bearer token for /v1/admin. Without a token that API is off. Prefer the variable: other users of the "
        "machine can see command-line flags",
        secret=True,
    )
    allowed_hosts: tuple[str, ...] = setting(
        "ALLOWED_HOSTS",
        (),
        names,
        "Host names that the Host header may have, separated by commas. Loopback names are always allowed. If it "
        "is empty, a gateway on a loopback address accepts loopback names only, and a gateway on any other "
        "address accepts every name. It protects against DNS rebinding: set it wherever browsers can reach the "
        "gateway",
    )
    cors_origins: tuple[str, ...] = setting(
        "CORS_ORIGINS",
        (),
        origins,
        "Origins whose web pages may call the gateway and read its replies, such as https://app.example, separated by "
        "commas; * allows every origin. If it is empty, no page of another origin can. Name origins rather than "
        "set *: with *, every page that a user opens can use what the gateway allows without a key",
    )
    tls_cert_file: str = setting(
        "TLS_CERT_FILE",
        "",
        readable_file,
        "PEM file with the gateway's certificate, followed by intermediate certificates. With it, the port serves "
        "https only, TLS 1.2 or newer. It needs TANDEM_TLS_KEY_FILE. The gateway reads changed files within "
        "5 seconds; new connections then use them. If they cannot be used, the previous certificate stays",
    )
    tls_key_file: str = setting(
        "TLS_KEY_FILE",
        "",
        readable_file,
        "PEM file with the private key of TANDEM_TLS_CERT_FILE, without a passphrase. Only the gateway's "
        "user should be able to read it",
    )
    tls_client_ca_file: str = setting(
        "TLS_CLIENT_CA_FILE",
        "",
        readable_file,
        "PEM file with the CAs that sign the clients' certificates (mutual TLS). With it, every client must show "
        "such a certificate, probes too. Read again like TANDEM_TLS_CERT_FILE",
    )
    max_connections: int = setting(
        "MAX_CONNECTIONS",
        2048,
        whole_number(1, 1_000_000),
        "Maximum number of open connections. Beyond it a new connection replaces the one that has been idle "
        "longest, or gets 503 if none is idle. Headers and small bodies take up to 128 KiB per connection. Raise "
        "it for many clients, but stay below the limit of open files; lower it to save memory",
    )
    shutdown_timeout: float = setting(
        "SHUTDOWN_TIMEOUT_SECONDS",
        20.0,
        seconds(0.1, 600),
        "Seconds that requests in flight have after SIGTERM. Raise it for long requests, but stay below the "
        "orchestrator's grace period; lower it for a faster stop",
    )
    log_level: str = setting(
        "LOG_LEVEL", "info", one_of("debug", "info", "warning", "error"), "Lowest level that is logged"
    )
    access_log: bool = setting("ACCESS_LOG", True, boolean, "Log one line per request")
    tracing: bool = setting(
        "TRACING",
        False,
        boolean,
        "Record spans of requests and send them to an OpenTelemetry collector; OTEL_EXPORTER_OTLP_ENDPOINT and the "
        "variables beside it say where to and how many. It needs the extra tracing, and 20 MiB of memory",
    )
    mcp: bool = setting(
        "MCP",
        False,
        boolean,
        "Serve the tools search, fetch and list_collections to language models at /mcp, by the Model Context Protocol. "
        "It needs the extra mcp, and 40 MiB of memory",
    )
    console: bool = setting(
        "CONSOLE",
        True,
        boolean,
        "Serve the console, a page for browsers, at /. Its files are public and have no data; the page asks for a key "
        "if the gateway has keys",
    )
