"""``make run``: both services, until Ctrl-C."""

import sys
from pathlib import Path

from processes import CannotRun, Services, environment


def main() -> int:
    """Run both services and return the exit status."""
    logs = Path(".cache") / "logs"
    try:
        with Services(logs, environment(), report) as services:
            report(f"API: {services.gateway_url}/docs; logs: {logs}/; stop with Ctrl-C")
            services.wait()
            report("stopping: requests under way are finished first")
    except CannotRun as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def report(line: str) -> None:
    """Print a line at once."""
    print(f"tandem: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
