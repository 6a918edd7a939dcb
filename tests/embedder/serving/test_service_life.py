"""The life of a real embedder, from start to end: damaged models, overload, SIGTERM."""

import asyncio
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx2 as httpx
import msgspec
import numpy as np
import pytest

from tandem_embedder.model.prepared_model import Manifest, read_manifest, record_of
from tandem_tools.readiness import answers
from tests.embedder.serving.conftest import StartEmbedder, client_of
from tests.support.processes import ServiceProcess

LONG = "several words that make a text of some length " * 30
pytestmark = pytest.mark.slow


def write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))


def flip_a_byte_of_the_weights(folder: Path) -> None:
    weights = folder / "int8/model.onnx.data"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 0x10
    weights.write_bytes(content)


def cut_the_graph(folder: Path) -> None:
    graph = folder / "int8/model.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])


def remove_the_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def remove_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def falsify_the_answers(folder: Path) -> None:
    path = folder / "known_answers.json"
    answers = msgspec.json.decode(path.read_bytes())
    answers["vectors"] = answers["vectors"][1:] + answers["vectors"][:1]
    path.write_bytes(msgspec.json.encode(answers))
    write_manifest(folder, msgspec.structs.replace(read_manifest(folder), known_answers=record_of(path)))


def raise_the_limit_of_int8(folder: Path) -> None:
    """Make every CPU appear as one that computes int8 wrong."""
    manifest = read_manifest(folder)
    int8 = msgspec.structs.replace(manifest.variants["int8"], min_cosine=0.99999)
    write_manifest(folder, msgspec.structs.replace(manifest, variants={**manifest.variants, "int8": int8}))


def raise_the_limit_of_int8_alone(folder: Path) -> None:
    raise_the_limit_of_int8(folder)
    manifest = read_manifest(folder)
    write_manifest(folder, msgspec.structs.replace(manifest, variants={"int8": manifest.variants["int8"]}))


def replace_the_graph_and_its_record(folder: Path) -> None:
    graph = folder / "int8/model.onnx"
    graph.write_bytes(b"no graph at all")
    manifest = read_manifest(folder)
    variant = manifest.variants["int8"]
    files = {**variant.files, "int8/model.onnx": record_of(graph)}
    variants = {**manifest.variants, "int8": msgspec.structs.replace(variant, files=files)}
    write_manifest(folder, msgspec.structs.replace(manifest, variants=variants))


