"""Alerts and dashboard: they parse, they use only exported metrics, and the documentation explains each alert."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tandem_gateway.adapters.pool.health import Failure
from tandem_gateway.metrics.gateway import Metrics
from tandem_gateway.use_cases.canary.evaluation import Reason
from tests.deploy.dashboard import MONITORING, dashboard, dashboard_queries
from tests.deploy.make_prometheus_rule import ALERTS, RULE, prometheus_rule
from tests.deploy.manifests import DEPLOY, REPOSITORY
from tests.deploy.metrics import exported, used
from tests.support.tools import run, tool

OPERATIONS = REPOSITORY / "docs" / "operations.md"

# Set by Prometheus, Kubernetes or the manifests, not by the services.
FOREIGN_LABELS = {"job", "instance", "namespace", "pod", "tandem_pool", "le"}


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    values = (DEPLOY / "k8s/components/queue-autoscaling/prometheus-adapter-values.yaml").read_text()
    adapter = [
        text
        for rule in yaml.safe_load(values)["rules"]["custom"]
        for text in (rule["seriesQuery"], rule["metricsQuery"].replace("<<.LabelMatchers>>,", ""))
    ]
    shown = [query for panel in dashboard_queries().values() for query in panel]
    return [alert["expr"] for alert in alerts()] + shown + adapter


@pytest.mark.slow
def test_prometheus_takes_the_configuration_and_the_alerts() -> None:
    promtool = tool("promtool")
    run([promtool, "check", "config", MONITORING / "prometheus.yml"])
    run([promtool, "test", "rules", MONITORING / "alerts_test.yml"])


def test_prometheus_takes_the_dashboards_queries(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": query}
        for number, query in enumerate(query for panel in dashboard_queries().values() for query in panel)
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run([tool("promtool"), "check", "rules", path])


def test_every_series_and_label_that_is_asked_for_is_exported() -> None:
    series = exported()
    seen: set[str] = set()
    for query in queries():
        for name, labels in used(query).items():
            assert name in series, query
            assert labels <= {*series[name].labels} | FOREIGN_LABELS, query
            seen.add(name)
    assert len(seen) >= 20


def test_counters_of_rare_events_exist_before_the_first_event() -> None:
    # Prometheus sees no increase in a series that begins at 1.
    exported = Metrics("0").exposition().decode()
    samples = {
        (sample.name, *sample.labels.items())
        for family in text_string_to_metric_families(exported)
        for sample in family.samples
    }
    counted = {
        (name, *re.findall(r'(\w+)="([^"]*)"', selector))
        for alert in alerts()
        for name, selector in re.findall(r"increase\((\w+)(\{[^}]*\})?\[", alert["expr"])
    }
    assert ("tandem_gateway_snapshots_total", ("outcome", "failed")) in counted
    for name, *wanted in counted:
        assert any(sample[0] == name and {*wanted} <= {*sample[1:]} for sample in samples), (name, wanted)
    roll_backs = {("tandem_gateway_canary_rollbacks_total", ("reason", reason)) for reason in get_args(Reason)}
    ejections = {
        ("tandem_gateway_embedder_ejections_total", ("pool", pool), ("reason", failure))
        for pool in ("stable", "canary")
        for failure in get_args(Failure)
    }
    assert roll_backs | ejections <= samples


def test_no_metric_is_asked_for_by_a_name_that_used_does_not_see() -> None:
    assert used('rate(tandem_gateway_x_total{route="/v1/search", code=~"5.."}[5m]) / tandem_embedder_y') == {
        "tandem_gateway_x_total": {"route", "code"},
        "tandem_embedder_y": set(),
    }


def test_the_jobs_that_are_asked_for_are_scraped() -> None:
    configured = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    jobs = {job["job_name"] for job in configured}
    for query in queries():
        for wanted in re.findall(r'job="([^"]*)"', query):
            assert wanted in jobs, query
    monitor = yaml.safe_load((DEPLOY / "k8s/components/monitoring/service-monitor.yaml").read_text())["spec"]
    label = monitor["jobLabel"]
    services = [yaml.safe_load(path.read_text()) for path in (DEPLOY / "k8s").rglob("*-service.yaml")]
    assert {service["metadata"]["labels"][label] for service in services} == jobs
    wanted = monitor["selector"]["matchLabels"].items()
    assert all(wanted <= service["metadata"]["labels"].items() for service in services)
    assert {port["name"] for service in services for port in service["spec"]["ports"]} == {
        endpoint["port"] for endpoint in monitor["endpoints"]
    }


def test_the_operators_rule_has_the_same_alerts() -> None:
    assert RULE.read_text() == prometheus_rule(), "run: make alerts"
    assert yaml.safe_load(RULE.read_text())["spec"] == yaml.safe_load(ALERTS.read_text())


def test_each_alert_is_explained_in_the_operations_page() -> None:
    headings = re.findall(r"^### (\w+)$", OPERATIONS.read_text(), re.MULTILINE)
    names = [alert["alert"] for alert in alerts()]
    assert [heading for heading in headings if heading.startswith("Tandem")] == names
    for alert in alerts():
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"
        assert alert["labels"]["severity"] in {"critical", "warning"}


def test_every_file_that_the_operations_page_links_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", OPERATIONS.read_text()):
        assert (OPERATIONS.parent / target).exists(), target


def test_the_dashboard_is_one_that_grafana_can_lay_out() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert cells.isdisjoint(taken), panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
