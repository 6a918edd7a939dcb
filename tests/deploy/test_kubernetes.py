"""The manifests: valid for the API, consistent with each other and with the services."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import tandem_embedder.settings
import tandem_gateway
import tandem_gateway.settings
from tests.deploy.manifests import (
    BUILDS,
    K8S,
    Manifest,
    environment,
    one,
    pod_templates,
    rendered,
    written,
)
from tests.deploy.memory import memory_needed
from tests.docs.settings import variables

# The oldest version that docs/operations.md supports, and the two newest.
VERSIONS = ("1.30", "1.36", "1.37")

# Kubernetes has no schema for an operator's own kinds.
OPERATOR_KINDS = {"ServiceMonitor", "PrometheusRule"}


@pytest.fixture(scope="module", autouse=True)
def schemas_read_once() -> Iterator[None]:
    """Let the validation read each file of schemas once, not for each object: one of the files is large."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kubernetes_validate.utils.schema_contents", cache(kubernetes_validate.utils.schema_contents))
        yield


@pytest.fixture(scope="module", params=BUILDS)
def build(request: pytest.FixtureRequest) -> list[Manifest]:
    return rendered(request.param)


@pytest.fixture(scope="module")
def full() -> list[Manifest]:
    return rendered("overlays/full")


@pytest.mark.parametrize("version", VERSIONS)
def test_applied_manifests_are_valid(build: list[Manifest], version: str) -> None:
    for item in build:
        if item["kind"] not in OPERATOR_KINDS:
            assert kubernetes_validate.validate(item, version, strict=True) == version


@pytest.mark.parametrize("version", VERSIONS)
def test_manifest_files_are_valid(version: str) -> None:
    checked = 0
    for path, item in written():
        if item["kind"] not in OPERATOR_KINDS:
            kubernetes_validate.validate(item, version, strict=True)
            checked += 1
        else:
            assert item["apiVersion"] == "monitoring.coreos.com/v1", path
    assert checked >= 10


def test_the_validation_can_fail() -> None:
    _, item = next((path, item) for path, item in written() if item["kind"] == "Deployment")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**item, "spec": {**item["spec"], "replica": 2}}, VERSIONS[0], strict=True)


@pytest.mark.parametrize("path", sorted(K8S.rglob("kustomization.yaml")), ids=lambda path: str(path.parent.name))
def test_a_kustomization_names_exactly_the_existing_files(path: Path) -> None:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    named = {*content.get("resources", []), *content.get("components", [])}
    named |= {patch["path"] for patch in content.get("patches", [])}
    for name in named:
        assert (path.parent / name).exists(), name
    here = {file.name for file in path.parent.glob("*.yaml")} - {path.name}
    assert {name for name in here if not name.endswith("-values.yaml")} <= named


