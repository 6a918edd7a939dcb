"""Settings: a flag overrides a variable, which overrides the default; an invalid value is named."""

import argparse
import dataclasses

import pytest

from tandem_gateway.settings import Settings as GatewaySettings
from tandem_runtime.settings import (
    SettingsError,
    add_flags,
    boolean,
    deprecations,
    describe,
    one_of,
    parse_flags,
    read,
    seconds,
    setting,
    whole_number,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    port: int = setting("SAMPLE_PORT", 8000, whole_number(0, 65535), "port; 100 % of it")
    wait: float = setting("WAIT_SECONDS", 1.5, seconds(0.1, 10), "how long")
    level: str = setting("LEVEL", "info", one_of("info", "debug"), "how much")
    access: bool = setting("ACCESS", True, boolean, "whether")
    token: str = setting("TOKEN", "", str, "secret", secret=True)

    def __post_init__(self) -> None:
        if self.port == 13:
            raise ValueError("TANDEM_SAMPLE_PORT must not be unlucky")


def flags(*given: str, settings: type = Sample) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_flags(parser, settings)
    return parser.parse_args(given)


def test_a_flag_overrides_the_variable_and_the_variable_the_default():
    environment = {"TANDEM_SAMPLE_PORT": "1", "TANDEM_LEVEL": "debug"}
    found = read(Sample, environment, flags("--sample-port", "2"))
    assert (found.port, found.level, found.wait) == (2, "debug", 1.5)
    assert read(Sample, environment).port == 1
    assert read(Sample, {}) == Sample()


def test_an_empty_variable_is_as_good_as_none():
    assert read(Sample, {"TANDEM_SAMPLE_PORT": ""}).port == 8000


def test_variables_of_others_are_passed_over():
    assert read(Sample, {"SAMPLE_PORT": "1", "TANDEM_OTHER": "x"}) == Sample()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("TANDEM_SAMPLE_PORT", "65536", "0 to 65535"),
        ("TANDEM_SAMPLE_PORT", "-1", "0 to 65535"),
        ("TANDEM_SAMPLE_PORT", "http", "whole number"),
        ("TANDEM_SAMPLE_PORT", "1.0", "whole number"),
        ("TANDEM_WAIT_SECONDS", "nan", "seconds from 0.1 to 10"),
        ("TANDEM_WAIT_SECONDS", "inf", "seconds"),
        ("TANDEM_WAIT_SECONDS", "0", "seconds"),
        ("TANDEM_WAIT_SECONDS", "1s", "seconds"),
        ("TANDEM_LEVEL", "INFO", "info, debug"),
        ("TANDEM_ACCESS", "maybe", "true or false"),
    ],
)
def test_an_invalid_value_names_the_variable_the_value_and_the_expectation(variable: str, value: str, said: str):
    with pytest.raises(SettingsError, match=rf"^{variable}='{value}': ") as caught:
        read(Sample, {variable: value})
    assert said in str(caught.value)


def test_a_bad_flag_is_named_as_the_flag():
    with pytest.raises(SettingsError, match=r"^--sample-port='x': "):
        read(Sample, {}, flags("--sample-port", "x"))


def test_a_rule_between_settings_ends_the_start_too():
    with pytest.raises(SettingsError, match="unlucky"):
        read(Sample, {"TANDEM_SAMPLE_PORT": "13"})


@pytest.mark.parametrize(("text", "value"), [("TRUE", True), ("1", True), ("on", True), ("No", False), ("0", False)])
def test_booleans_are_read_in_their_usual_spellings(text: str, value: bool):
    assert read(Sample, {"TANDEM_ACCESS": text}).access is value


def test_describe_shows_everything_but_secrets():
    shown = describe(Sample(token="hush"))
    assert shown == {"port": 8000, "wait": 1.5, "level": "info", "access": True, "token": "set"}
    assert describe(Sample())["token"] == "unset"
    assert "hush" not in repr(Sample(token="hush"))


