"""Exit statuses of the command line, and the exceptions that end it with one."""

from enum import IntEnum


class Status(IntEnum):
    """Exit statuses; 130 is that of a program that Ctrl-C ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    REFUSED = 5
    INTERRUPTED = 130


class Failed(Exception):
    """A command failed; the message is one line for standard error."""

    status = Status.FAILED


class UsageError(Failed):
    """An argument, an option or a given file is wrong."""

    status = Status.USAGE


class NotFound(Failed):
    """The gateway does not have the named collection, document, job or key."""

    status = Status.NOT_FOUND


class Unreachable(Failed):
    """Nothing answers at the URL, or the gateway is not able to serve now."""

    status = Status.UNREACHABLE


class Refused(Failed):
    """The API key is missing, wrong, or not allowed to do this."""

    status = Status.REFUSED
