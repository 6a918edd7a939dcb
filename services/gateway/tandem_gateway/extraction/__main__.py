"""Entry point: ``python -m tandem_gateway.extraction MEMORY_BYTES CPU_SECONDS < task``."""

from tandem_gateway.extraction.process import main

if __name__ == "__main__":
    main()