def test_a_bad_secret_is_named_and_not_shown():
    with pytest.raises(SettingsError, match=r"^TANDEM_ADMIN_TOKEN=\.\.\.: 16 or more") as caught:
        read(GatewaySettings, {"TANDEM_ADMIN_TOKEN": "too short"})
    assert "too short" not in str(caught.value)


def test_help_names_variable_and_default_of_each_setting():
    parser = argparse.ArgumentParser()
    add_flags(parser, Sample)
    text = " ".join(parser.format_help().split())
    assert "port; 100 % of it (TANDEM_SAMPLE_PORT, default 8000)" in text
    assert "secret (TANDEM_TOKEN)" in text


def test_each_setting_of_the_gateway_has_a_flag_and_a_default_that_keeps_its_own_rules():
    fields = dataclasses.fields(GatewaySettings)
    found = flags(settings=GatewaySettings)
    # Other users of the machine can read a flag.
    secrets = {"api_key", "embedder_token", "jwt_secret", "milvus_token", "pgvector_url", "store_url"}
    assert {field.name for field in fields} - set(vars(found)) == secrets
    assert set(vars(found)) <= {field.name for field in fields}
    defaults = read(GatewaySettings, {}, found)

    def written(value: object) -> str:
        return ",".join(value) if isinstance(value, tuple) else str(value).lower()

    environment = {f"TANDEM_{field.metadata['variable']}": written(getattr(defaults, field.name)) for field in fields}
    assert read(GatewaySettings, environment) == defaults
    variables = [field.metadata["variable"] for field in fields]
    assert len(set(variables)) == len(variables)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"TANDEM_MAX_PENDING_DOCUMENTS": "9999"}, "TANDEM_MAX_DOCUMENTS_PER_REQUEST"),
        ({"TANDEM_MAX_QUEUED_QUERIES": "31"}, "TANDEM_QUERY_BATCH_SIZE"),
        ({"TANDEM_EMBEDDER_URL": "embedder:8080"}, "TANDEM_EMBEDDER_URL"),
        ({"TANDEM_MAX_BYTES_IN_FLIGHT": "33554431"}, "TANDEM_MAX_BYTES_IN_FLIGHT"),
        ({"TANDEM_ALLOWED_HOSTS": "http://a"}, "TANDEM_ALLOWED_HOSTS"),
        ({"TANDEM_ALLOWED_HOSTS": "a b"}, "TANDEM_ALLOWED_HOSTS"),
        ({"TANDEM_CANARY_WEIGHT": "10"}, "TANDEM_CANARY_URL"),
        ({"TANDEM_CANARY_SHADOW": "10"}, "TANDEM_CANARY_URL"),
        ({"TANDEM_CANARY_WEIGHT": "101", "TANDEM_CANARY_URL": "http://c"}, "TANDEM_CANARY_WEIGHT"),
        ({"TANDEM_CANARY_URL": "canary:8080"}, "TANDEM_CANARY_URL"),
        ({"TANDEM_ROLLBACK_COSINE": "nan"}, "TANDEM_ROLLBACK_COSINE"),
        ({"TANDEM_ROLLBACK_ERROR_RATE": "5"}, "a number from 0 to 1"),
        ({"TANDEM_SNAPSHOT_SECONDS": "0"}, "TANDEM_SNAPSHOT_SECONDS"),
        ({"TANDEM_SNAPSHOT_URL": "file:///a"}, "TANDEM_STORE_URL"),
        *(
            ({"TANDEM_SNAPSHOT_URL": url, "TANDEM_STORE_URL": "postgresql://db/a"}, "TANDEM_SNAPSHOT_URL")
            for url in ("/a", "file://host/a", "file:a", "s3:///a", "s3://u:p@a/b", "s3://a/b?c=d", "http://a/b")
        ),
        (
            {
                "TANDEM_SNAPSHOT_URL": "s3://a/b",
                "TANDEM_STORE_URL": "postgresql://db/a",
                "TANDEM_SNAPSHOT_OVERLAY": "9999",
            },
            "TANDEM_SNAPSHOT_OVERLAY",
        ),
    ],
)
def test_the_gateways_rules_name_the_variable(environment: dict[str, str], named: str):
    with pytest.raises(SettingsError, match=named):
        read(GatewaySettings, environment)


