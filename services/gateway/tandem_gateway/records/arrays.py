"""Array types of the gateway, with their shapes and dtypes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal
import msgspec
import numpy as np
import numpy.typing as npt
from tandem_contract.service.memory import Lease


Vectors = npt.NDArray[np.float32]
"""``(n, dim) float32``, L2-normalised rows."""


Keys = npt.NDArray[np.uint64]
"""``(n,) uint64``: the store's row numbers, which are the keys of the index."""
