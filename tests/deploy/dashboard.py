"""The dashboard and its queries."""

import json
from typing import Any

from tests.deploy.manifests import DEPLOY

MONITORING = DEPLOY / "monitoring"

# Values for the dashboard's variables, which only Grafana knows.
VARIABLES = {"$__rate_interval": "1m", "${datasource}": "prometheus"}


def dashboard() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((MONITORING / "grafana/dashboards/tandem.json").read_text())
    return content


def dashboard_queries() -> dict[str, list[str]]:
    """Return panel → queries, as Prometheus gets them."""
    found: dict[str, list[str]] = {}
    for panel in dashboard()["panels"]:
        if panel["type"] != "row":
            assert panel["title"] not in found
            found[panel["title"]] = [target["expr"] for target in panel["targets"]]
            for variable, value in VARIABLES.items():
                found[panel["title"]] = [query.replace(variable, value) for query in found[panel["title"]]]
    return found
