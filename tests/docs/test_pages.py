"""The README and docs/ match the repository: links, targets, modules, settings, metrics, routes and codes."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tandem_contract import client_api
from tandem_gateway.settings import Settings
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.replies import STATUS
from tests.deploy.metrics import families
from tests.docs.pages import DOCS, README, REPOSITORY, anchors, links, make_targets, modules, name, pages
from tests.docs.settings import CONFIGURATION, all_variables, tables, with_tables
from tests.support.openapi import document

each_page = pytest.mark.parametrize("page", pages(), ids=name)

# Variables of the container files, and settings that a test or a target reads.
_OF_COMPOSE = {
    "TANDEM_BIND", "TANDEM_PORT", "TANDEM_TAG", "TANDEM_EMBEDDER_CPUS", "TANDEM_EMBEDDER_MEMORY",
    "TANDEM_GATEWAY_CPUS", "TANDEM_GATEWAY_MEMORY", "TANDEM_POSTGRES_IMAGE", "TANDEM_POSTGRES_MEMORY",
    "TANDEM_HAPROXY_IMAGE", "TANDEM_EXTRAS", "TANDEM_EMBEDDER_EXTRAS",
}  # fmt: skip


# Variables that a client reads.
_OF_CLIENTS = {"TANDEM_URL"}


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150


@each_page
def test_every_relative_link_and_anchor_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(REPOSITORY), link
        if anchor:
            assert anchor in anchors(target), link


@each_page
def test_no_heading_is_there_twice(page: Path) -> None:
    found = anchors(page)
    assert len(found) == len(set(found)), [anchor for anchor in found if found.count(anchor) > 1]


def test_only_figures_are_linked_outside_the_documentation() -> None:
    """The site has no other file of the repository; see docs/site_hooks.py."""
    for page in pages():
        if page != README:
            for link in links(page):
                target = (page.parent / link.partition("#")[0]).resolve()
                figures = REPOSITORY / "bench" / "results"
                assert target.is_relative_to(DOCS) or target.parent == figures, (name(page), link)


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = {page: make_targets(page) for page in pages()}
    assert {"demo", "test", "run", "check", "docs"} <= named[README]
    for page, names in named.items():
        assert names <= targets, (name(page), names - targets)


@each_page
def test_every_module_that_it_runs_exists(page: Path) -> None:
    for module in modules(page):
        if module != "pip":
            assert importlib.util.find_spec(module.rstrip(".")) is not None, module


@pytest.mark.parametrize("service", ["gateway", "embedder"])
def test_the_settings_tables_are_those_of_the_code(service: str) -> None:
    assert tables()[service] in CONFIGURATION.read_text(), "run: python -m tests.docs.settings"


def test_writing_the_settings_tables_changes_nothing_but_them() -> None:
    page = CONFIGURATION.read_text()
    assert with_tables(page) == page
    assert with_tables(page.replace("Lowest level that is logged", "?")) == page


@each_page
def test_every_setting_that_it_names_exists(page: Path) -> None:
    named = set(re.findall(r"\bTANDEM_[A-Z0-9_]*[A-Z0-9]\b", page.read_text()))
    assert named <= all_variables() | _OF_COMPOSE | _OF_CLIENTS


@each_page
def test_every_metric_that_it_names_exists(page: Path) -> None:
    existing = {family.name for service in ("gateway", "embedder") for family in families(service)}
    named = set(re.findall(r"`(tandem_(?:gateway|embedder)_\w+)`", page.read_text()))
    # A package's name looks like a metric's name but is a folder.
    assert {found for found in named if importlib.util.find_spec(found) is None} <= existing


def operations() -> set[str]:
    """Return the operations of the gateway's OpenAPI document."""
    limits = RequestLimits(documents=1, text_chars=1, metadata_bytes=2, query_chars=1, top_k=1)
    paths = document(limits)["paths"]
    return {f"{method.upper()} {path}" for path, described in paths.items() for method in described}


def api_page() -> str:
    return (DOCS / "api.md").read_text()


def test_the_api_page_has_every_route_and_no_other() -> None:
    table = api_page().split("\n## Routes\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`?]*)`", table))
    # /readyz is like /livez; the OpenAPI document describes neither itself nor the pages for browsers.
    assert named == operations() | {"GET /openapi.json", "GET /docs", "GET /console/{version}/{file}"}


