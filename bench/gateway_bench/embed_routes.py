"""``python -m gateway_bench.embed_routes``: the gateway's ``/v1/embeddings`` beside the embedder's own ``/embed``.

It starts one embedder and one gateway before it, without the cache of query vectors, and gives both to
``gateway_bench.embed``, which loads them in turn, round by round. Its table compares the gateway with the embedder.
Further options are those of that command, which also defines the exit status.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gateway_bench import embed
from gateway_bench.arguments import positive_whole, several
from tandem_tools.group import ProcessGroup, interrupt_once
from tandem_tools.process import Process, ProcessFailed, free_port, inherited_environment
from tandem_tools.readiness import answers


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    command = argparse.ArgumentParser(
        prog="python -m gateway_bench.embed_routes",
        description="Measure the gateway's /v1/embeddings beside the embedder's own /embed, round by round.",
        epilog="Other options are those of python -m gateway_bench.embed.",
        allow_abbrev=False,
    )
    command.add_argument(
        "-c",
        "--clients",
        type=several(positive_whole),
        default=[16, 64],
        metavar="N[,N...]",
        help="clients that wait for an answer before they ask again; a load for each (default: 16,64)",
    )
    command.add_argument("--model-dir", type=Path, default=Path("models/all-MiniLM-L6-v2"), metavar="DIR")
    options, others = command.parse_known_args(arguments)
    interrupt_once()
    clients = ",".join(map(str, options.clients))
    try:
        with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
            embedder, gateway = _services(options.model_dir.resolve(), Path(folder))
            with ProcessGroup([embedder[0], gateway[0]]):
                return embed.main(
                    [
                        f"embedder={embedder[1]}",
                        f"gateway:openai={gateway[1]}",
                        f"--pid=embedder={embedder[0].pid}",
                        f"--pid=gateway={gateway[0].pid}",
                        f"--clients={clients}",
                        *others,
                    ]
                )
    except ProcessFailed as error:
        print(f"gateway_bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("gateway_bench: interrupted; no process is left", file=sys.stderr)
        return 130


def _services(model_dir: Path, folder: Path) -> tuple[tuple[Process, str], tuple[Process, str]]:
    """Return the embedder and the gateway, not started, each with its URL."""
    embedder_port, gateway_port = free_port(), free_port()
    url = f"http://127.0.0.1:{embedder_port}"
    embedder = _process(
        "embedder", folder, url, {"TANDEM_EMBEDDER_PORT": str(embedder_port), "TANDEM_MODEL_DIR": str(model_dir)}
    )
    variables = {
        "TANDEM_GATEWAY_PORT": str(gateway_port),
        "TANDEM_EMBEDDER_URL": url,
        "TANDEM_DATA_DIR": str(folder / "data"),
        "TANDEM_ACCESS_LOG": "false",
        "TANDEM_QUERY_CACHE_SIZE": "0",
    }
    gateway_url = f"http://127.0.0.1:{gateway_port}"
    return (embedder, url), (_process("gateway", folder, gateway_url, variables), gateway_url)


def _process(name: str, folder: Path, url: str, variables: dict[str, str]) -> Process:
    command = [sys.executable, "-m", f"tandem_{name}"]
    environment = inherited_environment() | variables
    return Process(name, command, folder / f"{name}.log", env=environment, ready=answers(f"{url}/readyz"))


if __name__ == "__main__":
    sys.exit(main())
