"""Tracing is an option: the setting, its packages and OpenTelemetry's variables."""

import subprocess
import sys
from pathlib import Path

import pytest

from tandem_gateway.app import make_app
from tandem_gateway.settings import Settings
from tandem_runtime.settings import SettingsError
from tandem_runtime.span_export import ExportEvents, ExportLimits
from tandem_runtime.tracing_setup import build_tracer, check_environment, check_tracing, export_limits


@pytest.mark.parametrize("package", ["opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"])
def test_without_its_packages_the_setting_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        SettingsError, match=r"TANDEM_TRACING: .* not installed; install tandem-services\[gateway,traci"
    ):
        make_app(Settings(data_dir=tmp_path, tracing=True), lambda: None)
    with pytest.raises(
        SettingsError, match=r"install tandem-services\[embedder,tracing\], or set TANDEM_TRACING=false"
    ):
        check_tracing("embedder", {}, wanted=True)
    make_app(Settings(data_dir=tmp_path), lambda: None)


def test_without_the_setting_its_packages_are_not_loaded(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from tandem_gateway.app import make_app
from tandem_gateway.settings import Settings
import tandem_embedder.app
make_app(Settings(data_dir=Path({str(tmp_path)!r})), lambda: None)
heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "google", "requests")
print([name for name in sys.modules if name.startswith(heavy)])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("environment", [{"OTEL_SDK_DISABLED": "True"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_opentelemetrys_own_switch_turns_it_off(environment: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    assert build_tracer("gateway", "1", environment, ExportEvents(), wanted=True) is None
    assert "turns tracing off" in caplog.text
    assert not check_tracing("gateway", {}, wanted=False)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("OTEL_TRACES_EXPORTER", "console", "one of otlp, none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "one of http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "one of http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli", "one of none, gzip, deflate"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "a URL that begins with http:// or https://"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://:x", "a URL that begins with"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1", "a URL that begins with"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "a number from 0.001 to 600"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "one of always_on"),
        ("OTEL_PROPAGATORS", "b3", "tracecontext is the only one"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "a whole number from 1 to 100000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2.5", "a whole number from 1 to 100000"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2049", "a whole number from 1 to 2048"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "a whole number from 1 to"),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(variable: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError) as refused:
        check_environment({variable: value})
    assert variable in str(refused.value)
    assert expected in str(refused.value)


@pytest.mark.parametrize("value", ["1.5", "nan", "x"])
def test_the_share_of_a_sampler_is_checked_if_it_has_one(value: str) -> None:
    share = {"OTEL_TRACES_SAMPLER_ARG": value}
    with pytest.raises(SettingsError, match=r"OTEL_TRACES_SAMPLER_ARG=.* a number from 0 to 1 was expected"):
        check_environment({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", **share})
    check_environment({"OTEL_TRACES_SAMPLER": "always_on", **share})


def test_an_endpoint_with_a_password_is_not_shown() -> None:
    with pytest.raises(SettingsError) as refused:
        check_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://me:secret@collector"})
    assert "secret" not in str(refused.value)


def test_valid_variables_and_the_limits_that_they_give() -> None:
    environment = {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4318/base",
        "OTEL_PROPAGATORS": "tracecontext, baggage",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.01",
        "OTEL_BSP_MAX_QUEUE_SIZE": "100",
        "OTEL_BSP_SCHEDULE_DELAY": "250",
    }
    check_environment(environment)
    assert export_limits(environment) == ExportLimits(queue=100, batch=100, delay=0.25)
    assert export_limits({}) == ExportLimits(queue=2048, batch=512, delay=5.0)
