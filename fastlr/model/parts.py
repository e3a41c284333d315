"""Predictions for samples that are in parts: on the workers of a cluster, or in the files of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data import shards
from fastlr.data.placed import Placed
from fastlr.data.workers import Cluster
from fastlr.errors import InputError
from fastlr.files import check_all_apart, check_writable, make_folder, whole_file

if TYPE_CHECKING:
    from fastlr.model.model import Model


def probabilities_of_parts(model: Model, rows: Placed) -> list[NDArray[Any]]:
    """Return the last layer's probabilities `(outputs, r)` of each part, computed where it lies."""
    return rows.over_parts(_of_rows, model)


def _of_rows(rows: Any, model: Model) -> NDArray[Any]:
    backend = model._backend_for(rows)
    with backend.scope():
        return np.concatenate([backend.to_host(some) for some in model._probabilities(backend, rows)], axis=1)


def predict_folder(model: Model, folder: Path, out: Path, cluster: Cluster | None = None) -> list[dict[str, Any]]:
    """Write the probabilities of the samples of each file of a folder of arrays, and return what was written.

    `NAME.npy` in `out` holds those of the file NAME, `(r, classes)` in the order of `model.classes`, or `(r, L)` where
    a sample has any number of labels. With a cluster its workers read the files and write the answers, a file each.
    Each file is written beside and renamed. Raises InputError where one cannot be read or written.
    """
    files = shards.files_in(folder) if folder.is_dir() else []
    if not files:
        raise InputError(f"{folder}: holds no arrays (.npy, .npz, .safetensors, .h5) to predict for")
    names = [file.with_suffix(".npy").name for file in files]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{folder}: several of its files would get the name {min(twice)}; rename one")
    make_folder(out, "--out")
    written = [out / name for name in names]
    targets = [path.absolute() for path in written]
    for target in targets:
        check_writable(target)
    check_all_apart(targets, [folder])
    work = [(model, file.absolute(), target) for file, target in zip(files, targets, strict=True)]
    if cluster is None:
        counts = [_predict_file(*one) for one in work]
    else:
        counts = cluster.results([cluster.submit(str(one[1]), _predict_file, *one) for one in work])
    return [
        {"file": str(file), "probabilities": str(path), "n": count}
        for file, path, count in zip(files, written, counts, strict=True)
    ]


def _predict_file(model: Model, file: Path, target: Path) -> int:
    """Write the probabilities of one file, and return of how many samples."""
    rows = shards.samples_in(file)
    answers = np.asarray(model.predict_proba(rows))
    with whole_file(target) as part, part.open("wb") as stream:
        np.save(stream, answers, allow_pickle=False)
    return len(answers)
