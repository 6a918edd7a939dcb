"""The Helm chart makes the same objects as deploy/k8s, and with its values those that they ask for."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import kubernetes_validate
import pytest

import tandem_embedder.settings
import tandem_gateway
import tandem_gateway.settings
from tests.deploy import manifests
from tests.deploy.chart import CANARY, EVERYTHING, MONITORING, OVERLAYS, POSTGRES, TOKEN, Values, rendered
from tests.deploy.manifests import Manifest, environment, one, pod_templates
from tests.deploy.memory import memory_needed
from tests.docs.settings import variables
from tests.support.connections import CONNECTIONS, SHARED_CONNECTIONS

# The oldest version that the chart supports, and the newest.
VERSIONS = ("1.30", "1.37")

OPERATOR_KINDS = {"ServiceMonitor", "PrometheusRule"}

# What Helm adds to the labels; `instance` also tells the pods of two releases in one namespace apart.
OF_HELM = {f"app.kubernetes.io/{name}" for name in ("instance", "version", "managed-by")} | {"helm.sh/chart"}


@pytest.fixture(scope="module", autouse=True)
def schemas_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kubernetes_validate.utils.schema_contents", cache(kubernetes_validate.utils.schema_contents))
        yield


def is_hook(item: Manifest) -> bool:
    return "helm.sh/hook" in item["metadata"].get("annotations", {})


def as_in_kustomize(objects: list[Manifest], prefix: str) -> dict[tuple[str, str], Manifest]:
    """Return kind and name → object of a release, without what Helm adds and with the names of deploy/k8s."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items() if key not in OF_HELM}
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        return value.replace(f"{prefix}-", "") if isinstance(value, str) else value

    found = [plain(item) for item in objects if not is_hook(item)]
    return comparable([item for item in found if item["kind"] not in {"Secret", "ServiceAccount"}])


