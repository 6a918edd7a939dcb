"""Array types of the gateway, with their shapes and dtypes."""

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
"""``(n, dim) float32``, L2-normalised rows."""


Keys = npt.NDArray[np.uint64]
"""``(n,) uint64``: the store's row numbers, which are the keys of the index."""
