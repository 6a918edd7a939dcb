"""The compared architectures: their processes, environments and settings."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

EnvironmentName = str
"""A virtual environment: ``monolith``, ``one-process``, ``embedder`` or ``gateway``."""

READY_SECONDS = 120.0
"""Time from the first start until all processes must be ready."""


@dataclass(frozen=True)
class Service:
    """One process of an architecture."""

    name: str
    environment: EnvironmentName | None
    """None for a program without a Python environment; the program is then the first of ``arguments``."""
    arguments: tuple[str, ...]
    """Arguments of the interpreter."""
    variables: Mapping[str, str]
    ready_urls: tuple[str, ...]
    """All of these URLs answer 200 once the process is ready."""


@dataclass(frozen=True)
class Site:
    """Where an architecture runs: its folders and ports."""

    folder: Path
    """Its own folder, for data."""
    model_dir: Path
    """The prepared model."""
    free_port: Callable[[], int]
    sentence_transformers_model: Path | None = None
    """The model in the form that architecture A reads."""


@dataclass(frozen=True)
class Deployment:
    """An architecture with its ports: the processes to start, and the URL for clients."""

    url: str
    services: tuple[Service, ...]
    """Empty for a server that the benchmark does not start."""
    probe: bool = False
    """Wait until ``/readyz`` of the URL answers 200, or ``/healthz`` if there is no ``/readyz``."""
    ready_seconds: float = READY_SECONDS
    observed: Mapping[str, int] = field(default_factory=dict)
    """Name → id of processes that the benchmark samples but did not start."""


@dataclass(frozen=True)
class Architecture:
    """A way to run a search service."""

    key: str
    title: str
    description: str
    environments: tuple[EnvironmentName, ...]
    deploy: Callable[[Site], Deployment] = field(repr=False)
    needs_torch: bool = False
    sampled: bool = True
    """Whether the benchmark knows its processes, so that it can measure their memory and CPU time."""


def _monolith(site: Site) -> Deployment:
    port = site.free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ("-m", "uvicorn", "gateway_bench.monolith.app:app", "--port", str(port), "--log-level", "warning")
    assert site.sentence_transformers_model is not None
    variables = {"MONOLITH_MODEL": str(site.sentence_transformers_model), "HF_HUB_OFFLINE": "1"}
    return Deployment(url, (Service("monolith", "monolith", arguments, variables, (f"{url}/healthz",)),))


def _one_process(precision: str) -> Callable[[Site], Deployment]:
    def deploy(site: Site) -> Deployment:
        port = site.free_port()
        url = f"http://127.0.0.1:{port}"
        variables = {
            "TANDEM_GATEWAY_PORT": str(port),
            "TANDEM_DATA_DIR": str(site.folder / "data"),
            "TANDEM_MODEL_DIR": str(site.model_dir),
            "TANDEM_PRECISION": precision,
        }
        arguments = ("-m", "gateway_bench.architectures.one_process")
        ready = (f"{url}/readyz", f"{url}/model/readyz")
        return Deployment(url, (Service("one-process", "one-process", arguments, variables, ready),))

    return deploy


def _split(precision: str, replicas: int = 1) -> Callable[[Site], Deployment]:
    def deploy(site: Site) -> Deployment:
        embedders = []
        for number in range(replicas):
            port = site.free_port()
            variables = {
                "TANDEM_EMBEDDER_PORT": str(port),
                "TANDEM_MODEL_DIR": str(site.model_dir),
                "TANDEM_PRECISION": precision,
            }
            if replicas > 1:  # replicas on one machine share its cores, and no replica knows of the others
                variables["TANDEM_WORKERS"] = str(max(1, len(os.sched_getaffinity(0)) // replicas))
            name = "embedder" if replicas == 1 else f"embedder-{number + 1}"
            ready = (f"http://127.0.0.1:{port}/readyz",)
            embedders.append(Service(name, "embedder", ("-m", "tandem_embedder"), variables, ready))
        port = site.free_port()
        url = f"http://127.0.0.1:{port}"
        variables = {
            "TANDEM_GATEWAY_PORT": str(port),
            "TANDEM_DATA_DIR": str(site.folder / "data"),
            "TANDEM_EMBEDDER_URL": ",".join(service.ready_urls[0].removesuffix("/readyz") for service in embedders),
        }
        gateway = Service("gateway", "gateway", ("-m", "tandem_gateway"), variables, (f"{url}/readyz",))
        return Deployment(url, (*embedders, gateway))

    return deploy


ARCHITECTURES: dict[str, Architecture] = {
    architecture.key: architecture
    for architecture in (
        Architecture(
            "A",
            "A. Python monolith, fp32",
            "FastAPI, sentence-transformers (PyTorch) and NumPy in one process",
            ("monolith",),
            _monolith,
            needs_torch=True,
        ),
        Architecture(
            "B-fp32",
            "B. One process, fp32",
            "Tandem's gateway and embedder in one process, no HTTP between them",
            ("one-process",),
            _one_process("fp32"),
        ),
        Architecture(
            "B-int8",
            "B. One process, int8",
            "the same with the int8 model",
            ("one-process",),
            _one_process("int8"),
        ),
        Architecture(
            "C-fp32",
            "C. Tandem, fp32",
            "an embedder and a gateway, two processes, HTTP between them",
            ("embedder", "gateway"),
            _split("fp32"),
        ),
        Architecture(
            "C-int8",
            "C. Tandem, int8",
            "the same with the int8 model, Tandem's default",
            ("embedder", "gateway"),
            _split("int8"),
        ),
        Architecture(
            "Cx2-int8",
            "C×2. Tandem, int8, two embedders",
            "two embedder replicas that share this machine's cores, one gateway",
            ("embedder", "gateway"),
            _split("int8", replicas=2),
        ),
    )
}