@pytest.mark.parametrize(
    "value",
    ["http://", "http://e:1,", "http://e:1,e:2", "http://e:0", "http://e:70000", "http://u:p@e:1", "http://e?x=1", ","],
)
def test_an_invalid_embedder_url_is_refused(value: str):
    with pytest.raises(SettingsError, match=r"^TANDEM_EMBEDDER_URL="):
        read(GatewaySettings, {"TANDEM_EMBEDDER_URL": value})


def test_several_embedders_are_listed_with_commas():
    given = "http://a:1/, https://b/x/ ,http://a:1,http://[::1]:2"
    assert read(GatewaySettings, {"TANDEM_EMBEDDER_URL": given}).embedder_url == "http://a:1,https://b/x,http://[::1]:2"


def test_the_embedders_address_loses_its_slash():
    assert read(GatewaySettings, {"TANDEM_EMBEDDER_URL": "http://e:1/"}).embedder_url == "http://e:1"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Renamed:
    size: int = setting("NEW_SIZE", 1, whole_number(0, 100), "A size", former="SIZE")


def flags_of(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_flags(parser, Renamed)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("environment", "arguments", "size", "warned"),
    [
        ({}, [], 1, []),
        ({"TANDEM_NEW_SIZE": "2"}, [], 2, []),
        ({"TANDEM_SIZE": "3"}, [], 3, ["TANDEM_SIZE is deprecated, use TANDEM_NEW_SIZE"]),
        ({"TANDEM_SIZE": "3", "TANDEM_NEW_SIZE": "4"}, [], 4, []),
        ({}, ["--size", "5"], 5, ["--size is deprecated, use --new-size"]),
        ({"TANDEM_NEW_SIZE": "2"}, ["--size", "5"], 5, ["--size is deprecated, use --new-size"]),
        ({"TANDEM_SIZE": "3"}, ["--size", "5", "--new-size", "6"], 6, []),
    ],
)
def test_a_former_name_works_with_a_warning_unless_the_new_one_is_given(
    environment: dict[str, str], arguments: list[str], size: int, warned: list[str]
):
    flags = flags_of(*arguments)
    assert read(Renamed, environment, flags).size == size
    assert deprecations(Renamed, environment, flags) == warned


def test_a_bad_value_under_the_former_name_names_the_former_name():
    with pytest.raises(SettingsError, match="TANDEM_SIZE='x'"):
        read(Renamed, {"TANDEM_SIZE": "x"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--new-sise", "1"], "there is no flag --new-sise; did you mean --new-size?"),
        (["--new-sise=1", "verify"], "there is no flag --new-sise; did you mean --new-size?"),
        (["verify", "--tu", "x"], "there is no flag --tu; did you mean --to?"),
        (["--xyzzy"], "there is no flag --xyzzy"),
        (["elsewhere"], "argument COMMAND: invalid choice: 'elsewhere' (choose from 'verify')"),
    ],
)
def test_a_mistyped_flag_is_named_with_the_nearest(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser, known = parser_with_a_command()
    with pytest.raises(SystemExit) as caught:
        parse_flags(parser, known, arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"error: {message}")


@pytest.mark.parametrize(
    "arguments",
    [["--new-size", "3"], ["--new-size=3"], ["--new", "3"], ["--size", "3"], ["--size", "3", "verify", "--to", "x"]],
)
def test_a_right_command_line_is_parsed_as_by_argparse(arguments: list[str]) -> None:
    parser, known = parser_with_a_command()
    flags = parse_flags(parser, known, arguments)
    assert flags == parser.parse_args(arguments)
    assert read(Renamed, {}, flags).size == 3


def parser_with_a_command() -> tuple[argparse.ArgumentParser, list[str]]:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("verify").add_argument("--to")
    return parser, [*add_flags(parser, Renamed), "--to"]
