"""The model file: safetensors, with the classes, the picture size, the settings and the cost history as JSON in it."""

from __future__ import annotations

import json
import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.checks import RESAMPLING, class_names
from fastlr.errors import InputError
from fastlr.files import as_path, whole_file
from fastlr.model.model import Model
from fastlr.namespace import to_host
from fastlr.objectives.network import Layer, outputs_for

FORMAT = 1
KEY = "fastlr"  # all metadata is JSON under one key: safetensors writes several keys in a random order


def write(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model; the same model gives the same bytes."""
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {}
    for i, layer in enumerate(model.layers):
        tensors |= {
            f"layers.{i}.weight": np.ascontiguousarray(to_host(layer.W)),
            f"layers.{i}.bias": np.ascontiguousarray(to_host(layer.b).reshape(-1)),
        }
    if model.moments is not None:
        mean, deviation = (np.ascontiguousarray(to_host(values)) for values in model.moments)
        tensors |= {"mean": mean, "deviation": deviation}
    meta = {
        "format": FORMAT,
        "classes": model.classes,
        "class_of": list((model.class_of or {}).items()),
        "layers": [int(layer.W.shape[0]) for layer in model.layers],
        "image_shape": model.image_shape,
        "resample": model.resample,
        "scale": model.scale,
        "pixels": model.reads_pixels,
        "settings": dict(model.settings or {}),
        "costs": model.costs,
        "recorded_at": model.recorded_at,
    }
    if model.multi_label:
        meta["multi_label"] = True
    with whole_file(as_path("path", path)) as beside:
        beside.write_bytes(save(tensors, {KEY: json.dumps(meta, sort_keys=True, allow_nan=False)}))


def load(path: str | os.PathLike[str]) -> Model:
    """Return the model in a safetensors file that `Model.save` wrote. Nothing in the file can run code.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        The file is missing, cut short, or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    from fastlr.data.tensors import in_numpy

    where = as_path("path", path)
    try:
        if not where.is_file():
            kind = "is a folder, not a model file" if where.is_dir() else "no such model file"
            raise InputError(f"{where}: {kind}")
        with safe_open(where, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
            tensors = {name: in_numpy(where, file, name) for name in file.keys()}  # noqa: SIM118 (it is not a mapping)
    except InputError:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{where}: cannot be opened ({reason}); give a model file that can be read") from None
    except (SafetensorError, ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"{where}: cannot be read as a model; it is cut short, damaged or of another kind ({error})"
        ) from error
    if text is None:
        raise InputError(f"{where}: a safetensors file, but not one that fastlr saved")
    try:
        return _model_from(json.loads(text), tensors)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{where}: its description of the model is damaged ({type(error).__name__}: {error})"
        ) from error


def _model_from(meta: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Model:
    if meta["format"] != FORMAT:
        raise ValueError(f"format {meta['format']}, this version reads {FORMAT}")
    layers: list[Layer] = []
    for i, units in enumerate(meta["layers"]):
        if not _is_whole(units):
            raise ValueError(f"layer {i} has {str(units)[:100]} units")
        W, b = tensors[f"layers.{i}.weight"], tensors[f"layers.{i}.bias"]
        inputs = layers[-1].W.shape[0] if layers else W.shape[-1]
        if W.dtype.kind != "f" or W.dtype != b.dtype or W.shape != (units, inputs) or b.shape != (units,) or units < 1:
            raise ValueError(f"layer {i} has weights {W.shape} and biases {b.shape}")
        if layers and W.dtype != layers[0].W.dtype:
            raise ValueError(f"layer {i} is {W.dtype}, the first {layers[0].W.dtype}")
        if not (np.isfinite(W).all() and np.isfinite(b).all()):
            raise ValueError(f"layer {i} holds NaN or infinity")
        layers.append(Layer(W, b[:, np.newaxis]))
    if not layers:
        raise ValueError("it has no layers")
    json.dumps(meta, allow_nan=False)  # what loads can be saved again; 1e999 is read as infinity
    if not isinstance(meta["classes"], list):
        raise ValueError("its classes are no list")
    names = [*class_names("it", meta["classes"]), *(name for name, _ in meta["class_of"])]
    if not all(isinstance(name, str | bool | int | float) for name in names):
        raise ValueError("a class has no name that is text or a number")
    costs, recorded_at = meta["costs"], meta["recorded_at"]
    if not all(_is_number(cost) for cost in costs) or not all(_is_whole(i) and 0 <= i < 2**63 for i in recorded_at):
        raise ValueError("its costs are not numbers, each of an iteration")
    if len(costs) != len(recorded_at):
        raise ValueError(f"it has {len(costs)} costs, of {len(recorded_at)} iterations")
    shape = meta["image_shape"]
    if shape is not None and (len(shape) != 3 or not all(_is_whole(side) and side >= 1 for side in shape)):
        raise ValueError(f"its pictures have shape {str(shape)[:100]}")
    if not (_is_number(meta["scale"]) and meta["scale"] > 0) or meta["resample"] not in (None, *RESAMPLING):
        raise ValueError(f"scale {meta['scale']}, resampling {meta['resample']!r}")
    model = Model(
        layers=tuple(layers),
        classes=tuple(meta["classes"]),
        scale=float(meta["scale"]),
        image_shape=None if shape is None else tuple(shape),
        resample=meta["resample"],
        class_of={name: int(index) for name, index in meta["class_of"]},
        settings=dict(meta["settings"]),
        costs=tuple(map(float, costs)),
        recorded_at=tuple(recorded_at),
        pixels=bool(meta["pixels"]) if "pixels" in meta else None,
        multi_label=bool(meta.get("multi_label", False)),
        moments=(tensors["mean"], tensors["deviation"]) if "mean" in tensors else None,
    )
    for values in model.moments or ():
        if values.shape != (1, model.n_features) or values.dtype != W.dtype or not np.isfinite(values).all():
            raise ValueError("mean and deviation are not one finite number for each feature")
    if model.moments is not None and not (model.moments[1] > 0).all():
        raise ValueError("a deviation is not above 0")
    count = len(model.classes)
    if len(set(model.classes)) < count:
        raise ValueError("each class needs a name of its own")
    if not all(_is_whole(index) and 0 <= index < count for _, index in meta["class_of"]):
        raise ValueError(f"a class is none of 0 to {count - 1}")
    if count < 2 or model.network.outputs != (count if model.multi_label else outputs_for(count)):
        raise ValueError(f"{model.network.outputs} outputs for {count} classes")
    if shape is not None and math.prod(shape) != model.n_features:
        raise ValueError(f"pictures of {shape}, but {model.n_features} weights")
    _check_range(model)
    return model


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(float(value)))


def _check_range(model: Model) -> None:
    """Raise ValueError where the sums of products with inputs of 1, or with pixels, overflow the weights' dtype."""
    largest = 255 * model.scale if model.reads_pixels else 1.0
    with np.errstate(over="ignore"):
        for layer in model.layers:
            largest = float((np.abs(layer.W).sum(axis=1, dtype=np.float64) * largest + np.abs(layer.b[:, 0])).max())
    if not largest < np.finfo(model.layers[0].W.dtype).max:
        raise ValueError("its weights are so large that predictions overflow")
