"""The commands of docs/tutorials run, in their order, in a folder with the files that the tutorials speak of."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from tests.clients.environments import environment
from tests.clients.language_model import served_model
from tests.deploy.chart import helm
from tests.docs.pages import DOCS, REPOSITORY
from tests.gateway.files.samples import pdf
from tests.support.postgres import databases
from tests.support.stack import Stack

TUTORIALS = DOCS / "tutorials"
RUN = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
# These run until Ctrl-C, install packages, or need a cluster; other tests have what they do.
NOT_RUN = {
    "pipx run tandem-search dev",
    "pipx install tandem-search",
    "pipx inject tandem-search 'tandem-services[mcp]'",
    "TANDEM_MCP=true tandem dev",
    "kubectl create namespace tandem",
    "helm upgrade --install tandem deploy/helm/tandem --namespace tandem --values two-nodes.yaml",
    "helm test tandem --namespace tandem",
    "kubectl --namespace tandem get pods --output wide",
}
FILL_CHROMA = """
import chromadb
notes = chromadb.PersistentClient("chroma").create_collection("notes", embedding_function=None)
notes.add(ids=["mat", "tea"], documents=["The cat sat on the mat.", "Steep the leaves."],
          embeddings=[[1, 2], [2, 1]], metadatas=[{"page": 1}, {"page": 9}])
"""


def with_one_search(asked: dict[str, Any]) -> dict[str, Any]:
    """Answer as a model that calls the tool ``search`` with the question, and then repeats what the tool said."""
    last = asked["messages"][-1]
    if last["role"] == "user" and "search" in [tool["function"]["name"] for tool in asked["tools"]]:
        call = {"name": "search", "arguments": json.dumps({"query": last["content"], "top_k": 1})}
        return {"role": "assistant", "tool_calls": [{"id": "one", "type": "function", "function": call}]}
    return {"role": "assistant", "content": f"It says: {last['content']}"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), model_dir, gateway_env={"TANDEM_MCP": "true"}) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder, with the examples and their files; ``python`` and ``tandem`` are on the path."""
    for program in (DOCS / "examples").glob("*.py"):
        (tmp_path / program.name).symlink_to(program)
    papers = tmp_path / "papers"
    papers.mkdir()
    (papers / "cells.pdf").write_bytes(pdf("Mitochondria give the cell its energy.", title="Cells"))
    (papers / "tea.pdf").write_bytes(pdf("Steep the leaves for three minutes."))
    (tmp_path / "clicks.jsonl").write_text(
        '{"query": "a pet", "clicked": ["mat"]}\n{"query": "tea", "clicked": ["tea"]}\n'
    )
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, command in (("python", sys.executable), ("tandem", f"{sys.executable} -m tandem_cli")):
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("TANDEM_URL", stack.client.url)
    return tmp_path


def run(page: str, folder: Path, **variables: str) -> list[str]:
    """Run the commands of a tutorial, block after block, and return what each block printed."""
    printed = []
    for block in RUN.findall((TUTORIALS / page).read_text()):
        done = subprocess.run(
            ["bash", "-ec", block],
            cwd=folder,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (block, done.stdout, done.stderr)
        printed.append(done.stdout + done.stderr)
    return printed


def test_each_tutorial_is_run_and_every_other_command_is_known() -> None:
    assert {page.name for page in TUTORIALS.glob("*.md")} == {
        "agent.md",
        "folder.md",
        "kubernetes.md",
        "moving.md",
    }
    others = re.findall(
        r"^```(?:bash|console)\n(.*?)^```",
        "".join(page.read_text() for page in TUTORIALS.glob("*.md")),
        re.MULTILINE | re.DOTALL,
    )
    assert {line for block in others for line in block.splitlines()} == NOT_RUN


@pytest.mark.slow
def test_a_folder_of_pdfs(folder: Path) -> None:
    _, found, lexical, synced, listed = run("folder.md", folder)
    assert found.index("cells.pdf") < found.index("tea.pdf")
    assert [hit["id"] for hit in json.loads(lexical)["results"]] == ["cells.pdf#1"]
    assert "tea.pdf" not in listed, synced
    assert "cells.pdf" in listed


@pytest.mark.slow
@pytest.mark.timeout(600)  # the first run downloads the clients
def test_a_move_from_chroma_and_pgvector(folder: Path) -> None:
    with_chroma = environment("clients")
    subprocess.run([with_chroma, "-c", FILL_CHROMA], cwd=folder, check=True, capture_output=True, timeout=120)
    (folder / "bin" / "python").write_text(
        f'#!/bin/sh\ncase $1 in *chroma*) exec {with_chroma} "$@";; *) exec {sys.executable} "$@";; esac\n'
    )
    url = databases().take_url()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE chunks (id int PRIMARY KEY, content text, page int)")
        connection.execute("INSERT INTO chunks VALUES (1, 'The cat sat on the mat.', 1), (2, 'Steep the leaves.', 2)")

    chroma, filtered, pgvector, judged = run("moving.md", folder, DATABASE_URL=url)

    assert "2 documents written, 0 without a text left out" in chroma
    assert "mat" in filtered
    assert "tea" not in filtered
    assert "2 documents written" in pgvector
    assert "nDCG@10" in judged
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE chunks")
    databases().give_back(url)


@pytest.mark.slow
def test_an_agent(folder: Path) -> None:
    with served_model(with_one_search) as url:
        _, answered = run("agent.md", folder, OPENAI_BASE_URL=url)
        assert "It says:" in answered
        assert "Mitochondria give the cell its energy." in answered
        assert 'search {"query": "How do cells get their energy?"' in answered
        refused = subprocess.run(
            [sys.executable, "agent.py", "x"],
            cwd=folder,
            env={**os.environ, "TANDEM_URL": "http://127.0.0.1:1", "OPENAI_BASE_URL": url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert refused.returncode == 1
    assert refused.stderr.startswith("agent: "), refused.stderr


@pytest.mark.slow
def test_two_embedder_nodes(folder: Path) -> None:
    page = (TUTORIALS / "kubernetes.md").read_text()
    (folder / "two-nodes.yaml").write_text(re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0])
    (folder / "deploy").symlink_to(REPOSITORY / "deploy")
    (folder / "bin" / "helm").symlink_to(helm())

    counted, status = run("kubernetes.md", folder)

    assert re.search(r"\d kind: StatefulSet", counted)
    made = [each for each in yaml.safe_load_all((folder / "tandem.yaml").read_text()) if each]
    (embedders,) = (each for each in made if each["kind"] == "Deployment")
    assert embedders["spec"]["replicas"] == 2
    assert embedders["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "4"
    assert "HorizontalPodAutoscaler" not in {each["kind"] for each in made}
    assert "ready" in status
