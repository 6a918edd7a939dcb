"""The manifests of several gateways over one PostgreSQL."""

import re
import shutil
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tandem_gateway.settings import Settings
from tests.deploy.manifests import K8S, Manifest, environment, one, pod_templates, rendered
from tests.docs.settings import variables
from tests.support.connections import CONNECTIONS, SHARED_CONNECTIONS
from tests.support.tools import run, tool

OVERLAY = "overlays/postgres"
SHARING = ("overlays/postgres-s3", "overlays/postgres-volume")
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


@pytest.mark.parametrize("overlay", SHARING)
def test_gateways_that_share_snapshots_differ_in_that_alone(gateway: Manifest, overlay: str) -> None:
    ours = yaml.safe_load(yaml.safe_dump(one(rendered(overlay), "Deployment", "gateway")))
    spec, theirs = ours["spec"]["template"]["spec"], gateway["spec"]["template"]["spec"]
    (container,), (base,) = spec["containers"], theirs["containers"]
    for kept, what in ((container, base), (spec, theirs)):
        for name in ("env", "volumeMounts", "volumes"):
            if name in what:
                kept[name] = [each for each in kept[name] if each in what[name]]
                assert len(kept[name]) == len(what[name])
                kept[name] = what[name]
    assert ours == gateway


@pytest.mark.parametrize("overlay", SHARING)
def test_the_database_has_connections_for_gateways_that_share_snapshots(overlay: str) -> None:
    objects = rendered(overlay)
    scaler = one(objects, "HorizontalPodAutoscaler", "gateway")["spec"]
    surge = one(objects, "Deployment", "gateway")["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    assert (scaler["maxReplicas"] + surge) * SHARED_CONNECTIONS <= MAX_CONNECTIONS
    assert scaler["maxReplicas"] > scaler["minReplicas"]
    assert (
        f"at most {scaler['maxReplicas']} gateways, because each takes up to {SHARED_CONNECTIONS} connections" in PAGE
    )
    for path in (K8S / "components").glob("snapshots-*/autoscaler-patch.yaml"):
        taken = (scaler["maxReplicas"] + surge) * SHARED_CONNECTIONS
        assert f"up to {SHARED_CONNECTIONS} connections" in path.read_text()
        assert f"take {taken}." in path.read_text()


def test_snapshots_in_s3_have_an_address_a_way_and_keys_from_the_secret_that_the_page_makes() -> None:
    objects = rendered("overlays/postgres-s3")
    (container,) = pod_templates(objects)["gateway"]["spec"]["containers"]
    given = environment(container)
    aws = {name for name in given if name.startswith("AWS_")}
    assert given.keys() - aws <= variables(Settings)
    assert Settings(store_url="postgresql://db/tandem", snapshot_url=given["TANDEM_SNAPSHOT_URL"]).snapshot_url
    assert aws == {"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    keys = [
        each["valueFrom"]["secretKeyRef"]
        for each in container["env"]
        if each["name"].endswith(("KEY_ID", "ACCESS_KEY"))
    ]
    assert all("optional" not in key for key in keys)  # without them the pod does not start
    command = re.search(r"kubectl create secret generic gateway-snapshots (.*\\\n.*)", PAGE)
    assert command is not None
    assert [key["name"] for key in keys] == ["gateway-snapshots"] * 2
    assert all(f"--from-literal={key['key']}=" in command[1] for key in keys)
    policy = one(objects, "NetworkPolicy", "gateway-snapshots")["spec"]
    assert policy["policyTypes"] == ["Egress"]
    (rule,) = policy["egress"]
    assert rule["ports"] == [{"port": 443, "protocol": "TCP"}]
    (peer,) = rule["to"]
    excepted = [ip_network(each) for each in peer["ipBlock"]["except"]]
    # Neither other pods and services nor the node's metadata.
    for address in ("10.1.2.3", "172.20.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"):
        assert any(ip_address(address) in network for network in excepted)
    assert not any(ip_address("52.216.0.1") in network for network in excepted)


def test_snapshots_on_a_volume_are_where_all_gateways_mount_it() -> None:
    objects = rendered("overlays/postgres-volume")
    spec = pod_templates(objects)["gateway"]["spec"]
    (container,) = spec["containers"]
    url = urlsplit(environment(container)["TANDEM_SNAPSHOT_URL"])
    (mount,) = [each for each in container["volumeMounts"] if each["mountPath"] == url.path]
    assert (url.scheme, mount.get("readOnly", False)) == ("file", False)
    (volume,) = [each for each in spec["volumes"] if each["name"] == mount["name"]]
    claim = one(objects, "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])["spec"]
    assert claim["accessModes"] == ["ReadWriteMany"]
    assert not [item for item in objects if item["kind"] == "NetworkPolicy" and "snapshots" in item["metadata"]["name"]]
