"""Each write and each denial of every route has exactly one line in the audit log, and nothing else has one."""

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_gateway.access.audit import READS, is_write, outcome_of, short
from tandem_gateway.access.principal import includes
from tandem_gateway.app import make_app
from tandem_gateway.http.exact_paths import ExactPaths
from tandem_gateway.records.access import ROLES
from tandem_gateway.settings import Settings
from tandem_runtime.settings import SettingsError
from tests.gateway.access.test_routes import CASES, Asked, Case, gateway
from tests.gateway.http.asking import LIMITS
from tests.support.fakes import eventually
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.openapi import described_app
from tests.support.serving import serving

OPERATIONS = {
    (method, route.template): operation
    for route in ExactPaths(described_app(LIMITS).routes)
    for method, operation in route.operations.items()
}
MARK = Case("admin", "/v1/collections/absent")


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def is_marked(lines: list[dict[str, Any]]) -> bool:
    return any(line["request_id"] == "the-mark" for line in lines)


async def audited(asked: Asked, file: Path) -> dict[str, list[dict[str, Any]]]:
    """Return request id → lines, once all requests so far are written."""
    asked.request_id = "the-mark"
    await asked.send(MARK, "DELETE", "", "wrong")
    asked.request_id = None
    found: dict[str, list[dict[str, Any]]] = {}
    for line in await eventually(lambda: asyncio.to_thread(lines_of, file), is_marked):
        found.setdefault(line["request_id"], []).append(line)
    return found


def test_every_operation_has_a_name_and_those_that_read_exist():
    assert "None" not in OPERATIONS.values()
    assert len(set(OPERATIONS.values())) == len(OPERATIONS)
    assert {*OPERATIONS.values(), "mcp"} >= READS
    for (method, template), operation in OPERATIONS.items():
        if method not in ("GET", "PUT", "PATCH", "DELETE", "POST"):
            assert not is_write(method, operation), template


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_reranking_changes_nothing(path: str):
    assert not is_write("POST", OPERATIONS["POST", path])


async def test_every_denial_of_every_route_makes_one_line(tmp_path: Path):
    async with gateway(tmp_path) as asked:
        expected = {}
        for number, ((method, template), case) in enumerate(CASES.items()):
            asked.request_id = f"unknown-{number}"
            await asked.send(case, method, "mine-1", "wrong")
            expected[asked.request_id] = (None, method, template, 401, "unauthorized", "denied")
            for role in ROLES:
                if not includes(role, case.role):
                    asked.request_id = f"{role}-{number}"
                    await asked.send(case, method, "mine-1", asked.keys[role, "*"])
                    expected[asked.request_id] = (f"{role} *", method, template, 403, "forbidden", "denied")
            if case.foreign == 403:
                asked.request_id = f"foreign-{number}"
                await asked.send(case, method, "foreign", asked.keys["admin", "mine-*"])
                expected[asked.request_id] = ("admin mine-*", method, template, 403, "forbidden", "denied")
        found = await audited(asked, tmp_path / "audit.log")
    for request_id, wanted in expected.items():
        assert len(found.get(request_id, [])) == 1, (request_id, wanted, found.get(request_id))
        line = found[request_id][0]
        assert wanted == tuple(
            line[name] for name in ("principal_name", "method", "route", "status", "code", "outcome")
        )
        assert line["action"] == OPERATIONS[line["method"], line["route"]]
        if request_id.startswith("foreign") and not line["route"].startswith("/v1/admin/"):
            assert line["collection"] == "foreign", line


@pytest.mark.parametrize("with_keys", [True, False])
async def test_every_write_makes_one_line_and_no_read_makes_any(tmp_path: Path, with_keys: bool):
    file = tmp_path / "elsewhere.log"
    with HttpFakeEmbedder() as embedder:
        settings = Settings(data_dir=tmp_path, embedder_url=embedder.url, access_log=False, audit_log=str(file))
        app, _ = make_app(settings, lambda: None)
        async with (
            gateway(tmp_path / "other", audit_log=str(file)) if with_keys else serving(app, lifespan=True) as started
        ):
            asked = started if isinstance(started, Asked) else Asked(started, {})
            key = asked.keys.get(("admin", "*"))
            for number, ((method, _), case) in enumerate(CASES.items()):
                asked.request_id = f"request-{number}"
                status, _, body = await asked.send(case, method, "mine-1", key)
                assert status not in (401, 403, 500), body
            found = await audited(asked, file)
    for number, (method, template) in enumerate(CASES):
        operation = OPERATIONS[method, template]
        lines = found.get(f"request-{number}", [])
        assert len(lines) == is_write(method, operation), (method, template, lines)
        for line in lines:
            assert (line["action"], line["route"]) == (operation, template)
            who = (line["principal_name"], line["role"]) if with_keys else (line["principal"], line["role"])
            assert who == (("admin *", "admin") if with_keys else ("anonymous", None))
            assert line["client"] == "127.0.0.1"
    assert not any(word in file.read_text() for word in ("words", "tandem_", "there"))


async def test_a_line_tells_what_was_done(tmp_path: Path):
    async with gateway(tmp_path) as asked:
        ingest, delete = CASES["POST", "/v1/ingest"], CASES["POST", "/v1/collections/{collection}/documents/delete"]
        asked.request_id = "ingest"
        _, _, job = await asked.send(ingest, "POST", "mine-1", asked.keys["ingest", "mine-*"])
        asked.request_id = "delete"
        await asked.send(delete, "POST", "mine-1", asked.keys["ingest", "mine-*"])
        asked.request_id = "key"
        made = CASES["POST", "/v1/admin/keys"]
        _, _, key = await asked.send(made, "POST", "", asked.keys["admin", "*"])
        found = await audited(asked, tmp_path / "audit.log")
    line = found["ingest"][0]
    assert (line["collection"], line["job_id"], line["documents"]) == ("mine-1", job["job_id"], 1)
    assert (line["outcome"], line["status"], line["code"]) == ("done", 202, None)
    assert (found["delete"][0]["documents"], found["delete"][0]["action"]) == (1, "delete_documents")
    assert (found["key"][0]["key_id"], found["key"][0]["action"]) == (key["id"], "create_key")
    assert key["key"] not in (tmp_path / "audit.log").read_text()
    assert stat.S_IMODE((tmp_path / "audit.log").stat().st_mode) == 0o600


async def test_the_log_is_off_if_a_setting_says_so(tmp_path: Path):
    async with gateway(tmp_path, audit_log="off") as asked:
        assert (await asked.send(MARK, "POST", "", "wrong"))[0] == 401
    assert not (tmp_path / "audit.log").exists()


def test_a_file_that_cannot_be_written_ends_the_start(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    settings = Settings(data_dir=tmp_path / "data", audit_log=str(tmp_path / "folder"))
    with pytest.raises(SettingsError, match="TANDEM_AUDIT_LOG="):
        make_app(settings, lambda: None)


@given(st.sampled_from([200, 202, 404, 422, 429, 499, 500, 503]), st.sampled_from([None, "overloaded", "not_found"]))
def test_only_a_denial_is_denied(status: int, code: str | None):
    expected = "done" if status < 400 and code is None else "failed"
    if status == 429 and code != "overloaded":
        expected = "denied"
    assert outcome_of(status, code) == expected
    assert outcome_of(401, code) == outcome_of(403, code) == outcome_of(200, "forbidden") == "denied"


@given(st.text(st.characters(), max_size=300))
def test_a_name_from_outside_is_short_and_can_be_encoded(text: str):
    made = short(text)
    assert made is not None
    assert len(made) <= 100
    json.dumps(made).encode()
