"""The memory that a service's container needs."""

import tandem_embedder.settings
import tandem_gateway.settings

# Resident memory under load with fp32 and with a small index: docs/operations.md.
_AT_REST = {"embedder": 191, "gateway": 71}


def memory_needed(service: str) -> int:
    """Return the MiB that a service needs: its memory at rest plus the default budgets for requests."""
    gateway, embedder = tandem_gateway.settings.Settings(), tandem_embedder.settings.Settings()
    budgets = {
        "embedder": embedder.max_bytes_in_flight,
        "gateway": gateway.max_bytes_in_flight + gateway.max_answer_bytes,
    }
    return _AT_REST[service] + (budgets[service] >> 20)