def comparable(objects: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    """Return kind and name → object, with lists whose order says nothing sorted by name."""
    result = {}
    for item in json.loads(json.dumps(objects)):
        item["metadata"].pop("namespace", None)
        template = item.get("spec", {}).get("template")
        if template is not None:
            template["spec"].pop("serviceAccountName", None)
            (container,) = template["spec"]["containers"]
            for unordered in (template["spec"].get("volumes"), container["env"], container.get("volumeMounts")):
                (unordered or []).sort(key=lambda each: each["name"])
            for entry in container["env"]:
                # A Secret that the chart's values name must be there.
                entry.get("valueFrom", {}).get("secretKeyRef", {}).pop("optional", None)
        result[item["kind"], item["metadata"]["name"]] = item
    return result


@cache
def build(overlay: str) -> list[Manifest]:
    """Return the objects of the values that match an overlay, under names that appear nowhere else."""
    return rendered({**OVERLAYS[overlay], **TOKEN, "fullnameOverride": "zzz"}, "rrr")


@cache
def everything() -> list[Manifest]:
    return rendered(EVERYTHING)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_it_makes_the_objects_of_deploy_k8s(overlay: str) -> None:
    ours = as_in_kustomize(build(overlay), "zzz")
    theirs = comparable([item for item in manifests.rendered(overlay) if item["kind"] != "Namespace"])
    monitors = {key: ours.pop(key) for key in list(ours) if key[0] == "ServiceMonitor"}
    monitor = theirs.pop(("ServiceMonitor", "tandem"), None)
    if ("PrometheusRule", "zzz") in ours:
        ours["PrometheusRule", "tandem"] = ours.pop(("PrometheusRule", "zzz"))
        ours["PrometheusRule", "tandem"]["metadata"]["name"] = "tandem"
    assert ours.keys() == theirs.keys()
    for key, item in theirs.items():
        assert ours[key] == item, key
    # One monitor for each service, since each may have TLS; together they select what that of deploy/k8s does.
    assert bool(monitors) == (monitor is not None)
    for found in monitors.values():
        assert monitor is not None
        selected = found["spec"].pop("selector")["matchLabels"]
        assert selected == {"app.kubernetes.io/name": f"tandem-{found['metadata']['name']}"}
        assert {**found["spec"], "selector": monitor["spec"]["selector"]} == monitor["spec"]


def test_every_overlay_is_compared() -> None:
    assert OVERLAYS.keys() == set(manifests.BUILDS)


def test_the_default_differs_from_the_base_in_secrets_alone() -> None:
    """The chart makes the API key, and has no token of embedders until one is asked for."""
    ours = rendered({"fullnameOverride": "zzz"}, "rrr")
    for name, item in pod_templates(build("base")).items():
        default = pod_templates(ours)[name]
        (container,), (expected,) = default["spec"]["containers"], json.loads(json.dumps(item["spec"]["containers"]))
        expected["env"] = [entry for entry in expected["env"] if entry["name"] != "TANDEM_EMBEDDER_TOKEN"]
        assert container == expected
    secret = one(ours, "Secret", "zzz-gateway-api-key")
    assert secret["data"].keys() == {"key"}
    assert len(secret["data"]["key"]) == 64  # 48 characters as base64: more than the 32 that the gateway demands
    other = one(rendered({"fullnameOverride": "zzz"}, "rrr"), "Secret", "zzz-gateway-api-key")
    assert other["data"] != secret["data"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["default", "everything"])
def test_the_objects_are_valid(name: str, version: str) -> None:
    objects = everything() if name == "everything" else rendered()
    assert {item["kind"] for item in objects} >= {"NetworkPolicy", "Pod", "Secret", "ServiceAccount", "Service"}
    for item in objects:
        if item["kind"] in OPERATOR_KINDS:
            assert item["apiVersion"] == "monitoring.coreos.com/v1"
        else:
            kubernetes_validate.validate(item, version, strict=True)


def test_no_object_is_there_twice() -> None:
    keys = [(item["kind"], item["metadata"]["name"]) for item in everything()]
    assert len(keys) == len(set(keys))


def pods(objects: list[Manifest]) -> dict[str, Manifest]:
    """Return name → pod of every object that makes pods, and of the test."""
    tests = {item["metadata"]["name"]: item for item in objects if item["kind"] == "Pod"}
    return {**pod_templates(objects), **tests}


def test_pods_meet_the_restricted_standard_and_have_no_token_of_the_cluster() -> None:
    accounts = {item["metadata"]["name"]: item for item in everything() if item["kind"] == "ServiceAccount"}
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())
    assert pods(everything()).keys() == {"tandem-gateway", "tandem-embedder", "tandem-embedder-canary", "tandem-test"}
    for pod in pods(everything()).values():
        spec = pod["spec"]
        assert spec["serviceAccountName"] in accounts
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_selectors_tell_the_pods_of_two_releases_apart() -> None:
    for item in everything():
        spec = item.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector")
        if item["kind"] != "Ingress" and selector:
            labels = selector.get("matchLabels", selector)
            assert labels["app.kubernetes.io/instance"] == "tandem", item["kind"]


def test_services_and_policies_select_pods_that_exist() -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pod_templates(everything()).items()}
    for item in everything():
        if item["kind"] in {"Service", "PodDisruptionBudget", "NetworkPolicy"}:
            selector = item["spec"].get("selector") or item["spec"]["podSelector"]
            wanted = selector.get("matchLabels", selector).items()
            assert [name for name, given in labels.items() if wanted <= given.items()], item["metadata"]["name"]


def test_the_urls_that_the_gateway_calls_are_those_of_headless_services() -> None:
    for values, scheme in ((CANARY, "http"), ({**CANARY, "embedder": {"tlsSecret": "tls"}}, "https")):
        objects = rendered(values, "search")
        (container,) = pod_templates(objects)["search-tandem-gateway"]["spec"]["containers"]
        urls = {name: value for name, value in environment(container).items() if name.endswith("_URL")}
        assert urls == {
            "TANDEM_EMBEDDER_URL": f"{scheme}://search-tandem-embedder:8080",
            "TANDEM_CANARY_URL": f"{scheme}://search-tandem-embedder-canary:8080",
        }
        for name in ("search-tandem-embedder", "search-tandem-embedder-canary"):
            assert one(objects, "Service", name)["spec"]["clusterIP"] == "None"


