"""Writes the alerts in the Prometheus Operator's format: ``python -m tests.deploy.make_prometheus_rule``."""

from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ALERTS = DEPLOY / "monitoring" / "alerts.yml"
RULE = DEPLOY / "k8s" / "components" / "monitoring" / "prometheus-rule.yaml"

_HEAD = """\
# Made from deploy/monitoring/alerts.yml by `make alerts`; change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: tandem
  labels:
    app.kubernetes.io/part-of: tandem
spec:
"""


def prometheus_rule() -> str:
    """Return the PrometheusRule with the groups of ``ALERTS``, unchanged."""
    groups = ALERTS.read_text().split("\ngroups:\n", 1)[1]
    lines = ["groups:", *groups.splitlines()]
    return _HEAD + "".join(f"  {line}".rstrip() + "\n" for line in lines)


if __name__ == "__main__":
    RULE.write_text(prometheus_rule())
