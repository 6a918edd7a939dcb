"""No secret leaves a service: not in logs, metrics, replies, command lines or the files of the data directory."""

import itertools
from pathlib import Path

from tests.support.processes import ServiceProcess
from tests.support.tls_stack import TlsStack

TOKEN, ADMIN = "s3cret-shared-token-1f0e", "s3cret-operators-token-7c2d"
WRONG, QUERY, COOKIE = "s3cret-wrong-token-9a4b", "s3cret-in-the-query-55aa", "s3cret-in-a-cookie-e1e1"

HEADERS = {"authorization": f"Bearer {WRONG}", "cookie": f"session={COOKIE}", "x-api-key": COOKIE}


def all_command_lines(service: ServiceProcess) -> bytes:
    """Return the command lines of a process and of its children."""
    found = Path(f"/proc/{service.pid}/cmdline").read_bytes()
    for task in Path(f"/proc/{service.pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += Path(f"/proc/{child}/cmdline").read_bytes()
    return found


def test_no_secret_is_in_logs_metrics_replies_or_command_lines(tmp_path: Path, model_dir: Path) -> None:
    with TlsStack(tmp_path, model_dir, token=TOKEN, admin_token=ADMIN) as stack:
        keys = [line for file in stack.key_files for line in file.read_text().splitlines() if "-----" not in line]
        assert keys
        stack.ingest_and_wait("a", "a cat")
        replies = [
            client.request(method, f"{path}{query}", headers=headers, content=body)
            for query in (f"?token={QUERY}", "")
            for client, paths in (
                (
                    stack.http,
                    ["/", "/healthz", "/readyz", "/metrics", "/v1/search", "/v1/ingest", "/v1/admin/traffic", "/x"],
                ),
                (stack.at_embedder, ["/embed", "/readyz", "/metrics", "/x"]),
            )
            for path, (method, headers, body) in itertools.product(
                paths,
                [
                    ("GET", HEADERS, b""),
                    ("POST", HEADERS, b""),
                    ("POST", {**HEADERS, "content-type": "application/json"}, b'{"query": "a cat"}'),
                    ("POST", {**HEADERS, "content-type": "application/json"}, b"{"),
                    ("POST", {**HEADERS, "content-type": "text/x"}, b"{}"),
                    ("PUT", {**HEADERS, "traceparent": f"00-{COOKIE}"}, b""),
                    ("GET", {**HEADERS, "x-request-id": "an-id", "tracestate": "a=b"}, b""),
                ],
            )
        ]
        replies.append(stack.http.get("/v1/admin/traffic", headers={"authorization": f"Bearer {ADMIN}"}))
        assert replies[-1].status_code == 200
        assert {reply.status_code for reply in replies} >= {200, 400, 401, 404, 405, 415}
        stack.token_file.write_text(f"{TOKEN}\n{WRONG}\n")
        stack.ingest_and_wait("b", "a dog")
        stack.token_file.write_text("bad\n")
        shown = {
            "replies": b"".join(reply.content + str(reply.headers.raw).encode() for reply in replies),
            "metrics": stack.http.get("/metrics").content + stack.at_embedder.get("/metrics").content,
            "command lines": all_command_lines(stack.gateway) + all_command_lines(stack.embedder),
        }
    shown["logs"] = (stack.gateway.log_text() + stack.embedder.log_text()).encode()
    shown["data"] = b"".join(file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file())
    assert b"starting" in shown["logs"]
    assert b"/v1/admin/traffic" in shown["logs"]
    for place, text in shown.items():
        for secret in (TOKEN, ADMIN, WRONG, QUERY, COOKIE, *keys):
            assert secret.encode() not in text, f"{secret} is in the {place}"
