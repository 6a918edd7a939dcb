"""Writes what the Helm chart has from elsewhere: ``python -m tests.deploy.make_chart_files``.

The alerts and the dashboard are copies, since a chart holds all of its files. The table of values in its README comes
from values.yaml.
"""

import re
import shutil
from pathlib import Path

from tests.deploy.chart import CHART, documented
from tests.deploy.manifests import DEPLOY

README = CHART / "README.md"
MONITORING = DEPLOY / "monitoring"
COPIES = {
    CHART / "files" / "alerts.yml": MONITORING / "alerts.yml",
    CHART / "files" / "dashboard.json": MONITORING / "grafana" / "dashboards" / "tandem.json",
}


def table() -> str:
    """Return the table of values: a row for each key that has a default or a comment."""
    rows = ["| value | default | |", "| --- | --- | --- |"]
    for path, default, comment in documented():
        if default or comment:
            text = comment.replace("|", "\\|")
            rows.append(f"| `{path}` | {f'`{default}`' if default else ''} | {text} |")
    return "\n".join(rows) + "\n"


def with_table(page: str) -> str:
    """Return the README with the table of today."""
    return re.sub(r"(?<=\n\n)\| value \|.*?\n(?=\n|\Z)", lambda _: table(), page, flags=re.DOTALL)


def main(readme: Path = README) -> None:
    """Write the copies and the table."""
    for copy, source in COPIES.items():
        shutil.copyfile(source, copy)
    readme.write_text(with_table(readme.read_text()))


if __name__ == "__main__":
    main()
