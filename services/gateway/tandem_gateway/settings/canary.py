"""The canary, its shares of traffic, and the limits for a rollback."""

from dataclasses import dataclass

from tandem_gateway.settings.parsers import optional_urls
from tandem_runtime.settings import number, seconds, setting, whole_number


@dataclass(frozen=True, kw_only=True)
class CanaryOptions:
    """The canary, its shares of traffic, and the limits for a rollback."""

    canary_url: str = setting(
        "CANARY_URL",
        "",
        optional_urls,
        "URL of the canary, a second pool of embedders that gets a share of the traffic; same form as "
        "TANDEM_EMBEDDER_URL",
    )
    canary_weight: int = setting(
        "CANARY_WEIGHT",
        0,
        whole_number(0, 100),
        "Percentage of embedder calls that go to the canary, for collections with its model. A rollback sets it "
        "to 0. PUT /v1/admin/traffic changes it until the next start, and in a store that "
        "gateways share for good",
    )
    shadow_percent: int = setting(
        "CANARY_SHADOW",
        0,
        whole_number(0, 100),
        "Percentage of the stable pool's query calls that the gateway also sends to the canary, to compare the "
        "two. Clients never wait for these calls. Raise it to compare sooner; lower it to save the canary work",
    )
    rollback_error_rate: float = setting(
        "ROLLBACK_ERROR_RATE",
        0.05,
        number(0, 1),
        "Roll back when this share of the canary's calls fails, and a smaller share of the stable pool's calls. "
        "Raise it to tolerate more errors; lower it to roll back sooner",
    )
    rollback_p95_ratio: float = setting(
        "ROLLBACK_P95_RATIO",
        2.0,
        number(1, 1000),
        "Roll back when the canary's p95 latency exceeds the stable pool's p95 by this factor. Raise it for a "
        "canary on slower hardware; lower it to roll back sooner",
    )
    rollback_cosine: float = setting(
        "ROLLBACK_COSINE",
        0.99,
        number(-1, 1),
        "Roll back when the 5th percentile of the cosine similarity between both pools' vectors is below this "
        "value. Only shadow calls are compared. Lower it to accept larger differences",
    )
    rollback_samples: int = setting(
        "ROLLBACK_SAMPLES",
        50,
        whole_number(2, 2000),
        "Minimum number of calls, or compared texts, before a rollback limit applies. Half as many further calls "
        "must confirm the breach. Raise it against false alarms; lower it to roll back after fewer bad calls",
    )
    rollback_window: float = setting(
        "ROLLBACK_WINDOW_SECONDS",
        60.0,
        seconds(1, 3600),
        "Seconds for which a call counts towards a rollback. Raise it if the canary gets few calls; lower it to "
        "forget old calls sooner",
    )
