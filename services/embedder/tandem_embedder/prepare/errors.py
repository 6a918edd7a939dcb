"""Errors of a preparation, grouped by what the user can do about them.

``PrepareError``
 ├─ ``UsageError``        the options contradict each other or the folder: change the command
 ├─ ``SourceError``       one source failed: the next source is tried; if all fail, check the network
 ├─ ``UnsupportedModel``  this package cannot prepare this kind of model; the message names file and field
 ├─ ``SelfCheckError``    the new graph does not reproduce the known answers; nothing is published
 └─ ``PublishError``      the prepared model could not be moved into place; the message names the path

Every message is one line that can be shown without a traceback.
"""


class PrepareError(Exception):
    """The preparation cannot continue. The message is for the user."""


class UsageError(PrepareError):
    """The command's options contradict each other or the model."""


class SourceError(PrepareError):
    """A source is missing or unreachable, or its files are not the pinned ones."""


class UnsupportedModel(PrepareError):
    """The model's files require something that this package does not support."""


class SelfCheckError(PrepareError):
    """A new graph cannot be loaded, or does not reproduce the known answers."""


class PublishError(PrepareError):
    """The prepared model cannot be written or moved into place."""
