"""A pass over the samples: the loss, its gradient and what the preconditioner asks for, block by block."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from array_api_compat import device
from numpy.typing import NDArray

from fastlr import core
from fastlr.backends.record import Backend, Kernels
from fastlr.core import Array
from fastlr.data.blocks import Blocks, is_in_memory
from fastlr.namespace import array_namespace, dtype_name, itemsize_of
from fastlr.objectives import preconditioner
from fastlr.objectives.primal import FUSED, PrimalForm
from fastlr.objectives.protocol import Vector

TOGETHER = 8  # blocks that a kernel takes as one, and
SUMS_KEPT = (
    2**20
)  # numbers in the gradients of all of these that it is given at once: each call costs half a millisecond


def fuses(kernels: Kernels, units: int, n: int, itemsize: int) -> bool:
    """Return whether a softmax's loss and gradient are made in one reading of the samples."""
    return "loss_and_gradient" in kernels and units > 1 and units * n * itemsize <= FUSED


def cut(blocks: Blocks, backend: Backend, x: Vector) -> tuple[Blocks, int]:
    """Return the blocks that are read at once for a pass at a point, and the samples of each whose sums are kept.

    The latter, and so the bits of the sums, do not depend on where the samples lie.
    """
    units, n = x.W.shape[1:]
    m = blocks.shape[0]
    if not fuses(backend.kernels, units, n, itemsize_of(x.W)):
        return blocks, min(blocks.size, m)
    together = TOGETHER * blocks.size  # no logits are made
    size = min(together, m)
    if is_in_memory(blocks.rows) and dtype_name(blocks.rows) in backend.reads:
        together *= max(1, SUMS_KEPT // math.prod(x.W.shape))
    return replace(blocks, size=together), size


def loss_and_gradient(
    form: PrimalForm, x: Vector, labels: Array, counts: Array | None, block: int
) -> Iterator[tuple[int, tuple[Array, Array, Array, Array]]]:
    """Give of each block of so many samples how many they are, and J, dW, db and `class_curvature` at a point.

    Labels are 0 and 1 for one unit, `(m,)` or `(k, m)`, else the indices of the units, `(m,)`. A kernel reads X once
    for all of it.
    """
    (k, units, n), m, moments = x.W.shape, form.X.shape[1], form.moments
    every, found = preconditioner.every_for_classes(k * units * block), None
    if fuses(form.kernels, units, n, itemsize_of(x.W)):
        W = x.W if moments is None else x.W / moments[1]
        b = x.b if moments is None else x.b - W @ moments[0].T
        size = preconditioner.size_of_curvature(units)
        found = form.kernels["loss_and_gradient"](W, b, form.X, labels, form.scale, counts, block, every, size)
    for number, start in enumerate(range(0, m, block)):
        which = slice(start, min(start + block, m))
        here, of_block = which.stop - start, None if counts is None else counts[..., which]
        looked_at = preconditioner.some_of(here, every)
        if found is None:
            part = replace(form, X=form.X[:, which])
            J, dW, db, C = _by_products(part, x, labels[..., which], of_block, looked_at)
        else:
            J, dW, db, C = found[number]
            dW = dW if moments is None else (dW - db * moments[0]) / moments[1]
            C = array_namespace(dW).astype(C / len(looked_at), dW.dtype)
        yield here, (J, dW, db, C * preconditioner.counted_for(of_block, looked_at))


def _by_products(
    form: PrimalForm, x: Vector, labels: Array, counts: Array | None, looked_at: NDArray[np.int64]
) -> tuple[Array, Array, Array, Array]:
    """Return J, dW, db and, of some of the samples, `class_curvature`, by the library's products."""
    xp, units = array_namespace(x.W), x.W.shape[1]
    if labels.ndim == 2:
        Y = xp.astype(labels, x.W.dtype)[:, None, :]
    else:
        first = 1 if units == 1 else 0
        units_of = xp.arange(first, first + units, device=device(labels))[:, None]
        Y = xp.astype(labels == units_of, x.W.dtype)[None, ...]
    Z = form.logits(x.W, x.b)
    J, D = core.losses_and_residuals(Z, Y, counts)
    some = preconditioner.take(Z, looked_at)
    A = core.sigmoid(some) if units == 1 else core.softmax(some)
    C = preconditioner.class_curvature(A, None if counts is None else preconditioner.take(counts, looked_at))
    return J, form.gradient(D), core.intercept_gradient(D), C
