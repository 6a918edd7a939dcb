"""The errors of a preparation, told apart by what the user can do about them.

``PrepareError``
 ├─ ``UsageError``        the options contradict each other or the folder: change the command
 ├─ ``SourceError``       one source could not deliver: the next one is tried, or the network is to be looked at
 ├─ ``UnsupportedModel``  the model is of a kind this package does not write: the message names file and field
 ├─ ``SelfCheckError``    the graph written does not reproduce the known answers: nothing is published
 └─ ``PublishError``      the artefact could not be put in place: the message names the path

Every message is one line, fit to be shown without a traceback.
"""


class PrepareError(Exception):
    """A preparation that cannot go on; the message is for the user."""


class UsageError(PrepareError):
    """The command line asks for something that cannot be."""


class SourceError(PrepareError):
    """A source is absent, unreachable, or its files are not the pinned ones."""


class UnsupportedModel(PrepareError):
    """The model's own files ask for something that this package does not do."""


class SelfCheckError(PrepareError):
    """A graph just written misses the known answers."""


class PublishError(PrepareError):
    """The artefact cannot be written or moved to its place."""
