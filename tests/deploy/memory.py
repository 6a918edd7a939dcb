"""What a service needs of a container's memory."""

import tandem_embedder.settings
import tandem_gateway.settings

# Resident under load with fp32, and with a small index: docs/operations.md.
_AT_REST = {"embedder": 191, "gateway": 96}


def memory_needed(service: str) -> int:
    """Return MiB at rest and of the budgets that the settings' defaults give to requests."""
    gateway, embedder = tandem_gateway.settings.Settings(), tandem_embedder.settings.Settings()
    budgets = {
        "embedder": embedder.max_bytes_in_flight,
        "gateway": gateway.max_bytes_in_flight + gateway.max_answer_bytes,
    }
    return _AT_REST[service] + (budgets[service] >> 20)