def test_everything_is_in_one_namespace_that_enforces_the_restricted_standard(build: list[Manifest]) -> None:
    (namespace,) = [item for item in build if item["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    names = {item["metadata"].get("namespace") for item in build if item["kind"] != "Namespace"}
    assert names == {namespace["metadata"]["name"]}


def test_pods_meet_the_restricted_standard(build: list[Manifest]) -> None:
    for template in pod_templates(build).values():
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_kubernetes_sets_no_variable_that_a_service_takes_for_a_setting(build: list[Manifest]) -> None:
    assert all(template["spec"]["enableServiceLinks"] is False for template in pod_templates(build).values())


@pytest.mark.parametrize("build", ["base", "overlays/full", "overlays/postgres", "overlays/postgres-volume"])
def test_the_variables_are_settings_of_the_service(build: str) -> None:
    templates = pod_templates(rendered(build))
    for name, settings in {
        "gateway": tandem_gateway.settings.Settings,
        "embedder": tandem_embedder.settings.Settings,
    }.items():
        (container,) = templates[name]["spec"]["containers"]
        assert environment(container).keys() <= variables(settings)


def test_the_grace_period_fits_pre_stop_and_the_drain(build: list[Manifest]) -> None:
    for name, template in pod_templates(build).items():
        (container,) = template["spec"]["containers"]
        pre_stop = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        (drain,) = (float(v) for k, v in environment(container).items() if k.endswith("_SHUTDOWN_TIMEOUT_SECONDS"))
        assert template["spec"]["terminationGracePeriodSeconds"] >= pre_stop + drain + 5, name


def test_liveness_asks_for_a_restart_and_readiness_for_traffic(build: list[Manifest]) -> None:
    for template in pod_templates(build).values():
        (container,) = template["spec"]["containers"]
        # A restart does not help a service that waits for another one, so only the readiness probe may use /readyz.
        assert container["livenessProbe"]["httpGet"]["path"] != container["readinessProbe"]["httpGet"]["path"]


def test_ports_are_those_that_the_images_listen_on(build: list[Manifest]) -> None:
    for name, template in pod_templates(build).items():
        (container,) = template["spec"]["containers"]
        service = name.removesuffix("-canary")
        dockerfile = (K8S.parents[1] / "services" / service / "Dockerfile").read_text()
        (exposed,) = re.findall(r"^EXPOSE (\d+)$", dockerfile, re.MULTILINE)
        assert [port["containerPort"] for port in container["ports"]] == [int(exposed)]


def test_images_carry_the_version_of_the_code(build: list[Manifest]) -> None:
    for name, template in pod_templates(build).items():
        (container,) = template["spec"]["containers"]
        assert container["image"] == f"tandem-{name.removesuffix('-canary')}:{tandem_gateway.__version__}"


def test_each_service_selects_the_pods_of_one_workload(full: list[Manifest]) -> None:
    labels = {name: template["metadata"]["labels"] for name, template in pod_templates(full).items()}
    for service in (item for item in full if item["kind"] == "Service"):
        wanted = service["spec"]["selector"].items()
        selected = [name for name, given in labels.items() if wanted <= given.items()]
        assert selected == [service["metadata"]["name"]]
    for name, kind in {"embedder": "Deployment", "embedder-canary": "Deployment", "gateway": "StatefulSet"}.items():
        wanted = one(full, kind, name)["spec"]["selector"]["matchLabels"].items()
        assert [other for other, given in labels.items() if wanted <= given.items()] == [name]


def test_the_name_that_the_gateway_calls_has_an_address_for_each_embedder(full: list[Manifest]) -> None:
    (container,) = pod_templates(full)["gateway"]["spec"]["containers"]
    called = {name: value for name, value in environment(container).items() if name.endswith("_URL")}
    assert called.keys() == {"TANDEM_EMBEDDER_URL", "TANDEM_CANARY_URL"}
    for url in called.values():
        host, port = url.removeprefix("http://").split(":")
        spec = one(full, "Service", host)["spec"]
        assert spec["clusterIP"] == "None"
        assert [offered["port"] for offered in spec["ports"]] == [int(port)]


def test_only_the_gateway_reaches_an_embedder(full: list[Manifest]) -> None:
    policy = one(rendered("base"), "NetworkPolicy", "embedder")["spec"]
    labels = {name: template["metadata"]["labels"] for name, template in pod_templates(full).items()}
    bound = [name for name, given in labels.items() if policy["podSelector"]["matchLabels"].items() <= given.items()]
    assert bound == ["embedder", "embedder-canary"]
    (rule,) = policy["ingress"]
    (source,) = rule["from"]
    assert source.keys() == {"podSelector"}  # and so only in this namespace
    wanted = source["podSelector"]["matchLabels"].items()
    assert [name for name, given in labels.items() if wanted <= given.items()] == ["gateway"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []


MONITORING = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]


@pytest.mark.parametrize("service", ["embedder", "gateway"])
def test_network_policies_admit_prometheus_where_monitoring_is_enabled(full: list[Manifest], service: str) -> None:
    wanted = {"app.kubernetes.io/name": f"tandem-{service}"}
    policies = [
        item
        for item in full
        if item["kind"] == "NetworkPolicy" and item["spec"]["podSelector"]["matchLabels"] == wanted
    ]
    assert f"{service}-scraping" in {item["metadata"]["name"] for item in policies}
    scraping = one(full, "NetworkPolicy", f"{service}-scraping")["spec"]
    assert scraping["policyTypes"] == ["Ingress"]
    assert scraping["ingress"] == [{"from": MONITORING, "ports": [{"port": "http", "protocol": "TCP"}]}]
    assert all(f"{service}-scraping" != item["metadata"]["name"] for item in rendered("base"))


def test_the_ingress_controller_alone_reaches_the_gateway(full: list[Manifest]) -> None:
    policy = one(rendered("base"), "NetworkPolicy", "gateway")["spec"]
    labels = {name: template["metadata"]["labels"] for name, template in pod_templates(full).items()}
    bound = [name for name, given in labels.items() if policy["podSelector"]["matchLabels"].items() <= given.items()]
    assert bound == ["gateway"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    controller = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}
    assert policy["ingress"] == [{"from": [controller], "ports": [{"port": "http", "protocol": "TCP"}]}]


def test_the_gateway_reaches_embedders_and_dns_alone(full: list[Manifest]) -> None:
    to_embedders, to_dns = one(full, "NetworkPolicy", "gateway")["spec"]["egress"]
    labels = {name: template["metadata"]["labels"] for name, template in pod_templates(full).items()}
    (peer,) = to_embedders["to"]
    assert peer.keys() == {"podSelector"}  # and so only in this namespace
    wanted = peer["podSelector"]["matchLabels"].items()
    assert [name for name, given in labels.items() if wanted <= given.items()] == ["embedder", "embedder-canary"]
    (container,) = pod_templates(full)["embedder"]["spec"]["containers"]
    assert to_embedders["ports"] == [{"port": container["ports"][0]["containerPort"], "protocol": "TCP"}]
    (peer,) = to_dns["to"]
    assert peer.keys() == {"namespaceSelector", "podSelector"}  # both in one selector: a DNS pod in its namespace
    assert {(port["port"], port["protocol"]) for port in to_dns["ports"]} == {(53, "UDP"), (53, "TCP")}


def test_probes_reach_a_pod_by_its_address(build: list[Manifest]) -> None:
    # A service with a list of host names refuses any other Host header, and the kubelet sends the pod's address.
    for template in pod_templates(build).values():
        (container,) = template["spec"]["containers"]
        assert not [name for name in environment(container) if name.endswith("ALLOWED_HOSTS")]


def mebibytes(quantity: str) -> int:
    return int(quantity[:-2]) * {"Mi": 1, "Gi": 1024}[quantity[-2:]]


def test_memory_covers_a_service_at_rest_and_the_budgets_of_requests(build: list[Manifest]) -> None:
    for name, template in pod_templates(build).items():
        (container,) = template["spec"]["containers"]
        requested, limit = (mebibytes(container["resources"][kind]["memory"]) for kind in ("requests", "limits"))
        assert limit >= requested >= memory_needed(name.removesuffix("-canary"))


def test_the_autoscaler_owns_the_number_of_embedders(full: list[Manifest]) -> None:
    scaler = one(full, "HorizontalPodAutoscaler", "embedder")["spec"]
    target = scaler["scaleTargetRef"]
    assert "replicas" not in one(full, target["kind"], target["name"])["spec"]
    # One pod may always be evicted, so a node can be drained.
    assert scaler["minReplicas"] > one(full, "PodDisruptionBudget", "embedder")["spec"]["maxUnavailable"] == 1
    values = yaml.safe_load((K8S / "components/queue-autoscaling/prometheus-adapter-values.yaml").read_text())
    served = {rule["name"]["as"] for rule in values["rules"]["custom"]}
    assert {metric["pods"]["metric"]["name"] for metric in scaler["metrics"] if metric["type"] == "Pods"} == served


def test_an_embedder_has_a_limit_of_whole_cores_to_count_its_workers_by(full: list[Manifest]) -> None:
    for name in ("embedder", "embedder-canary"):
        (container,) = pod_templates(full)[name]["spec"]["containers"]
        assert int(container["resources"]["limits"]["cpu"]) >= 1
        assert container["resources"]["requests"]["cpu"] == container["resources"]["limits"]["cpu"]


def test_the_canary_differs_from_the_embedder_in_its_pool_and_image_alone() -> None:
    base = (K8S / "base/embedder-deployment.yaml").read_text()
    canary = (K8S / "components/canary/embedder-canary-deployment.yaml").read_text()
    ours, theirs = yaml.safe_load(base), yaml.safe_load(canary)
    del theirs["spec"]["replicas"]
    text = yaml.safe_dump(theirs).replace("embedder-canary", "embedder").replace("pool: canary", "pool: stable")
    assert yaml.safe_load(text) == ours


def test_the_operators_token_comes_from_the_secret_that_the_operations_page_makes(full: list[Manifest]) -> None:
    (container,) = pod_templates(full)["gateway"]["spec"]["containers"]
    (token,) = [entry for entry in container["env"] if entry["name"] == "TANDEM_ADMIN_TOKEN"]
    secret = token["valueFrom"]["secretKeyRef"]
    assert secret["optional"] is True
    page = (K8S.parents[1] / "docs/operations.md").read_text()
    assert f"kubectl create secret generic {secret['name']} " in page
    assert f"--from-literal={secret['key']}=" in page


def test_the_api_key_comes_from_the_secret_that_the_deployment_page_makes(full: list[Manifest]) -> None:
    template = pod_templates(full)["gateway"]["spec"]
    (container,) = template["containers"]
    folder, _, key = environment(container)["TANDEM_API_KEY_FILE"].rpartition("/")
    (mount,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == folder]
    assert mount["readOnly"] is True
    (volume,) = [volume for volume in template["volumes"] if volume["name"] == mount["name"]]
    assert volume["secret"]["defaultMode"] == 0o440  # the pod's fsGroup reads it
    page = (K8S.parents[1] / "docs/deployment.md").read_text()
    assert f"kubectl create secret generic {volume['secret']['secretName']} " in page
    assert f"--from-literal={key}=" in page


def test_the_gateway_keeps_its_data_on_a_volume(full: list[Manifest]) -> None:
    gateway = one(full, "StatefulSet", "gateway")["spec"]
    assert gateway["replicas"] == 1
    (claim,) = gateway["volumeClaimTemplates"]
    (container,) = gateway["template"]["spec"]["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    dockerfile = (K8S.parents[1] / "services/gateway/Dockerfile").read_text()
    assert f"TANDEM_DATA_DIR={mounted[claim['metadata']['name']]}\n" in dockerfile
    assert set(gateway["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}
