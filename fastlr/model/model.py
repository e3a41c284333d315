"""Model: what training leaves behind; it predicts, and is saved as a safetensors file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastlr import core
from fastlr.backends import Backend, choose_backend
from fastlr.backends.shared import is_shared, to_library_of
from fastlr.core import Array
from fastlr.data.checks import Name
from fastlr.data.dataset import Dataset
from fastlr.data.expansion import as_expansion
from fastlr.data.placed import Placed
from fastlr.errors import InputError
from fastlr.model.evaluation import Results, percent_correct
from fastlr.model.handover import as_one_vs_rest, as_onnx, as_scikit_learn, as_torch
from fastlr.model.parts import probabilities_of_parts
from fastlr.model.samples import labelled_for, rows_for
from fastlr.model.scores import LabelResults, check_scoring
from fastlr.namespace import array_namespace, compared, dtype_name, library_of, same_values, to_host
from fastlr.objectives.network import Layer, Network

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastlr.data.picture import Encoded

BLOCK = 2**24  # numbers of samples that are predicted at a time


@dataclass(frozen=True, eq=False)
class Model:
    """A trained classifier: layers of `W (units, inputs)` and `b (units, 1)`, ReLU between them.

    The last layer has one unit for two classes, of which it scores the second, or one for each of more.

    Attributes
    ----------
    layers : tuple of Layer
        Weights and intercepts, in the library of the training data.
    classes : tuple
        Names of the classes.
    scale : float
        Multiplies the input: 1/255 for `uint8` pixels, 1 for features, unless another was asked for.
    image_shape : tuple of int or None
        Height, width, channels; None for features.
    resample : str or None
        The filter that resizes pictures.
    settings : dict or None
        How it was trained.
    costs, recorded_at : tuple
        The cost curve of the training.
    multi_label : bool
        Whether a sample has any number of labels, each with a unit of its own.
    """

    layers: tuple[Layer, ...]
    classes: tuple[Name, ...]
    scale: float
    image_shape: tuple[int, int, int] | None = None
    resample: str | None = None
    class_of: Mapping[Name, int] | None = None  # the training data's own class names to indices of `classes`
    settings: Mapping[str, Any] | None = None
    costs: tuple[float, ...] = ()
    recorded_at: tuple[int, ...] = ()
    # Mean and deviation `(1, n)` of the training set's features, where they were standardized. The first layer has
    # them in it: it takes features as they are.
    moments: tuple[Array, ...] | None = None
    pixels: bool | None = None  # whether the input is uint8; None is what the scale says
    multi_label: bool = False

    def __eq__(self, other: object) -> bool:
        """Return whether the other is the same model: weights, classes and how it was trained."""
        return isinstance(other, Model) and same_values(compared(self), compared(other))

    @property
    def network(self) -> Network:
        """Return the units of its layers."""
        *hidden, outputs = (int(layer.W.shape[0]) for layer in self.layers)
        return Network(tuple(hidden), outputs, multi_label=self.multi_label)

    @property
    def n_features(self) -> int:
        """Return n, the features of one sample."""
        return int(self.layers[0].W.shape[1])

    @property
    def reads_pixels(self) -> bool:
        """Return whether the input is uint8 pixels."""
        return self.scale != 1.0 if self.pixels is None else self.pixels

    def predict_proba(self, images: Any) -> Array:
        """Return the probability of each class, `(m, n_classes)`, in the model's dtype, where the images are.

        Where a sample has any number of labels it is that of each label, `(m, L)`.

        `images` is a Dataset, uint8 `(m, height, width, channels)` or `(m, n)`, or features `(m, n)`, as in training.
        """
        backend = self._backend_for(images)
        with backend.scope():
            proba = backend.xp.concat(list(self._probabilities(backend, images)), axis=1).T
            if proba.shape[1] == 1 and not self.multi_label:
                proba = backend.xp.concat([1 - proba, proba], axis=1)
        return _at_home(backend, proba, images)

    def predict(self, images: Any) -> Array:
        """Return the class of each sample, `(m,)`.

        Of three classes or more it is the most probable; of two the second if its probability is above 0.5.

        Where a sample has any number of labels, it is a table `(m, L)` of zeros and ones.

        Names come as NumPy's array of text, numbers in the library and on the device of the images.
        """
        if self.multi_label:
            probabilities = self.predict_proba(images)
            xp = array_namespace(probabilities)
            return xp.astype(probabilities > 0.5, xp.int64)
        backend = self._backend_for(images)
        numbers = all(type(name) is int and abs(name) < 2**31 for name in self.classes)
        with backend.scope():
            chosen = self._chosen(backend, images)
            if numbers and not _is_on_host(images):
                names = backend.asarray(np.asarray(self.classes, dtype=np.int32))
                return _at_home(
                    backend, backend.xp.take(names, backend.xp.astype(chosen, backend.xp.int32), axis=0), images
                )
        return np.asarray(self.classes)[backend.to_host(chosen).astype(np.intp)]

    def _backend_for(self, images: Any) -> Backend:
        """Return the backend of the images' library and device; for images on the host the one that is asked for."""
        like = images.images if isinstance(images, Dataset) else images
        like = None if _is_on_host(images) or is_shared(like) else like
        return choose_backend(dtype=dtype_name(self.layers[-1].W), like=like)

    def _chosen(self, backend: Backend, images: Any) -> Array:
        """Return the index of each sample's class."""
        blocks = self._probabilities(backend, images)
        of_block = (backend.xp.argmax(proba, axis=0) if proba.shape[0] > 1 else proba[0, :] > 0.5 for proba in blocks)
        return backend.xp.concat(list(of_block), axis=0)

    def _probabilities(self, backend: Backend, images: Any) -> Iterator[Array]:
        """Give the last layer's probabilities, `(outputs, …)`, a block of the samples at a time."""
        rows, network = rows_for(self, images), self.network
        if isinstance(rows, Placed):
            yield from map(backend.asarray, probabilities_of_parts(self, rows))
            return
        # Weights of another library come by way of the host.
        alike = library_of(self.layers[0].W) in ("numpy", library_of(rows))
        first, *deeper = (
            Layer(*(backend.asarray(part if alike else to_host(part)) for part in layer)) for layer in self.layers
        )
        m, n = rows.shape
        if m == 0:
            yield backend.xp.zeros_like((first, *deeper)[-1].b)[:, :0]
        step = max(1, BLOCK // (n + sum(network.units)))
        for start in range(0, m, step):
            X = backend.asarray(rows[start : start + step, ...] if m > step else rows).T
            with np.errstate(over="ignore", invalid="ignore"):
                if network.has_sigmoids_alone:
                    proba = backend.kernels.get("predict", core.predict)(*first, X, self.scale)
                else:
                    Z = backend.kernels.get("project", core.project)(first.W, X, self.scale) + first.b
                    stacked = tuple(Layer(layer.W[None, ...], layer.b[None, ...]) for layer in deeper)
                    proba = network.probabilities(Z[None, ...], stacked)[0, ...]
            if not bool(backend.xp.all(proba >= 0)):  # it is no number: inf − inf
                source = images.source if isinstance(images, Dataset) else "images"
                raise InputError(
                    f"{source}: some features are so large that {dtype_name(proba)} does not hold their products with "
                    "the weights; divide them as those that the model was trained on"
                )
            yield proba

    def predict_files(
        self,
        files: Iterable[str | os.PathLike[str] | Encoded],
        top: int | None = None,
        max_expansion: float | str | None = None,
    ) -> list[dict[str, Any]]:
        """Return for each picture file `{"image", "label", "probability"}`, the probability that of the label.

        With `top`, a row also holds `"top"`: so many labels, the most probable first, each with its probability.
        Pictures are converted to the model's size and channels. `max_expansion` is that of `open_dataset`. Raises
        InputError for the first that cannot be read.
        """
        from fastlr.model.pictures import predict_pictures

        self._refuse_table("predict_files")
        return predict_pictures(self, files, top, expansion=as_expansion(max_expansion)).rows

    def accuracy(self, data: Any, backend: Backend | None = None) -> float:
        """Return the percentage of samples that are classified as labelled; classes are matched by name.

        For a table of labels it is the percentage of labels that are right, the mean over the columns. `data` is a
        Dataset or a pair `(samples, labels)`. `backend` computes it; by default the backend of the data.
        """
        if self.multi_label:
            data = labelled_for(self, data)
            return percent_correct(to_host(self.predict(data)), data.labels, data.known)
        return Results(self.confusion_matrix(data, backend)).accuracy

    def confusion_matrix(self, data: Any, backend: Backend | None = None) -> NDArray[np.int64]:
        """Return how many samples of each class, a row, are taken for each class, a column; matched by name."""
        self._refuse_table("confusion_matrix")
        data = labelled_for(self, data)
        backend = self._backend_for(data) if backend is None else backend
        with backend.scope():
            chosen = backend.to_host(self._chosen(backend, data)).astype(np.intp)
        return Results.of(data.labels, chosen, len(self.classes)).matrix

    def scores(self, data: Any, scoring: Any = "accuracy", missing_label: float | None = None) -> dict[str, float]:
        """Return the scores on a Dataset, or a pair `(samples, labels)`, by their names.

        `scoring` is that of `fastlr.path`: a name such as "roc_auc", a function, or a list of these. Labels of a table
        that are `missing_label`, -1 or NaN, are left out.
        """
        judge, chosen = check_scoring(scoring), labelled_for(self, data, missing_label)
        return judge(chosen.targets, to_host(self.predict_proba(chosen)))

    def scores_by_label(self, data: Any, scoring: Any, missing_label: float | None = None) -> dict[str, list[float]]:
        """Return the scores of each column of a table of labels, by their names; NaN where one is not defined."""
        judge, chosen = check_scoring(scoring), labelled_for(self, data, missing_label)
        return judge.of_each_column(chosen.targets, to_host(self.predict_proba(chosen)))

    def label_results(self, data: Any) -> LabelResults:
        """Return the scores of each label of a table, and their means."""
        if not self.multi_label:
            raise InputError("label_results: the model predicts one class for each sample; take scores")
        chosen = labelled_for(self, data)
        return LabelResults.of(chosen.targets, to_host(self.predict_proba(chosen)))

    def _refuse_table(self, method: str) -> None:
        if self.multi_label:
            raise InputError(f"{method}: the model predicts a table of labels; take predict or scores")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as safetensors; the same model gives the same bytes."""
        from fastlr.model.file import write

        write(self, path)

    def to_torch(self) -> Any:
        """Return a `torch.nn.Sequential` that gives the logits of floats `(m, …)`, on the CPU.

        They are `(m, 1)` for two classes, of which it scores the second, else `(m, classes)`: their sigmoid or softmax
        is `predict_proba`. The scale is in the first weights: pixels are given as floats from 0 to 255. Raises
        InputError without PyTorch.
        """
        return as_torch(self.layers, self.scale)

    def to_onnx(self) -> Any:
        """Return an `onnx.ModelProto` for samples `x (m, n)`, floats of the dtype of the weights, as `to_torch`.

        Its outputs are `probabilities (m, classes)` and `label (m,)`, the index of the most probable class, or a table
        where a sample has any number of labels. `onnx.save` writes it. Raises InputError without ONNX.
        """
        return as_onnx(self.layers, self.scale, self.classes, self.multi_label)

    def to_sklearn(self) -> Any:
        """Return a fitted `sklearn.linear_model.LogisticRegression`, for samples `(m, n)`.

        The scale is in the coefficients. Where a sample has any number of labels it is a `OneVsRestClassifier`.
        Raises InputError for a model with hidden layers, and without scikit-learn.
        """
        if self.multi_label:
            return as_one_vs_rest(self.layers[0], self.scale)
        return as_scikit_learn(self.layers, self.scale, self.classes)

    def show_weights(self) -> Figure:
        """Return the first layer's weights as a Matplotlib figure, an image for each class or unit."""
        from fastlr.reporting.notebook import show_weights

        return show_weights(self)


def _at_home(backend: Backend, array: Array, images: Any) -> Array:
    """Return an array of the backend where the images are."""
    like = images.images if isinstance(images, Dataset) else images
    if _is_on_host(images):
        return backend.to_host(array)
    return to_library_of(backend.to_host(array), like) if is_shared(like) else array


def _is_on_host(images: Any) -> bool:
    return library_of(images.images if isinstance(images, Dataset) else images) == "numpy"
