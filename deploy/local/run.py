"""``make run``: both services, until Ctrl-C."""

import sys

from local_services import LOGS, LocalServices, caller_environment, report
from tandem_tools.group import interrupt_once
from tandem_tools.process import ProcessFailed


def main() -> int:
    """Run both services and return the exit status."""
    interrupt_once()
    try:
        with LocalServices(caller_environment(), report) as services:
            report(f"API: {services.gateway_url}/docs; logs: {LOGS}/; stop with Ctrl-C")
            services.wait()
            report("stopping: the services first answer the requests under way")
    except ProcessFailed as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
