"""Converts a base to arrays that can be saved, and back."""

from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import numpy as np
import numpy.typing as npt

from tandem_gateway.index.base import Base, Sweep
from tandem_gateway.index.overlay import ExactOverlay
from tandem_gateway.ports.index import SavedBase
from tandem_gateway.records.arrays import Keys


def save(base: Base) -> SavedBase:
    """Return the graphs and arrays to save for a base."""
    strays = base.strays.keys()
    rows = list(base.groups.values())
    return SavedBase(
        base.graphs,
        {
            "strays": strays,
            "stray_vectors": base.strays.vectors(strays.tolist()),
            "stray_nodes": _keys(base.stray_nodes),
            "groups": _keys(base.groups),
            "group_sizes": np.array([len(each) for each in rows], np.int64),
            "group_rows": np.array([row for each in rows for row in each], np.uint64),
            "dead": _keys(base.dead),
            "cells": base.cells,
            "cell_nodes": base.cell_nodes,
            "sweep": np.array(astuple(base.sweep), np.uint64),
        },
    )


def restore(saved: SavedBase) -> Base:
    """Return the base that ``save`` converted.

    Raises:
        ValueError: if arrays are missing or do not fit together.
    """
    try:
        arrays = saved.arrays
        strays = ExactOverlay(saved.graphs[0].dim)
        strays.add(arrays["strays"], arrays["stray_vectors"])
        return Base(
            graphs=saved.graphs,
            strays=strays,
            stray_nodes=set(arrays["stray_nodes"].tolist()),
            groups=_groups(arrays),
            dead=set(arrays["dead"].tolist()),
            cells=arrays["cells"],
            cell_nodes=arrays["cell_nodes"],
            sweep=Sweep(*arrays["sweep"].tolist()),
        )
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"the arrays of a base do not fit together: {error!r}") from error


def _groups(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[int, list[int]]:
    ends = np.cumsum(arrays["group_sizes"]).tolist()
    rows = arrays["group_rows"].tolist()
    return {
        node: rows[begin:end] for node, begin, end in zip(arrays["groups"].tolist(), [0, *ends], ends, strict=False)
    }


def _keys(keys: "set[int] | dict[int, list[int]]") -> Keys:
    return np.fromiter(keys, np.uint64, len(keys))