def test_tls_reaches_probes_files_monitors_and_the_test() -> None:
    templates = pod_templates(everything())
    for name, template in templates.items():
        (container,) = template["spec"]["containers"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["scheme"] == "HTTPS", name
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        files = {value.rpartition("/")[0] for key, value in environment(container).items() if key.endswith("_FILE")}
        assert files <= mounted, name
        names = {mount["name"] for mount in container["volumeMounts"]}
        assert names == {volume["name"] for volume in template["spec"]["volumes"]} | (names & {"data"})
        assert template["spec"]["securityContext"]["fsGroup"] == 10001  # it reads the key
    volumes = templates["tandem-gateway"]["spec"]["volumes"]
    (ca,) = [volume["secret"] for volume in volumes if volume["name"] == "embedder-ca"]
    assert [item["key"] for item in ca["items"]] == ["ca.crt"]  # not the embedders' key
    for service in ("gateway", "embedder"):
        (endpoint,) = one(everything(), "ServiceMonitor", f"tandem-{service}")["spec"]["endpoints"]
        assert endpoint["scheme"] == "https"
    (container,) = one(everything(), "Pod", "tandem-test")["spec"]["containers"]
    assert container["command"][4:] == [
        "https://tandem-gateway:80",
        "/etc/tandem/api-key/key",
        "/etc/tandem/tls/tls.crt",
    ]


def test_the_variables_are_settings_and_none_is_there_twice() -> None:
    for name, settings in {
        "tandem-gateway": tandem_gateway.settings.Settings,
        "tandem-embedder": tandem_embedder.settings.Settings,
    }.items():
        (container,) = pod_templates(everything())[name]["spec"]["containers"]
        names = [entry["name"] for entry in container["env"]]
        assert len(names) == len(set(names))
        assert set(names) - {"TZ"} <= variables(settings)
    (container,) = pod_templates(everything())["tandem-gateway"]["spec"]["containers"]
    given = environment(container)
    assert given["TANDEM_MAX_BODY_BYTES"] == "50000000"  # not 5e+07
    assert given["TANDEM_RESOLVE_SECONDS"] == "2.5"
    assert given["TANDEM_SNAPSHOT_URL"] == "file:///mnt/snapshots"
    assert "/mnt/snapshots" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_snapshots_are_at_an_object_storage_of_ones_own() -> None:
    snapshots = {"url": "s3://bucket/prefix", "endpointUrl": "http://minio.minio:9000", "credentialsSecret": "storage"}
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "minio"}}}]
    policy = {"objectStorage": peers, "objectStoragePort": 9000}
    objects = rendered({**POSTGRES, "snapshots": snapshots, "networkPolicy": policy})
    (container,) = pod_templates(objects)["tandem-gateway"]["spec"]["containers"]
    given = environment(container)
    assert given["AWS_ENDPOINT_URL"] == "http://minio.minio:9000"
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= given.keys()
    (rule,) = one(objects, "NetworkPolicy", "tandem-gateway-snapshots")["spec"]["egress"]
    assert rule == {"to": peers, "ports": [{"port": 9000, "protocol": "TCP"}]}


def test_the_database_has_connections_for_every_gateway() -> None:
    for values, per_gateway in ((POSTGRES, CONNECTIONS), (OVERLAYS["overlays/postgres-volume"], SHARED_CONNECTIONS)):
        most = one(rendered(values), "HorizontalPodAutoscaler", "tandem-gateway")["spec"]["maxReplicas"]
        assert (most + 1) * per_gateway <= 97
    chosen = {**POSTGRES, "gateway": {"autoscaling": {"maxReplicas": 20}}}
    assert one(rendered(chosen), "HorizontalPodAutoscaler", "tandem-gateway")["spec"]["maxReplicas"] == 20


