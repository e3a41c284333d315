"""Where the samples of a training are: in this process, or on the workers of a cluster."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastlr.data.dataset import Dataset
from fastlr.data.placed import Placed, place, place_chunks
from fastlr.data.workers import Cluster, open_cluster
from fastlr.errors import InputError
from fastlr.training.settings import Target

VARIABLE = "FASTLR_CLUSTER"


@contextlib.contextmanager
def cluster_for(data: Any, target: Target) -> Iterator[Cluster | None]:
    """Open the cluster that is asked for, by argument or environment; give None where there is none.

    Arrays of Dask are computed by the client that is current in this process.
    """
    asked: Any = target.cluster if target.cluster is not None else os.environ.get(VARIABLE) or None
    if asked is None and is_dask(data):
        asked = _current_client()
    if asked is None or isinstance(asked, Cluster):
        yield asked
        return
    with contextlib.ExitStack() as opened:
        try:
            cluster = opened.enter_context(open_cluster(asked, target.cluster_timeout))
        except InputError as error:
            if target.cluster is None:
                raise InputError(str(error).replace("cluster:", f"{VARIABLE}:", 1)) from None
            raise
        yield cluster


def _current_client() -> Any:
    distributed: Any = importlib.import_module("distributed")
    try:
        return distributed.default_client()
    except ValueError:
        raise InputError("data: a dask array, but there is no cluster; give cluster=, or start a Client") from None


def is_dask(array: Any) -> bool:
    """Return whether it is an array of Dask; raise InputError for a table of Dask."""
    library = type(array).__module__.partition(".")[0]
    if library == "dask_expr" or (library == "dask" and not type(array).__module__.startswith("dask.array")):
        raise InputError(f"data: a {type(array).__name__} of Dask; give its to_dask_array(lengths=True)")
    return library == "dask"


def placed(data: Any, cluster: Cluster | None) -> Any:
    """Return an array of Dask as rows that lie on the workers; whatever else, as it is."""
    return place_chunks(cluster, data) if cluster is not None and is_dask(data) else data


def placed_dataset(data: Dataset, cluster: Cluster | None) -> Dataset:
    """Return a dataset whose samples lie on the workers of the cluster, if there is one."""
    if cluster is None or isinstance(data.images, Placed):
        return data
    return data.changed(images=place(cluster, data.images))


def in_memory(labels: Any) -> Any:
    """Return labels, an array of Dask as one of NumPy."""
    return np.asarray(labels.compute()) if is_dask(labels) else labels
