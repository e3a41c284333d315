"""The model file: safetensors, with the classes, the picture size, the settings and the cost history as JSON in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.data.format import RESAMPLING
from fastlr.errors import InputError
from fastlr.files import whole_file
from fastlr.model import Model
from fastlr.namespace import to_host
from fastlr.network import Layer

FORMAT = 1
KEY = "fastlr"  # all metadata is JSON under one key: safetensors writes several keys in a random order


def write(model: Model, path: Path) -> None:
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
    with whole_file(path) as beside:
        beside.write_bytes(save(tensors, {KEY: json.dumps(meta, sort_keys=True, allow_nan=False)}))


def load(path: str | os.PathLike[str]) -> Model:
    """Return the model in a safetensors file that `Model.save` wrote. Nothing in the file can run code.

    Raises InputError where the file is missing, cut short, or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    where = Path(path)
    if not where.is_file():
        raise InputError(f"{where}: no such model file")
    try:
        with safe_open(where, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is not a mapping)
    except (SafetensorError, OSError, ValueError, TypeError, OverflowError) as error:
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
        W, b = tensors[f"layers.{i}.weight"], tensors[f"layers.{i}.bias"]
        inputs = layers[-1].W.shape[0] if layers else W.shape[-1]
        if W.dtype.kind != "f" or W.dtype != b.dtype or W.shape != (units, inputs) or b.shape != (units,) or units < 1:
            raise ValueError(f"layer {i} has weights {W.shape} and biases {b.shape}")
        if layers and W.dtype != layers[0].W.dtype:
            raise ValueError(f"layer {i} is {W.dtype}, the first {layers[0].W.dtype}")
        if not (np.isfinite(W).all() and np.isfinite(b).all()):
            raise ValueError(f"layer {i} holds NaN or infinity")
        layers.append(Layer(W, b[:, np.newaxis]))
    image_shape = tuple(int(size) for size in meta["image_shape"]) if meta["image_shape"] else None
    model = Model(
        layers=tuple(layers),
        classes=tuple(meta["classes"]),
        scale=float(meta["scale"]),
        image_shape=image_shape,  # type: ignore[arg-type]
        resample=meta["resample"],
        class_of={name: int(index) for name, index in meta["class_of"]},
        settings=dict(meta["settings"]),
        costs=tuple(meta["costs"]),
        recorded_at=tuple(meta["recorded_at"]),
        pixels=bool(meta["pixels"]) if "pixels" in meta else None,
        moments=(tensors["mean"], tensors["deviation"]) if "mean" in tensors else None,
    )
    if any(values.shape != (1, model.n_features) for values in model.moments or ()):
        raise ValueError("mean and deviation are not one number for each feature")
    count = len(model.classes)
    if not all(isinstance(name, str | bool | int | float) for name in model.classes) or len(set(model.classes)) < count:
        raise ValueError("each class needs a name of its own")
    if not set((model.class_of or {}).values()) <= set(range(count)):
        raise ValueError(f"a class is none of 0 to {count - 1}")
    if count < 2 or model.network.outputs != (1 if count == 2 else count):
        raise ValueError(f"{model.network.outputs} outputs for {count} classes")
    if image_shape and (len(image_shape) != 3 or np.prod(image_shape) != model.n_features):
        raise ValueError(f"pictures of {image_shape}, but {model.n_features} weights")
    if not 0 < model.scale < np.inf or model.resample not in (None, *RESAMPLING):
        raise ValueError(f"scale {model.scale}, resampling {model.resample!r}")
    return model