def test_memory_covers_a_service_at_rest_and_the_budgets_of_requests() -> None:
    for name, template in pod_templates(build("base")).items():
        (container,) = template["spec"]["containers"]
        requested = container["resources"]["requests"]["memory"]
        assert int(requested.removesuffix("Mi")) >= memory_needed(name.removeprefix("zzz-"))


def images(objects: list[Manifest]) -> dict[str, str]:
    return {name: pod["spec"]["containers"][0]["image"] for name, pod in pods(objects).items()}


def test_images_carry_the_version_of_the_code_or_what_is_named() -> None:
    assert images(rendered()) == {
        "tandem-gateway": f"tandem-gateway:{tandem_gateway.__version__}",
        "tandem-embedder": f"tandem-embedder:{tandem_gateway.__version__}",
        "tandem-test": f"tandem-gateway:{tandem_gateway.__version__}",
    }
    digest = "registry.example/tandem-embedder@sha256:" + "a" * 64
    found = images(everything())
    # A canary without an image of its own is the embedder's, digest included.
    assert (found["tandem-embedder"], found["tandem-embedder-canary"]) == (digest, digest)
    values = {**CANARY, "canary": {"enabled": True, "image": {"tag": "new"}}, "embedder": EVERYTHING["embedder"]}
    found = images(rendered(values))
    assert (found["tandem-embedder"], found["tandem-embedder-canary"]) == (
        digest,
        "registry.example/tandem-embedder:new",
    )


def test_the_alert_of_the_volume_names_the_claim_of_the_release() -> None:
    rule = one(rendered(MONITORING, "search"), "PrometheusRule", "search-tandem")["spec"]
    (volume,) = [alert for group in rule["groups"] for alert in group["rules"] if alert["alert"] == "TandemVolumeFull"]
    names = re.findall(r'persistentvolumeclaim=~"([^"]+)"', volume["expr"])
    assert names
    assert all(re.fullmatch(name, "data-search-tandem-gateway-0") for name in names)


def test_the_dashboard_is_that_of_deploy() -> None:
    found = one(rendered({"monitoring": {"dashboard": True}}), "ConfigMap", "tandem-dashboard")
    assert json.loads(found["data"]["tandem.json"])["panels"]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_only_named_peers_reach_the_gateway() -> None:
    closed = one(rendered({"networkPolicy": {"gatewayFrom": []}}), "NetworkPolicy", "tandem-gateway")["spec"]
    assert closed["ingress"] == []  # and not a rule without peers, which admits everybody
    assert [item for item in rendered({"networkPolicy": {"enabled": False}}) if item["kind"] == "NetworkPolicy"] == []
    policy = next(item for item in everything() if item["kind"] == "NetworkPolicy" and is_hook(item))
    (source,) = policy["spec"]["ingress"][0]["from"]
    labels = one(everything(), "Pod", "tandem-test")["metadata"]["labels"].items()
    assert source["podSelector"]["matchLabels"].items() <= labels


def test_fixed_numbers_take_the_place_of_the_autoscalers() -> None:
    values: Values = {
        "postgres": POSTGRES["postgres"],
        "gateway": {"autoscaling": {"enabled": False}, "replicas": 4},
        "embedder": {"autoscaling": {"enabled": False}, "replicas": 7},
    }
    objects = rendered(values)
    assert [item for item in objects if item["kind"] == "HorizontalPodAutoscaler"] == []
    assert one(objects, "Deployment", "tandem-gateway")["spec"]["replicas"] == 4
    assert one(objects, "Deployment", "tandem-embedder")["spec"]["replicas"] == 7


@pytest.mark.parametrize("release", ["a", "x" * 53, "my-tandem-search"])
def test_names_are_no_longer_than_kubernetes_allows(release: str) -> None:
    for item in rendered(CANARY, release):
        assert len(item["metadata"]["name"]) <= (52 if item["kind"] == "StatefulSet" else 63)
