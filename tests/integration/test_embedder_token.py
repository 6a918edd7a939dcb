"""A gateway and its embedder with a shared token, as real processes: a wrong token, and new ones without a restart."""

from functools import partial
from pathlib import Path

from tests.support.processes import ServiceProcess
from tests.support.stack import Client, Stack, embedder_process, gateway_process, service_url, wait_until

RIGHT, WRONG, NEXT = "the-right-token-of-the-test", "the-wrong-token-of-the-test", "the-next-token-of-the-test"


def embedded(client: Client, document: str) -> None:
    job = client.ingest_and_wait([{"id": document, "text": f"a text about {document}"}])
    assert job.status == "completed"


def test_a_wrong_token_blocks_jobs_and_leaves_keyword_search_until_it_is_corrected(
    tmp_path: Path, model_dir: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(WRONG)
    embedder = embedder_process(tmp_path, model_dir, env={"TANDEM_EMBEDDER_TOKEN": RIGHT})
    gateway, client = gateway_process(
        tmp_path, tmp_path / "data", service_url(embedder), env={"TANDEM_EMBEDDER_TOKEN_FILE": str(file)}
    )
    with embedder, gateway:
        accepted = client.ingest([{"id": "a", "text": "a cat"}])
        blocked = wait_until(lambda: client.job(accepted.job_id).error, "the job says why it waits")
        assert blocked.startswith("waiting: the embedder refuses the gateway's token")
        assert "TANDEM_EMBEDDER_TOKEN" in blocked
        assert "refuses the gateway's token" in (client.health().detail or "")
        assert client.found("cat") == ["a"]
        dense = client.http.post("/v1/search", json={"query": "a cat", "mode": "dense"})
        assert (dense.status_code, dense.json()["error"]["code"]) == (503, "embedder_unavailable")
        assert calls_of(embedder) < 50  # no hot loop
        file.write_text(RIGHT)
        assert client.wait_job(accepted.job_id).status == "completed"
        wait_until(lambda: client.health().status == "ok", "the gateway is well")
        assert client.http.post("/v1/search", json={"query": "a cat", "mode": "dense"}).status_code == 200
    client.close()
    log = gateway.log_text()
    assert "an embedder refuses the gateway's token" in log
    for token in (RIGHT, WRONG):
        assert token not in log + embedder.log_text()


def has_renewed(service: ServiceProcess, times: int) -> bool:
    return service.log_text().count("tokens renewed") == times


def calls_of(embedder: ServiceProcess) -> int:
    return sum(line.get("path") == "/embed" for line in embedder.log_lines())


def test_a_token_is_replaced_without_a_refused_call(tmp_path: Path, model_dir: Path) -> None:
    file = tmp_path / "token"
    file.write_text(RIGHT)
    env = {"TANDEM_EMBEDDER_TOKEN_FILE": str(file)}
    with Stack(tmp_path, model_dir, gateway_env=env, embedder_env=env) as stack:
        for number, content in enumerate((f"{RIGHT}\n{NEXT}\n", f"{NEXT}\n{RIGHT}\n", f"{NEXT}\n")):
            embedded(stack.client, f"before-{number}")
            file.write_text(content)
            for service in (stack.embedder, stack.gateway):
                wait_until(partial(has_renewed, service, number + 1), "the file is read")
            embedded(stack.client, f"after-{number}")
        assert not [line for line in stack.embedder.log_lines() if line.get("status") == 401]


def test_an_unusable_token_file_ends_the_start(tmp_path: Path, model_dir: Path) -> None:
    file = tmp_path / "token"
    file.write_text("short")
    env = {"TANDEM_EMBEDDER_TOKEN_FILE": str(file)}
    gateway, client = gateway_process(tmp_path, tmp_path / "data", "http://localhost:1", env=env)
    client.close()
    for service in (gateway, embedder_process(tmp_path, model_dir, env=env)):
        assert service.start().wait_exit() == 2
        (error,) = [line for line in service.log_lines() if line["level"] == "error"]
        assert error["error"].startswith(f"TANDEM_EMBEDDER_TOKEN_FILE='{file}': token 1 of 1: 16 to 512")
        service.close()