def name_no_files(folder: Path) -> None:
    flip_a_byte_of_the_weights(folder)
    manifest = read_manifest(folder)
    variant = msgspec.structs.replace(manifest.variants["int8"], files={})
    write_manifest(folder, msgspec.structs.replace(manifest, variants={"int8": variant}))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (flip_a_byte_of_the_weights, "model.onnx.data is damaged"),
        (cut_the_graph, "bytes, not"),
        (remove_the_tokenizer, "tokenizer.json is missing"),
        (remove_the_manifest, "manifest.json is missing"),
        (falsify_the_answers, "does not reproduce the known answers"),
        (raise_the_limit_of_int8, "fp32/model.onnx is missing"),
        (raise_the_limit_of_int8_alone, "holds no fp32 to serve instead"),
        (replace_the_graph_and_its_record, "cannot be loaded"),
        (name_no_files, "variants.int8.files: is empty"),
    ],
)
def test_a_damaged_model_is_never_served_and_the_reason_is_reported(
    start_embedder: StartEmbedder, model_dir: Path, tmp_path: Path, damage: Callable[[Path], None], reason: str
):
    folder = tmp_path / "model"
    shutil.copytree(model_dir, folder, ignore=shutil.ignore_patterns("fp32"))
    damage(folder)
    embedder = start_embedder(MODEL_DIR=str(folder))
    with client_of(embedder) as client:
        # 503 from the start; the reason appears once the load has failed.
        embedder.wait_for(answers(str(client.base_url.join("/livez"))))
        answer = wait_for_reason(client)
        assert reason in answer["message"]
        assert answer["code"] == "not_ready"
        refused = client.post("/embed", json={"texts": ["a"]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/livez").status_code == 200
        assert "tandem_embedder_ready 0.0" in client.get("/metrics").text
    assert embedder.terminate() == 0
    assert [line for line in embedder.log_lines() if line["level"] == "error" and reason in line.get("reason", "")]


def wait_for_reason(client: httpx.Client) -> dict[str, str]:
    for _ in range(2_000):
        response = client.get("/readyz")
        assert response.status_code == 503, response.text
        error: dict[str, str] = response.json()["error"]
        if "being loaded" not in error["message"]:
            return error
    raise AssertionError("the load neither failed nor ended")


def test_fp32_is_served_under_a_fingerprint_of_its_own(start_embedder: StartEmbedder, model_dir: Path):
    with client_of(start_embedder(PRECISION="fp32").wait_ready()) as client:
        ready = client.get("/readyz").json()
        variants = read_manifest(model_dir).variants
        assert ready["fingerprint"] == variants["fp32"].fingerprint != variants["int8"].fingerprint
        assert len(client.post("/embed", json={"texts": ["a"]}).json()["embeddings"][0]) == ready["dim"]


def test_where_int8_is_wrong_fp32_is_served_in_its_own_name(
    start_embedder: StartEmbedder, model_dir: Path, tmp_path: Path
):
    folder = tmp_path / "model"
    shutil.copytree(model_dir, folder)
    raise_the_limit_of_int8(folder)
    embedder = start_embedder(MODEL_DIR=str(folder), PRECISION="int8").wait_ready()
    fp32 = read_manifest(folder).variants["fp32"].fingerprint
    with client_of(embedder) as client:
        ready = client.get("/readyz").json()
        assert (ready["precision"], ready["fingerprint"]) == ("fp32", fp32)
        known = msgspec.json.decode((folder / "known_answers.json").read_bytes())
        reply = client.post("/embed", json={"texts": known["texts"][:2]}).json()
        assert reply["fingerprint"] == fp32
        np.testing.assert_allclose(reply["embeddings"], known["vectors"][:2], atol=1e-5)
        assert f'build_info{{fingerprint="{fp32}"' in client.get("/metrics").text
    assert embedder.terminate() == 0
    lines = [line for line in embedder.log_lines() if line["message"] != "request"]
    assert [line["level"] for line in lines] == ["info", "warning", "info", "info"]
    _, warning, last, _ = lines
    assert "fp32 is served" in warning["message"]
    assert "at least 0.99999 needed" in warning["reason"]
    assert (last["message"], last["fingerprint"]) == ("ready", fp32)


async def flood(client: httpx.AsyncClient, requests: int, texts: list[str]) -> list[httpx.Response]:
    return await asyncio.gather(*(client.post("/embed", json={"texts": texts}) for _ in range(requests)))


async def test_a_flood_is_refused_in_part_with_a_time_to_come_back_and_passes(
    start_embedder: StartEmbedder, served_precision: str
):
    settings = {"MAX_QUEUED_TOKENS": "1024", "ACCESS_LOG": "false", "PRECISION": served_precision}
    embedder = start_embedder(**settings).wait_ready()
    with client_of(embedder) as client:
        async with httpx.AsyncClient(base_url=client.base_url, trust_env=False, timeout=60) as http:
            responses = await flood(http, 60, [LONG])
        statuses = {response.status_code for response in responses}
        assert statuses == {200, 429}
        for response in responses:
            if response.status_code == 429:
                assert response.json()["error"]["code"] == "overloaded"
                assert 1 <= int(response.headers["retry-after"]) <= 120
        assert client.post("/embed", json={"texts": [LONG]}).status_code == 200
        too_large = client.post("/embed", json={"texts": [LONG] * 5})
        assert (too_large.status_code, too_large.json()["error"]["code"]) == (422, "limit_exceeded")
        assert 'tandem_embedder_queued_tokens{lane="interactive"} 0.0' in client.get("/metrics").text
    assert [line["message"] for line in embedder.log_lines()] == ["starting", "ready"]


def test_a_short_time_of_the_caller_ends_its_wait_and_drops_its_texts(start_embedder: StartEmbedder):
    embedder = start_embedder().wait_ready()
    with client_of(embedder) as client:
        response = client.post("/embed", json={"texts": [LONG] * 64}, headers={"x-request-timeout-ms": "60"})
        assert (response.status_code, response.json()["error"]["code"]) == (504, "deadline_exceeded")
        assert client.post("/embed", json={"texts": ["a"]}).status_code == 200
        assert 'queued_tokens{lane="interactive"} 0.0' in client.get("/metrics").text


def test_texts_of_a_disconnected_client_leave_the_queue(start_embedder: StartEmbedder):
    # Enough texts that no machine computes all of them before the client disconnects.
    embedder = start_embedder(MAX_CLIENT_BATCH_SIZE="512", MAX_QUEUED_TOKENS="1000000").wait_ready()
    body = msgspec.json.encode({"texts": [LONG] * 512})
    with client_of(embedder) as client:
        with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=10) as connection:
            head = b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            connection.sendall(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))
            until(client, lambda text: "inference_duration_seconds_count 0.0" not in text)
        text = until(client, lambda text: 'requests_total{code="499"} 1.0' in text)
        assert 'abandoned_total{lane="interactive"} 0.0' not in text
        assert 'queued_tokens{lane="interactive"} 0.0' in text


