"""Settings from the environment; a command-line flag of the same name overrides each of them.

A service declares one frozen dataclass. A field made with ``setting`` becomes the variable ``TANDEM_<NAME>`` and the
flag ``--<name>``. Only this module reads the environment, once, at startup. A value that cannot be parsed or breaks a
rule ends the start with a message that names the variable.
"""

import argparse
import dataclasses
import difflib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

_PARSE = "parse"
_HELP = "help"
_VARIABLE = "variable"
_HIDDEN = "hidden"
_FORMER = "former"
_HAS_FLAG = "has_flag"


class SettingsError(Exception):
    """A setting is missing, cannot be parsed or breaks a rule; the message names the variable and the rule."""


S = TypeVar("S")
N = TypeVar("N", int, float)


def setting(
    variable: str,
    default: Any,
    parse: Callable[[str], Any],
    help: str,
    *,
    secret: bool = False,
    former: str = "",
    flag: bool = True,
) -> Any:
    """Declare a field of a settings dataclass.

    Args:
        variable: name after ``TANDEM_``; the flag is the same in lower case with hyphens.
        default: the value without flag and variable.
        parse: converts text to the value; raises ValueError with the expectation.
        help: the effect of the setting, above all on memory, latency and backpressure.
        secret: never show the value.
        former: the name of ``variable`` in the release before. The old variable and flag still work, with a warning.
        flag: whether there is a flag. Other users of the machine can read the flags of a process, so a secret has none.
    """
    metadata = {_VARIABLE: variable, _PARSE: parse, _HELP: help, _HIDDEN: secret, _FORMER: former, _HAS_FLAG: flag}
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


def add_flags(parser: argparse.ArgumentParser, settings: type[Any]) -> list[str]:
    """Add one flag for each setting to ``parser``, and return the flags; an omitted flag stays None.

    The flag of a boolean needs no value: ``--insecure`` is ``--insecure true``.
    """
    flags = []
    for field in dataclasses.fields(settings):
        if not field.metadata[_HAS_FLAG]:
            continue
        bare: dict[str, Any] = {"nargs": "?", "const": "true"} if field.metadata[_PARSE] is boolean else {}
        variable = f"TANDEM_{field.metadata[_VARIABLE]}"
        default = "" if field.default in (None, "", ()) else f", default {field.default}"
        parser.add_argument(
            _flag(field.metadata[_VARIABLE]),
            dest=field.name,
            default=None,
            metavar="VALUE",
            help=f"{field.metadata[_HELP]} ({variable}{default})".replace("%", "%%"),
            **bare,
        )
        flags.append(_flag(field.metadata[_VARIABLE]))
        if former := field.metadata[_FORMER]:
            parser.add_argument(_flag(former), dest=_former_dest(field), default=None, help=argparse.SUPPRESS)
            flags.append(_flag(former))
    return flags


def parse_flags(
    parser: argparse.ArgumentParser, flags: Sequence[str], arguments: Sequence[str] | None = None
) -> argparse.Namespace:
    """Parse a command line; end the process with status 2 and a message for a wrong one.

    argparse would take the value of a mistyped flag for a command, and complain about that.

    Args:
        parser: with all flags.
        flags: the flags that ``parser`` and its commands know, besides ``--help`` and ``--version``.
        arguments: the command line without the program; None for the process's own.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    known = ["--help", "--version", *flags]
    for argument in arguments:
        flag = argument.partition("=")[0]
        if flag == "--":
            break
        if flag.startswith("--") and not any(each.startswith(flag) for each in known):
            nearest = difflib.get_close_matches(flag, known, n=1)
            parser.error(f"there is no flag {flag}" + (f"; did you mean {nearest[0]}?" if nearest else ""))
    return parser.parse_args(arguments)


def read(settings: type[S], environment: Mapping[str, str], flags: argparse.Namespace | None = None) -> S:
    """Return the settings: flag, else variable, else default.

    Raises:
        SettingsError: for a value that cannot be parsed, or that the dataclass's ``__post_init__`` refuses.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cast(Any, settings)):
        source, given = _given(field, environment, flags)
        if given is None:
            continue
        try:
            values[field.name] = field.metadata[_PARSE](given)
        except ValueError as error:
            shown = "..." if field.metadata[_HIDDEN] else repr(given)
            raise SettingsError(f"{source}={shown}: {error}") from error
    try:
        return settings(**values)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def deprecations(
    settings: type[Any], environment: Mapping[str, str], flags: argparse.Namespace | None = None
) -> list[str]:
    """Return one line for each setting that was given under its former name, for the log."""
    lines = []
    for field in dataclasses.fields(settings):
        variable, former = field.metadata[_VARIABLE], field.metadata[_FORMER]
        source, _ = _given(field, environment, flags)
        if source == _flag(former):
            lines.append(f"{source} is deprecated, use {_flag(variable)}")
        elif source == f"TANDEM_{former}":
            lines.append(f"{source} is deprecated, use TANDEM_{variable}")
    return lines


