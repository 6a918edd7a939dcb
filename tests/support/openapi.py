"""The gateway's Litestar application without a gateway behind it, and its OpenAPI document."""

from typing import Any, cast

from litestar import Litestar

from tandem_gateway.http import openapi
from tandem_gateway.http.form import FormLimits
from tandem_gateway.http.ingest_body import IngestReader
from tandem_gateway.http.limits import BodyLimits
from tandem_gateway.http.litestar_app import make_litestar
from tandem_gateway.lifecycle import Gateway
from tandem_gateway.use_cases.canary.sharing import TrafficSharing
from tandem_gateway.use_cases.validation import RequestLimits
from tandem_runtime.memory import MemoryBudget


def described_app(limits: RequestLimits) -> Litestar:
    bodies = BodyLimits(1 << 20, 1 << 16, 1 << 20, MemoryBudget(1 << 20, "A_SETTING"))
    operators = (cast(TrafficSharing, None), "")
    return make_litestar(
        cast(Gateway, None),
        limits,
        bodies,
        IngestReader(limits, timeout=1.0),
        FormLimits(limits.files, 1 << 20, limits.metadata_bytes),
        operators,
    )


def document(limits: RequestLimits) -> dict[str, Any]:
    return openapi.document(described_app(limits), limits)
