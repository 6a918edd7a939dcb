"""The check for a site's remote addresses finds every kind of them."""

from pathlib import Path

import pytest

from tests.docs.offline import loads_in_css, loads_in_html, main

REMOTE = "https://example.org/x"


@pytest.mark.parametrize(
    "element",
    [
        f'<script src="{REMOTE}"></script>',
        f'<link rel="stylesheet" href="{REMOTE}">',
        f'<link rel="preconnect" href="{REMOTE}" crossorigin>',
        f'<img alt="" src="{REMOTE}">',
        f'<p style="background: url({REMOTE})"></p>',
        f"<style>@import '{REMOTE}';</style>",
        f'<style>@font-face {{ src: url("{REMOTE}") }}</style>',
    ],
)
def test_a_page_that_loads_something_is_found(element: str) -> None:
    assert loads_in_html(f"<html><body>{element}</body></html>") == [REMOTE]


def test_an_address_without_a_scheme_is_remote() -> None:
    assert loads_in_html('<script src="//example.org/x"></script>') == ["//example.org/x"]


@pytest.mark.parametrize(
    "element",
    [
        f'<a href="{REMOTE}">a link</a>',
        f'<link rel="canonical" href="{REMOTE}">',
        '<script src="assets/bundle.js"></script>',
        "<img alt='' src='data:image/svg+xml;base64,AAAA'>",
        f"<p>{REMOTE}</p>",
    ],
)
def test_links_and_local_files_are_not(element: str) -> None:
    assert loads_in_html(element) == []


def test_style_sheets_are_searched_as_well() -> None:
    assert loads_in_css(f"a {{ background: url('{REMOTE}') }} b {{ background: url(local.svg) }}") == [REMOTE]


def test_its_exit_status_reports_the_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tmp_path) == 1, "a site without pages is no site"
    page = tmp_path / "index.html"
    page.write_text("<script src='assets/bundle.js'></script>")
    assert main(tmp_path) == 0
    (tmp_path / "style.css").write_text(f"@import '{REMOTE}';")
    assert main(tmp_path) == 1
    assert f"style.css loads {REMOTE}" in capsys.readouterr().err