def variable_names(settings: type[Any]) -> set[str]:
    """Return the variables that a settings dataclass reads, former names included, without ``TANDEM_``."""
    names = {field.metadata[key] for field in dataclasses.fields(settings) for key in (_VARIABLE, _FORMER)}
    return names - {""}


def _given(
    field: "dataclasses.Field[Any]", environment: Mapping[str, str], flags: argparse.Namespace | None
) -> tuple[str, str | None]:
    """Return the source of a setting's value, and the value; None if it has none.

    A flag overrides a variable. Within each kind, the current name overrides the former name.
    """
    variable, former = field.metadata[_VARIABLE], field.metadata[_FORMER]
    for name, dest in ((variable, field.name), (former, _former_dest(field))):
        if name and (flag := getattr(flags, dest, None)) is not None:
            return _flag(name), flag
    for name in (variable, former):
        if name and (value := environment.get(f"TANDEM_{name}", "")) != "":
            return f"TANDEM_{name}", value
    return "", None


def describe(settings: Any) -> dict[str, Any]:
    """Return name → value of every setting, for the log line at start; a secret shows only whether it is set."""
    values = dataclasses.asdict(settings)
    secrets = {field.name for field in dataclasses.fields(settings) if field.metadata[_HIDDEN]}
    return {name: ("set" if value else "unset") if name in secrets else value for name, value in values.items()}


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from ``least`` to ``most``."""
    return _within(int, least, most, f"a whole number from {least} to {most} was expected")


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Return a parser of durations in seconds from ``least`` to ``most``."""
    return _within(float, least, most, f"seconds from {least:g} to {most:g} were expected")


def number(least: float, most: float) -> Callable[[str], float]:
    """Return a parser of numbers from ``least`` to ``most``."""
    return _within(float, least, most, f"a number from {least:g} to {most:g} was expected")


def _within(convert: Callable[[str], N], least: N, most: N, rule: str) -> Callable[[str], N]:
    def parse(text: str) -> N:
        try:
            value = convert(text)
        except ValueError:
            raise ValueError(rule) from None
        if not least <= value <= most:
            raise ValueError(rule)
        return value

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a parser that accepts one of ``choices``."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)} was expected")
        return text

    return parse


def names(text: str) -> tuple[str, ...]:
    """Parse comma-separated names; an empty text gives none."""
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in found:
        if not name.isascii() or any(character.isspace() or character in "/@" for character in name):
            raise ValueError(f"host names with commas between were expected, and {name!r} is none")
    return found


def readable_file(text: str) -> str:
    """Return the path of a readable file; an empty text stays empty.

    Raises:
        ValueError: says what was expected.
    """
    if text and not Path(text).is_file():
        raise ValueError("a file that exists was expected")
    if text and not os.access(text, os.R_OK):
        raise ValueError("a file that this user may read was expected")
    return text


def boolean(text: str) -> bool:
    """Parse ``true``/``false``, ``1``/``0``, ``yes``/``no``, ``on``/``off``."""
    lowered = text.lower()
    if lowered in {"true", "1", "yes", "on"}:
        return True
    if lowered in {"false", "0", "no", "off"}:
        return False
    raise ValueError("true or false was expected")


def _flag(variable: str) -> str:
    return "--" + variable.lower().replace("_", "-")


def _former_dest(field: "dataclasses.Field[Any]") -> str:
    return f"{field.name}_by_its_former_name"
