"""Log lines about the work of a startup."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal
import msgspec
import numpy as np
import numpy.typing as npt
from tandem_contract.service.memory import Lease


class RoutineNotice(str):
    """A startup log line that reports routine work, not a repair."""

    __slots__ = ()
