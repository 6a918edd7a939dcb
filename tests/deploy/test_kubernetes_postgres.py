"""The manifests of several gateways over one PostgreSQL."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import K8S, Manifest, environment, one, pod_templates, rendered
from tests.support.connections import CONNECTIONS
from tests.support.tools import run, tool

OVERLAY = "overlays/postgres"
PAGE = (K8S.parents[1] / "docs/postgresql.md").read_text()

# PostgreSQL's own max_connections, without those of superusers.
MAX_CONNECTIONS = 100 - 3


@pytest.fixture(scope="module")
def build() -> list[Manifest]:
    return rendered(OVERLAY)


@pytest.fixture(scope="module")
def gateway(build: list[Manifest]) -> Manifest:
    return one(build, "Deployment", "gateway")


def test_a_deployment_takes_the_place_of_the_stateful_set(build: list[Manifest], gateway: Manifest) -> None:
    assert [item for item in build if item["kind"] == "StatefulSet"] == []
    assert gateway["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert gateway["spec"]["minReadySeconds"] == 10
    keys = [each["topologyKey"] for each in gateway["spec"]["template"]["spec"]["topologySpreadConstraints"]]
    assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


def test_a_pod_differs_from_that_of_one_gateway_in_what_the_database_needs_alone(gateway: Manifest) -> None:
    ours = yaml.safe_load(yaml.safe_dump(gateway["spec"]["template"]))
    theirs = one(rendered("base"), "StatefulSet", "gateway")["spec"]["template"]
    (container,), (base,) = ours["spec"]["containers"], theirs["spec"]["containers"]
    added = environment(container).keys() - environment(base).keys()
    assert added == {"TANDEM_STORE_URL_FILE", "TANDEM_AUDIT_LOG"}
    container["env"] = [each for each in container["env"] if each["name"] not in added]
    container["volumeMounts"] = [each for each in container["volumeMounts"] if each["name"] != "store"]
    container["startupProbe"]["failureThreshold"] = base["startupProbe"]["failureThreshold"]
    ours["spec"]["volumes"] = [each for each in ours["spec"]["volumes"] if each["name"] not in ("store", "data")]
    del ours["spec"]["topologySpreadConstraints"]
    assert ours == theirs


def test_the_url_comes_from_the_secret_that_the_page_makes(gateway: Manifest) -> None:
    template = gateway["spec"]["template"]["spec"]
    (container,) = template["containers"]
    folder, _, key = environment(container)["TANDEM_STORE_URL_FILE"].rpartition("/")
    (mount,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == folder]
    assert mount["readOnly"] is True
    (volume,) = [volume for volume in template["volumes"] if volume["name"] == mount["name"]]
    assert volume["secret"]["defaultMode"] == 0o440  # the pod's fsGroup reads it
    assert f"kubectl create secret generic {volume['secret']['secretName']} " in PAGE
    assert f"--from-literal={key}=" in PAGE


def test_its_caches_have_a_limit_and_go_with_the_pod(gateway: Manifest) -> None:
    template = gateway["spec"]["template"]["spec"]
    (volume,) = [volume for volume in template["volumes"] if volume["name"] == "data"]
    assert volume["emptyDir"] == {"sizeLimit": "4Gi"}
    assert environment(template["containers"][0])["TANDEM_AUDIT_LOG"] == "stdout"


def test_no_probe_asks_the_database(gateway: Manifest) -> None:
    (container,) = gateway["spec"]["template"]["spec"]["containers"]
    probes = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    # tests/gateway/postgres/test_probes.py stops the database, and both still answer 200.
    assert probes == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300


def test_the_database_has_connections_for_every_gateway(build: list[Manifest], gateway: Manifest) -> None:
    scaler = one(build, "HorizontalPodAutoscaler", "gateway")["spec"]
    assert scaler["scaleTargetRef"]["kind"] == "Deployment"
    assert "replicas" not in gateway["spec"]
    assert scaler["minReplicas"] == 3
    assert scaler["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    assert scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 600
    surge = gateway["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    assert (scaler["maxReplicas"] + surge) * CONNECTIONS <= MAX_CONNECTIONS
    assert f"up to {CONNECTIONS} connections" in PAGE
    text = (K8S / "components/postgres/gateway-autoscaler.yaml").read_text()
    assert f"up to {CONNECTIONS} connections" in text


def test_one_gateway_at_a_time_may_be_evicted(build: list[Manifest]) -> None:
    budget = one(build, "PodDisruptionBudget", "gateway")["spec"]
    assert (budget["minAvailable"], budget["unhealthyPodEvictionPolicy"]) == (2, "AlwaysAllow")
    assert budget["minAvailable"] < one(build, "HorizontalPodAutoscaler", "gateway")["spec"]["minReplicas"]


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget", "NetworkPolicy"])
def test_what_is_for_gateways_selects_the_deployment(build: list[Manifest], gateway: Manifest, kind: str) -> None:
    labels = gateway["spec"]["template"]["metadata"]["labels"].items()
    found = [item for item in build if item["kind"] == kind and item["metadata"]["name"].startswith("gateway")]
    assert found
    for item in found:
        selector: dict[str, Any] = item["spec"].get("podSelector") or item["spec"]["selector"]
        assert selector.get("matchLabels", selector).items() <= labels


def test_a_gateway_reaches_the_database(build: list[Manifest]) -> None:
    policy = one(build, "NetworkPolicy", "gateway-postgres")["spec"]
    assert policy["policyTypes"] == ["Egress"]
    (rule,) = policy["egress"]
    assert rule["ports"] == [{"port": 5432, "protocol": "TCP"}]
    assert rule["to"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "postgres"}}}]


def test_the_canary_and_the_monitoring_go_with_it(tmp_path: Path) -> None:
    copied = tmp_path / "k8s"
    shutil.copytree(K8S, copied)
    path = copied / OVERLAY / "kustomization.yaml"
    content = yaml.safe_load(path.read_text())
    content["components"] += ["../../components/monitoring", "../../components/canary"]
    path.write_text(yaml.safe_dump(content))
    program = tool("kustomize", "kubectl")
    verb = "build" if program.endswith("kustomize") else "kustomize"
    objects = [each for each in yaml.safe_load_all(run([program, verb, path.parent])) if each]
    (container,) = pod_templates(objects)["gateway"]["spec"]["containers"]
    assert {"TANDEM_CANARY_URL", "TANDEM_STORE_URL_FILE"} <= environment(container).keys()
