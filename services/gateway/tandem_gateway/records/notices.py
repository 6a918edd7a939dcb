"""Lines for the log about what a start did."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal
import msgspec
import numpy as np
import numpy.typing as npt
from tandem_contract.service.memory import Lease


class RoutineNotice(str):
    """A line about a start that tells of something done, and of no damage."""

    __slots__ = ()
