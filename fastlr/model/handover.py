"""A trained model as an object of another library. fastlr is not needed to use it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlr.errors import InputError
from fastlr.namespace import to_host
from fastlr.objectives.network import Layer


def as_torch(layers: Sequence[Layer], scale: float) -> Any:
    """Return a `torch.nn.Sequential` that gives logits: `(m, 1)` of the second of two classes, or `(m, classes)`.

    It takes floats of the dtype of its weights, `(m, …)`, which it flattens; the scale is in the first weights.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError("to_torch: it needs PyTorch; try pip install '.[torch]'") from error
    modules = [torch.nn.Flatten()]
    for i, (W, b) in enumerate(_on_host(layers, scale)):
        dtype = torch.float64 if W.dtype == np.float64 else torch.float32
        linear = torch.nn.Linear(W.shape[1], W.shape[0], dtype=dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W.copy()))
            linear.bias.copy_(torch.from_numpy(b.copy()))
        modules += [torch.nn.ReLU(), linear] if i else [linear]
    return torch.nn.Sequential(*modules)


def as_onnx(layers: Sequence[Layer], scale: float, classes: Sequence[Any], multi_label: bool = False) -> Any:
    """Return an `onnx.ModelProto` of samples `x (m, …)`, floats of the dtype of its weights, which it flattens.

    Its outputs are `probabilities (m, classes)` and `label (m,)`, the index of the most probable class; with
    `multi_label` the latter is a table `(m, L)` of zeros and ones. The metadata has the class names, `classes`, as
    JSON.
    """
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise InputError("to_onnx: it needs ONNX; try pip install '.[onnx]'") from error
    parts = _on_host(layers, scale)
    dtype = TensorProto.DOUBLE if parts[0][0].dtype == np.float64 else TensorProto.FLOAT
    nodes, last = [helper.make_node("Flatten", ["x"], ["features"])], "features"
    constants: dict[str, NDArray[Any]] = {}
    for i, (W, b) in enumerate(parts):
        constants |= {f"W{i}": W, f"b{i}": b}
        if i:
            nodes.append(helper.make_node("Relu", [last], [f"hidden{i}"]))
            last = f"hidden{i}"
        nodes.append(helper.make_node("Gemm", [last, f"W{i}", f"b{i}"], [f"logits{i}"], transB=1))
        last = f"logits{i}"
    outputs, two = len(parts[-1][1]), len(classes) == 2 and not multi_label
    if multi_label or two:
        nodes.append(helper.make_node("Sigmoid", [last], ["second" if two else "probabilities"]))
    else:
        nodes.append(helper.make_node("Softmax", [last], ["probabilities"], axis=1))
    if two:
        constants["one"] = np.ones(1, parts[0][0].dtype)
        nodes.append(helper.make_node("Sub", ["one", "second"], ["first"]))
        nodes.append(helper.make_node("Concat", ["first", "second"], ["probabilities"], axis=1))
    if multi_label:
        constants["half"] = np.full(1, 0.5, parts[0][0].dtype)
        nodes.append(helper.make_node("Greater", ["probabilities", "half"], ["above"]))
        nodes.append(helper.make_node("Cast", ["above"], ["label"], to=TensorProto.INT64))
    else:
        nodes.append(helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0))
    graph = helper.make_graph(
        nodes,
        "fastlr",
        [helper.make_tensor_value_info("x", dtype, ["m", None])],
        [
            helper.make_tensor_value_info("probabilities", dtype, ["m", 2 if two else outputs]),
            helper.make_tensor_value_info("label", TensorProto.INT64, ["m", outputs] if multi_label else ["m"]),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items()],
    )
    # What onnxruntime of some years reads, and all that is used here.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="fastlr")
    helper.set_model_props(model, {"classes": json.dumps([_plain(name) for name in classes])})
    onnx.checker.check_model(model)
    return model


def _plain(name: Any) -> Any:
    return name.item() if isinstance(name, np.generic) else name


def as_scikit_learn(layers: Sequence[Layer], scale: float, classes: Sequence[Any]) -> Any:
    """Return a fitted `sklearn.linear_model.LogisticRegression` for `(m, n)`; the scale is in its coefficients."""
    if len(layers) > 1:
        raise InputError(
            f"to_sklearn: the model has {len(layers) - 1} hidden layers, and LogisticRegression has none; take to_torch"
        )
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise InputError("to_sklearn: it needs scikit-learn; try pip install '.[sklearn]'") from error
    ((W, b),) = _on_host(layers, scale)
    made = LogisticRegression()
    made.coef_, made.intercept_, made.classes_ = W, b, np.asarray(classes)
    made.n_features_in_, made.n_iter_ = W.shape[1], np.zeros(1, np.int32)
    return made


def as_one_vs_rest(layer: Layer, scale: float = 1.0, classes: Any = None) -> Any:
    """Return a fitted `sklearn.multiclass.OneVsRestClassifier` of a logistic regression for each label, or class."""
    try:
        from sklearn.multiclass import OneVsRestClassifier
        from sklearn.preprocessing import LabelBinarizer
    except ImportError as error:
        raise InputError("to_sklearn: it needs scikit-learn; try pip install '.[sklearn]'") from error
    W, b = layer
    each = [as_scikit_learn([Layer(W[i : i + 1], b[i : i + 1])], scale, (0, 1)) for i in range(W.shape[0])]
    made = OneVsRestClassifier(each[0])
    made.estimators_, made.n_features_in_ = each, W.shape[1]
    labels = np.eye(max(2, len(each)), len(each), dtype=np.int64) if classes is None else classes
    made.label_binarizer_ = LabelBinarizer().fit(labels)
    made.classes_ = made.label_binarizer_.classes_
    return made


def _on_host(layers: Sequence[Layer], scale: float) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return weights `(units, inputs)` and intercepts `(units,)` of each layer as NumPy's, the first for any scale."""
    found = [(to_host(layer.W), to_host(layer.b)[:, 0]) for layer in layers]
    (W, b), *deeper = found
    return [((scale * W).astype(W.dtype), b), *deeper]