def until(client: httpx.Client, holds: Callable[[str], bool]) -> str:
    end = time.monotonic() + 60
    while True:
        text = client.get("/metrics").text
        if holds(text):
            return text
        assert time.monotonic() < end, text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_accepted_requests_and_ends_with_0(start_embedder: StartEmbedder, number: signal.Signals):
    embedder = start_embedder().wait_ready()
    base = (embedder.ready_url or "").removesuffix("/readyz")

    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=60) as http:
        asked = [asyncio.create_task(http.post("/embed", json={"texts": [LONG] * 32})) for _ in range(4)]
        while True:  # until all are admitted: three have 24,576 tokens
            queued = [line for line in (await http.get("/metrics")).text.splitlines() if "queued_tokens{" in line]
            if sum(float(line.split()[-1]) for line in queued) > 25_000:
                break
        embedder.signal(number)
        responses = await asyncio.gather(*asked)

    assert [response.status_code for response in responses] == [200] * 4
    assert all(len(response.json()["embeddings"]) == 32 for response in responses)
    assert embedder.wait_exit() == 0
    assert embedder.log_lines()[-1]["message"] == "stopped"


async def test_a_signal_waits_at_most_the_shutdown_timeout(start_embedder: StartEmbedder):
    # Far more work than any machine can do in this time.
    limits = {"MAX_CLIENT_BATCH_SIZE": "1000", "MAX_QUEUED_TOKENS": "1000000"}
    embedder = start_embedder(EMBEDDER_SHUTDOWN_TIMEOUT_SECONDS="0.2", WORKERS="1", **limits).wait_ready()
    base = (embedder.ready_url or "").removesuffix("/readyz")

    async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=60) as http:
        asked = [asyncio.create_task(http.post("/embed", json={"texts": [LONG] * 1000})) for _ in range(2)]
        while 'queued_tokens{lane="interactive"} 0.0' in (await http.get("/metrics")).text:
            pass
        embedder.signal(signal.SIGTERM)
        responses = await asyncio.gather(*asked)

    assert {response.status_code for response in responses} == {503}  # a reply, not a closed connection
    assert embedder.wait_exit() == 0
    assert not [line for line in embedder.log_lines() if "exception" in line]


@pytest.mark.parametrize("path", [None, "/livez"], ids=["at once", "while it loads"])
def test_a_signal_during_the_start_ends_it(start_embedder: StartEmbedder, path: str | None):
    embedder = start_embedder()
    if path is not None:
        embedder.wait_for(answers((embedder.ready_url or "").replace("/readyz", path)))
    else:
        until_logged(embedder, "starting")
    assert embedder.terminate() == 0
    assert not [line for line in embedder.log_lines() if line["level"] in {"error", "critical"}]


def until_logged(embedder: ServiceProcess, text: str) -> None:
    until = time.monotonic() + 30
    while text not in embedder.log_text():
        assert time.monotonic() < until, f"{text} was never logged"


def test_a_port_in_use_ends_the_start(start_embedder: StartEmbedder):
    first = start_embedder()
    port = str(httpx.URL(first.ready_url or "").port)
    first.wait_ready()
    second = start_embedder(EMBEDDER_PORT=port)
    assert second.wait_exit() == 1
    assert "address already in use" in second.log_text()
    assert second.log_lines()