def test_the_api_page_has_every_error_code_beside_its_status() -> None:
    table = api_page().split("\n## Errors\n")[1]
    rows = re.findall(r"^\| (\d{3}) \| ([^|]+) \|", table, re.MULTILINE)
    assert {code: int(status) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)} == STATUS


@pytest.mark.parametrize(
    "message",
    [
        client_api.DocumentInput, client_api.IngestRequest, client_api.Job, client_api.SearchRequest,
        client_api.IngestedFile,
        client_api.SearchHit, client_api.SearchReply, client_api.StoredDocument, client_api.Collection,
        client_api.Health,
    ],
)  # fmt: skip
def test_the_api_page_has_every_field(message: type) -> None:
    named = set(re.findall(r"`(?:\w+\[\]\.)?(\w+)`", api_page())) | set(re.findall(r'"(\w+)":', api_page()))
    assert set(message.__annotations__) <= named


def test_the_api_page_has_the_limits_in_force() -> None:
    defaults = Settings()
    page = api_page()
    for value, variable in (
        (defaults.max_documents, "TANDEM_MAX_DOCUMENTS_PER_REQUEST"),
        (defaults.max_text_chars, "TANDEM_MAX_TEXT_CHARS"),
        (defaults.max_metadata_bytes, "TANDEM_MAX_METADATA_BYTES"),
        (defaults.max_query_chars, "TANDEM_MAX_QUERY_CHARS"),
        (defaults.max_top_k, "TANDEM_MAX_TOP_K"),
        (defaults.max_finished_jobs, "TANDEM_MAX_FINISHED_JOBS"),
        (defaults.max_body_bytes >> 20, "TANDEM_MAX_BODY_BYTES"),
        (defaults.max_answer_bytes >> 20, "TANDEM_MAX_ANSWER_BYTES"),
    ):
        assert re.search(rf"\b{value:,}\b[^|\n]*\(`{variable}`\)", page), variable


def test_every_module_that_the_architecture_page_names_exists() -> None:
    page = (DOCS / "architecture.md").read_text()
    sections = re.findall(r"^Under `([^`]+)`:\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
    assert len(sections) == 2
    for folder, table in sections:
        named = re.findall(r"`([\w/]+(?:\.py|/))`", table)
        assert len(named) > 10
        for path in named:
            assert (REPOSITORY / folder / path).exists(), path


def test_every_module_that_a_decision_names_exists() -> None:
    for page in (DOCS / "adr").glob("0*.md"):
        for module in re.findall(r"`(tandem_\w+\.[a-z_.0-9]+)`", page.read_text()):
            assert importlib.util.find_spec(module) is not None, (page.name, module)


def test_every_decision_has_the_same_form_and_is_listed() -> None:
    listed = re.findall(r"^- \[(\d{4})\]\((\S+)\)", (DOCS / "adr" / "README.md").read_text(), re.MULTILINE)
    decisions = sorted((DOCS / "adr").glob("0*.md"))
    assert [file for _, file in listed] == [page.name for page in decisions]
    assert [int(number) for number, _ in listed] == list(range(1, len(decisions) + 1))
    for page in decisions:
        headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
        assert headings[0].startswith(f"{page.name[:4]}: "), page.name
        assert headings[1:] == ["Status", "Context", "Decision", "Consequences"], page.name


def files_in(nav: object) -> list[str]:
    """Return the files in a part of the site's navigation."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    assert not isinstance(parts, int | float)
    return [file for part in parts for file in files_in(part)]  # type: ignore[union-attr]


def test_the_site_has_every_page_once() -> None:
    site = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text())
    assert sorted(files_in(site["nav"])) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    assert site["strict"] is True
    assert site["theme"]["font"] is False


@pytest.mark.parametrize("service", ["gateway", "embedder"])
def test_the_notice_names_the_packages_of_each_service(service: str) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    required = project["dependencies"] + project["optional-dependencies"][service]
    listed = re.search(rf"{service.capitalize()}: (.*?), and\s+the", (REPOSITORY / "NOTICE").read_text(), re.DOTALL)
    assert listed is not None
    packages = {re.split(r"[<>=;! ]", requirement)[0] for requirement in required} - {"tandem-contract"}
    assert {found.strip().lower() for found in listed[1].split(",")} == packages
