"""The TypeScript client: its types, its build, and its tests with Node's runner against a real gateway."""

import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.clients.environments import REPOSITORY, settings
from tests.clients.typescript_api import PACKAGE, TYPES, described, with_digests, without_digests
from tests.support.chromium import Page
from tests.support.http_servers import running
from tests.support.making import make
from tests.support.stack import Stack, wait_until
from tests.support.tools import run, tool

KEY = "the-key-of-the-tests-of-the-client"
BUILD = PACKAGE / "build"
README = (PACKAGE / "README.md").read_text()

LOCKS = [REPOSITORY / name / "package-lock.json" for name in ("clients/typescript", "deploy/helm/tools")]


def example() -> tuple[str, list[str]]:
    """Return the program in the README, and the lines that it prints."""
    (program,) = re.findall(r"^```ts\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (printed,) = re.findall(r"^It prints\n\n```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return program, printed.splitlines()


class Files(SimpleHTTPRequestHandler):
    """Serves the compiled client, as the server of a web page does."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, directory=str(PACKAGE / "dist"))

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """The origin of a web page with the client."""
    with running(ThreadingHTTPServer(("127.0.0.1", 0), Files)) as url:
        yield url


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, model_dir: Path, origin: str) -> Iterator[str]:
    env = {"TANDEM_API_KEY": KEY, "TANDEM_CORS_ORIGINS": origin}
    with Stack(tmp_path_factory.mktemp("stack"), model_dir, gateway_env=env) as stack:
        yield stack.client.url


@pytest.fixture(scope="module")
def installed() -> None:
    tool("npm")
    make("setup-typescript")


def tsc(project: str) -> None:
    """Compile a project of the package; fail if the compiler finds a fault."""
    run([PACKAGE / "node_modules" / ".bin" / "tsc", "--project", PACKAGE / project])


@pytest.fixture(scope="module")
def built(installed: None) -> Path:
    """The folder of the compiled tests and of the README's program; the client is compiled for itself."""
    tsc("tsconfig.json")
    BUILD.mkdir(exist_ok=True)
    (BUILD / "example.ts").write_text(example()[0])
    tsc("tsconfig.test.json")
    return BUILD / "out"


def node(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Node.js without a proxy of the environment."""
    return subprocess.run(
        [tool("node"), *map(str, arguments)],
        cwd=PACKAGE,
        env={**settings(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=250,
        check=False,
    )


def test_the_types_are_those_of_the_openapi_document() -> None:
    content = TYPES.read_text()
    assert content == with_digests(without_digests(content)), "run: make typescript-types"
    assert "SearchRequest: {" in content


def test_the_tests_pass_against_a_real_gateway(built: Path, url: str) -> None:
    files = sorted((built / "test").glob("*.test.js"))
    assert len(files) == len(list((PACKAGE / "test").glob("*.test.ts"))) >= 4
    done = node("--test", "--test-reporter=tap", *files, TANDEM_TEST_URL=url, TANDEM_TEST_KEY=KEY)
    assert done.returncode == 0, done.stdout
    counts = dict(re.findall(r"^# (\w+) (\d+)$", done.stdout, re.MULTILINE))
    assert int(counts["pass"]) >= 40, done.stdout
    assert {counts[name] for name in ("fail", "cancelled", "skipped", "todo")} == {"0"}, done.stdout


def test_the_program_in_the_readme_prints_what_it_says(built: Path, url: str) -> None:
    program = (built / "build" / "example.js").read_text()
    compiled = program.replace("http://localhost:8000", url).replace('"KEY"', json.dumps(KEY))
    assert compiled.count(url) == compiled.count(KEY) == 1
    (built / "build" / "example.js").write_text(compiled)
    done = node(built / "build" / "example.js")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines() == example()[1]


IN_A_PAGE = """(async () => {
  const { Tandem } = await import("/index.js");
  const tandem = new Tandem({ url: URL_OF_GATEWAY, apiKey: KEY });
  const job = await tandem.ingest([{ id: "mat", text: "The cat sat on the mat." }], { collection: "page" });
  const states = [];
  for await (const seen of tandem.jobs.events(job.job_id)) states.push(seen.status);
  const files = await tandem.ingestFiles([{ name: "tea.txt", content: "Steep the leaves." }], { collection: "page" });
  await tandem.jobs.wait(files.job_id);
  const found = await tandem.search({ query: "a pet", collection: "page", top_k: 1, consistency: "session" });
  const listed = await tandem.documents.list("page", { limit: 1 }).all();
  const stored = [];
  const stream = tandem.ingestStream([{ id: "a", text: "a" }, { id: "b", text: "b" }], { batchDocuments: 1 });
  for await (const { firstIndex } of stream) stored.push(firstIndex);
  const error = await tandem.search({ query: "x", top_k: 0 }).catch((reason) => reason);
  const gone = AbortSignal.abort(new Error("gone"));
  const aborted = await tandem.search("x", { signal: gone }).catch((reason) => reason);
  return {
    last: states.at(-1), files: files.document_ids, found: found.results[0].id, stored,
    listed: listed.map(({ id }) => id),
    error: [error.name, error.code, error.field, error.limit, typeof error.requestId], aborted: aborted.message,
    position: /^.+[.][0-9]+$/.test(tandem.position),
  };
})()"""


def test_it_works_in_a_browser(built: Path, origin: str, url: str, tmp_path: Path) -> None:
    program = IN_A_PAGE.replace("URL_OF_GATEWAY", json.dumps(url)).replace("KEY", json.dumps(KEY))
    with Page(tmp_path) as page:
        page.call("Page.navigate", url=f"{origin}/index.d.ts")
        wait_until(lambda: page.evaluate("location.origin") == origin, "the page", 60)
        assert page.evaluate(program) == {
            "last": "completed",
            "files": ["tea.txt"],
            "found": "mat",
            "listed": ["mat", "tea.txt"],
            "stored": [0, 1],
            "error": ["InvalidRequestError", "limit_exceeded", "top_k", 1000, "string"],
            "aborted": "gone",
            "position": True,
        }


def test_the_client_needs_nothing_of_node_and_no_package(built: Path) -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    assert "dependencies" not in package
    for path in (PACKAGE / "dist").glob("*.js"):
        text = path.read_text()
        assert re.findall(r'^(?:import|export) .*? from "(?!\./)', text, re.MULTILINE | re.DOTALL) == [], path
        assert re.findall(r"\b(?:require|process|Buffer|__dirname)\b\s*[.(]", text) == [], path


def test_the_package_has_the_program_its_types_and_the_licence(built: Path, tmp_path: Path) -> None:
    run([tool("npm"), "pack", "--silent", "--ignore-scripts", "--pack-destination", tmp_path], cwd=PACKAGE)
    (packed,) = tmp_path.iterdir()
    with tarfile.open(packed) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
    assert {"package.json", "README.md", "LICENSE", "dist/index.js", "dist/index.d.ts", "src/index.ts"} <= names
    assert not [name for name in names if name.startswith(("test/", "build/", "node_modules/"))]
    assert (PACKAGE / "LICENSE").read_text() == (REPOSITORY / "LICENSE").read_text()


def test_every_path_of_the_client_is_a_route() -> None:
    """Paths are texts in the sources: each must begin or be a path of the OpenAPI document."""
    routes = described()["paths"]
    used = {
        found
        for path in (PACKAGE / "src").glob("*.ts")
        if path != TYPES
        for found in re.findall(r'["`](/(?:v1|healthz)[^"`$?]*)', path.read_text())
    }
    assert len(used) >= 8
    for path in used:
        assert path.rstrip("/") in routes, path


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.parent.name)
def test_a_lock_pins_every_package_by_its_checksum_and_names_no_host(lock: Path) -> None:
    content = json.loads(lock.read_text())
    packages = {name: entry for name, entry in content["packages"].items() if name}
    assert packages
    assert all("resolved" not in entry for entry in packages.values())
    assert all(re.match(r"sha512-", entry["integrity"]) for entry in packages.values() if not entry.get("inBundle"))
    wanted = json.loads((lock.parent / "package.json").read_text())["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    assert "ignore-scripts=true" in (lock.parent / ".npmrc").read_text()


def test_node_is_not_too_old() -> None:
    package = json.loads((PACKAGE / "package.json").read_text())
    least = tuple(map(int, package["engines"]["node"].removeprefix(">=").split(".")))
    found = node("--version").stdout.strip().removeprefix("v")
    assert tuple(map(int, found.split(".")[:2])) >= least, os.environ.get("PATH")
