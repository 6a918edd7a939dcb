"""The values of the Helm chart: what it refuses, what it says, and that all of them are documented."""

import json
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.deploy.chart import CHART, EVERYTHING, POSTGRES, VALUES, Values, documented, refusal, rendered, run_helm
from tests.deploy.kube_api import KubeApi, served
from tests.deploy.make_chart_files import COPIES, README, main, with_table
from tests.deploy.manifests import REPOSITORY, one

REFUSED: dict[str, Values] = {
    "additional properties 'gatway' not allowed": {"gatway": {}},
    "additional properties 'tgs' not allowed": {"gateway": {"image": {"tgs": "1"}}},
    "missing property 'cpu'": {"embedder": {"resources": {"limits": {"cpu": None}}}},
    "'/gateway/replicas': minimum: got 0, want 1": {"gateway": {"replicas": 0}},
    "additional properties 'FOO' not allowed": {"gateway": {"settings": {"FOO": "1"}}},
    "'/postgres/storeUrl': 'mysql://db/x' does not match": {"postgres": {"storeUrl": "mysql://db/x"}},
    "'/gateway/podLabels/app.kubernetes.io~1name': false schema": {
        "gateway": {"podLabels": {"app.kubernetes.io/name": "other"}}
    },
    "'/embedder/extraVolumes/0/name'": {"embedder": {"extraVolumes": [{"name": "tls", "emptyDir": {}}]}},
    "postgres.enabled needs postgres.existingSecret or postgres.storeUrl": {"postgres": {"enabled": True}},
    "postgres.existingSecret and postgres.storeUrl exclude each other": {
        "postgres": {"enabled": True, "existingSecret": "a", "storeUrl": "postgresql://b"}
    },
    "postgres.storeUrl needs postgres.enabled": {"postgres": {"storeUrl": "postgresql://b"}},
    "snapshots.url needs postgres.enabled": {"snapshots": {"url": "s3://b"}},
    "snapshots.region needs a snapshots.url that begins with s3://": {
        **POSTGRES, "snapshots": {"url": "file:///x", "region": "eu-west-1"}
    },
    "gateway.autoscaling.minReplicas is 5, more than gateway.autoscaling.maxReplicas (4)": {
        **POSTGRES, "snapshots": {"url": "s3://b"}, "gateway": {"autoscaling": {"minReplicas": 5}}
    },
    "snapshots.existingClaim needs a snapshots.url that begins with file://": {
        **POSTGRES, "snapshots": {"url": "s3://b", "existingClaim": "c"}
    },
    "snapshots.credentialsSecret needs a snapshots.url that begins with s3://": {
        "snapshots": {"credentialsSecret": "c"}
    },
    "ingress.enabled needs a name in ingress.hosts": {"ingress": {"enabled": True}},
    "canary.enabled needs adminToken.existingSecret or adminToken.generate": {"canary": {"enabled": True}},
    "adminToken.existingSecret and adminToken.generate exclude": {
        "adminToken": {"existingSecret": "a", "generate": True}
    },
    "gateway.settings: TANDEM_EMBEDDER_URL is set by the chart": {
        "gateway": {"settings": {"TANDEM_EMBEDDER_URL": "http://x"}}
    },
    "embedder.extraEnv: TANDEM_EMBEDDER_TOKEN is set by the chart": {
        "embedder": {"extraEnv": [{"name": "TANDEM_EMBEDDER_TOKEN", "value": "x"}]}
    },
    "gateway.extraEnv: TANDEM_LOG_LEVEL is there twice": {
        "gateway": {"settings": {"TANDEM_LOG_LEVEL": "a"}, "extraEnv": [{"name": "TANDEM_LOG_LEVEL", "value": "b"}]}
    },
    "embedder.autoscaling.minReplicas is 11, more than embedder.autoscaling.maxReplicas (10)": {
        "embedder": {"autoscaling": {"minReplicas": 11}}
    },
    "gateway.disruptionBudget.minAvailable is 3 of 3 gateways: no node could be drained": {
        **POSTGRES, "gateway": {"disruptionBudget": {"minAvailable": 3}}
    },
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_values_that_are_wrong_or_contradict_each_other_are_refused(message: str) -> None:
    assert message in refusal(REFUSED[message])


def test_it_can_be_a_part_of_another_chart() -> None:
    assert rendered({"global": {"imageRegistry": "x"}})


def test_an_older_kubernetes_is_refused() -> None:
    done = run_helm("template", "tandem", CHART, "--kube-version", "1.29.9")
    assert done.returncode != 0
    assert "kubeVersion" in done.stderr
    assert rendered({}, "tandem", "--kube-version", "1.31.2-gke.100")


def test_helm_finds_no_fault() -> None:
    for values in ({}, EVERYTHING):
        done = run_helm("lint", "--strict", CHART, values=values)
        assert done.returncode == 0, done.stdout


def test_the_notes_name_the_secret_and_warn_of_what_is_open() -> None:
    open_to_all: Values = {
        "networkPolicy": {"enabled": False},
        "ingress": {"enabled": True, "hosts": ["search.example"]},
    }
    done = run_helm("install", "tandem", CHART, "--dry-run=client", values=open_to_all)
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("\nNOTES:\n")[2]
    assert "kubectl get secret tandem-gateway-api-key --namespace default" in notes
    assert "http://search.example" in notes
    assert "Every pod of the cluster reaches the gateway" in notes
    assert "The embedders ask for no token" in notes
    assert "API keys travel in clear" in notes


def test_the_copies_and_the_table_are_those_of_today() -> None:
    for copy, source in COPIES.items():
        assert copy.read_text() == source.read_text(), "run: make alerts"
    assert README.read_text() == with_table(README.read_text()), "run: make alerts"
    assert f"| `{next(documented())[0]}` |" in README.read_text()


def test_writing_the_files_changes_nothing_but_the_table(tmp_path: Any) -> None:
    page = tmp_path / "README.md"
    page.write_text(README.read_text().replace("| `apiKey.key` |", "| `apiKey.other` |"))
    main(page)
    assert page.read_text() == README.read_text()


def test_the_table_has_every_value_and_the_schema_no_other() -> None:
    defaults = yaml.safe_load(VALUES.read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def paths(value: Any, path: str = "") -> Iterator[str]:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from paths(inner, f"{path}.{key}".removeprefix("."))
        else:
            yield path

    assert [path for path, default, _ in documented() if default] == list(paths(defaults))

    def described(value: Any, place: Any, path: str = "") -> Iterator[str]:
        place = schema["definitions"][place["$ref"].rpartition("/")[2]] if "$ref" in place else place
        for key, inner in place.get("properties", {}).items():
            if isinstance(value, dict) and key in value:
                yield from described(value[key], inner, f"{path}.{key}".removeprefix("."))
            elif key not in {"global", "claims"}:
                yield f"{path}.{key}"

    assert list(described(defaults, schema)) == [], "in the schema, and not in values.yaml"


def test_the_values_on_the_page_are_those_of_the_chart() -> None:
    page = (REPOSITORY / "docs" / "helm.md").read_text()
    blocks = re.findall(r"(?m)^    (?:# values.yaml|networkPolicy:)\n(?:    .*\n)+", page)
    assert len(blocks) == 2
    for block in blocks:
        objects = rendered(yaml.safe_load(textwrap.dedent(block)))
        assert one(objects, "StatefulSet", "tandem-gateway")
    policy = one(objects, "NetworkPolicy", "tandem-gateway")["spec"]
    assert policy["ingress"][0]["from"][1] == {"podSelector": {"matchLabels": {"app": "shop"}}}


def test_every_value_that_the_page_names_exists() -> None:
    page = (REPOSITORY / "docs" / "helm.md").read_text()
    known = {path for path, _, _ in documented()}
    groups = {path.partition(".")[0] for path in known}
    named = {name for name in re.findall(r"`([a-zA-Z]+(?:\.[a-zA-Z]+)+)`", page) if name.partition(".")[0] in groups}
    assert len(named) > 15
    assert named <= known | {path.rpartition(".")[0] for path in known}


def test_an_upgrade_keeps_the_secrets_that_the_chart_made() -> None:
    tokens: Values = {"embedderToken": {"generate": True}, "adminToken": {"generate": True}}
    before = {item["metadata"]["name"]: item for item in rendered(tokens) if item["kind"] == "Secret"}
    assert before.keys() == {"tandem-gateway-api-key", "tandem-embedder-token", "tandem-gateway-admin"}
    kinds = {item["kind"]: item["apiVersion"] for item in rendered(tokens)}
    owner = {f"meta.helm.sh/release-{name}": value for name, value in (("name", "tandem"), ("namespace", "search"))}
    there = {
        f"/api/v1/namespaces/search/secrets/{name}": {**item, "metadata": {**item["metadata"], "annotations": owner}}
        for name, item in before.items()
    }
    with served(KubeApi(kinds, there)) as url:
        options = ("--dry-run=server", "--disable-openapi-validation", "--kube-apiserver", url)
        after = rendered(tokens, "tandem", *options)
    assert {name: one(after, "Secret", name)["data"] for name in before} == {
        name: item["data"] for name, item in before.items()
    }
    assert len({value for item in before.values() for value in item["data"].values()}) == 3
