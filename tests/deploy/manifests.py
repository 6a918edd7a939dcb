"""The deployment's files, read in the same way as the tools read them."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.tools import run, tool

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
K8S = DEPLOY / "k8s"

BUILDS = (
    "base",
    "overlays/queue-autoscaling",
    "overlays/monitoring",
    "overlays/canary",
    "overlays/full",
    "overlays/postgres",
    "overlays/postgres-s3",
    "overlays/postgres-volume",
)

Manifest = dict[str, Any]


@cache
def rendered(build: str) -> list[Manifest]:
    """Return the objects of a base or overlay, as ``kubectl apply -k`` sends them; no test may change them."""
    program = tool("kustomize", "kubectl")
    verb = "build" if program.endswith("kustomize") else "kustomize"
    return [document for document in yaml.safe_load_all(run([program, verb, K8S / build])) if document]


@cache
def written() -> list[tuple[Path, Manifest]]:
    """Return every manifest that is a complete file: no patch, no values, no kustomization. No test may change them."""
    return [
        (path, document)
        for path in sorted(K8S.rglob("*.yaml"))
        if path.name != "kustomization.yaml" and not path.stem.endswith(("-patch", "-values"))
        for document in yaml.safe_load_all(path.read_text())
    ]


def one(objects: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the only object of this kind and name."""
    (found,) = [item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def pod_templates(objects: list[Manifest]) -> dict[str, Manifest]:
    """Return name → pod template of every object that makes pods."""
    return {
        item["metadata"]["name"]: item["spec"]["template"]
        for item in objects
        if item["kind"] in {"Deployment", "StatefulSet"}
    }


def environment(container: Manifest) -> dict[str, str]:
    """Return a container's variables; the value is empty if it comes from a secret or another object."""
    return {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}


def compose() -> Manifest:
    """Return ``deploy/compose.yml`` without its interpolation."""
    content: Manifest = yaml.safe_load((DEPLOY / "compose.yml").read_text())
    return content
