"""Hooks of the documentation site: figures of the benchmark become part of it.

Pages link figures as ``../bench/results/NAME``, which works where the repository is browsed. The site knows only files
under docs/, so the figures are added to it and the links lose their first segment.
"""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

_FIGURES = "bench/results"


def on_files(files: Files, config: Any) -> Files:
    """Add the figures to the site."""
    root = Path(config["config_file_path"]).parent
    for figure in sorted((root / _FIGURES).glob("*.svg")):
        files.append(File.generated(config, f"{_FIGURES}/{figure.name}", abs_src_path=str(figure)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links to the figures at their place in the site."""
    return markdown.replace(f"](../{_FIGURES}/", f"]({_FIGURES}/")
