"""Builds the tracer from the settings and OpenTelemetry's environment variables.

OpenTelemetry's SDK ignores a variable that it does not understand. A service that then records everything, or sends it
elsewhere, surprises its operator. So this module refuses such a variable at the start, as it does a wrong setting.

The variables: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from tandem_runtime.settings import SettingsError
from tandem_runtime.span_export import ExportEvents, ExportLimits, SpanExport
from tandem_runtime.tracing import Tracer

log = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 2.0
"""Time to export the last spans when a service ends."""

_PACKAGES: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
_SAMPLERS: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
_MAX_QUEUE: Final = 100_000  # 300 MB
_MAX_MILLISECONDS: Final = 3_600_000


def build_tracer(
    service: str, version: str, environment: Mapping[str, str], events: ExportEvents, *, wanted: bool
) -> Tracer | None:
    """Return the tracer of a service; None if tracing is off.

    Args:
        service: ``gateway`` or ``embedder``.
        version: of the service.
        environment: the process's own, which the SDK reads, too.
        events: callbacks for metrics.
        wanted: value of the setting TANDEM_TRACING.

    Raises:
        SettingsError: as ``check_tracing``.
    """
    if not check_tracing(service, environment, wanted=wanted):
        return None
    # Only if tracing is on: these modules take 20 MiB, and some tenths of a second at the start.
    from tandem_runtime.otel import OtelTracer  # noqa: PLC0415
    from tandem_runtime.otlp import OtlpExporter  # noqa: PLC0415

    return OtelTracer(f"tandem-{service}", version, SpanExport(OtlpExporter(), export_limits(environment), events))


def check_tracing(service: str, environment: Mapping[str, str], *, wanted: bool) -> bool:
    """Return whether to record spans.

    Raises:
        SettingsError: tracing is on, and its packages are not installed or a variable of OpenTelemetry is wrong.
    """
    if not wanted:
        return False
    if not is_enabled(environment):
        log.warning("TANDEM_TRACING is on, and OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER turns tracing off")
        return False
    check_environment(environment)
    if not _installed():
        raise SettingsError(
            "TANDEM_TRACING: the packages of OpenTelemetry are not installed; install "
            f"tandem-services[{service},tracing], or set TANDEM_TRACING=false"
        )
    return True


def is_enabled(environment: Mapping[str, str]) -> bool:
    """Return whether OpenTelemetry's variables leave tracing on."""
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not disabled and environment.get("OTEL_TRACES_EXPORTER", "").strip() != "none"


def check_environment(environment: Mapping[str, str]) -> None:
    """Check the variables that the SDK and the exporter read.

    Raises:
        SettingsError: names the variable and what was expected.
    """
    _check_choice(environment, "OTEL_TRACES_EXPORTER", ("otlp", "none"))
    for variable in ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"):
        _check_choice(environment, variable, ("http/protobuf",))
    for variable in ("OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"):
        _check_choice(environment, variable, ("none", "gzip", "deflate"))
    for variable in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        _check_url(environment, variable)
    for variable in ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"):
        _number(environment, variable, 1.0, 0.001, 600.0)
    _check_choice(environment, "OTEL_TRACES_SAMPLER", _SAMPLERS)
    if environment.get("OTEL_TRACES_SAMPLER", "").endswith("traceidratio"):
        _number(environment, "OTEL_TRACES_SAMPLER_ARG", 1.0, 0.0, 1.0)
    propagators = environment.get("OTEL_PROPAGATORS", "")
    if propagators and "tracecontext" not in [name.strip() for name in propagators.split(",")]:
        raise SettingsError(f"OTEL_PROPAGATORS={propagators!r}: tracecontext is the only one that Tandem has")
    export_limits(environment)


def export_limits(environment: Mapping[str, str]) -> ExportLimits:
    """Return the bounds of the export.

    Raises:
        SettingsError: one of OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_EXPORT_BATCH_SIZE and OTEL_BSP_SCHEDULE_DELAY (in
            milliseconds) is wrong.
    """
    usual = ExportLimits()
    queue = int(_number(environment, "OTEL_BSP_MAX_QUEUE_SIZE", usual.queue, 1, _MAX_QUEUE, whole=True))
    most = min(usual.batch, queue)
    batch = int(_number(environment, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", most, 1, queue, whole=True))
    delay = _number(environment, "OTEL_BSP_SCHEDULE_DELAY", usual.delay * 1000, 1, _MAX_MILLISECONDS, whole=True)
    return ExportLimits(queue, batch, delay / 1000)


def _installed() -> bool:
    try:
        return all(find_spec(name) is not None for name in _PACKAGES)
    except ModuleNotFoundError:  # a parent package is not installed
        return False


def _check_choice(environment: Mapping[str, str], variable: str, choices: tuple[str, ...]) -> None:
    given = environment.get(variable, "")
    if given and given not in choices:
        raise SettingsError(f"{variable}={given!r}: one of {', '.join(choices)} was expected")


def _check_url(environment: Mapping[str, str], variable: str) -> None:
    given = environment.get(variable, "")
    if not given:
        return
    try:
        found = urlsplit(given)
        valid = found.scheme in ("http", "https") and bool(found.hostname) and (found.port is None or found.port > 0)
    except ValueError:
        valid = False
    if not valid:  # its value may have a password
        raise SettingsError(f"{variable}: a URL that begins with http:// or https:// was expected")


def _number(
    environment: Mapping[str, str], variable: str, usual: float, least: float, most: float, *, whole: bool = False
) -> float:
    given = environment.get(variable, "")
    if not given:
        return usual
    try:
        found = int(given) if whole else float(given)
    except ValueError:
        found = None
    if found is None or not least <= found <= most:
        kind = "a whole number" if whole else "a number"
        raise SettingsError(f"{variable}={given!r}: {kind} from {least:g} to {most:g} was expected")
    return found
