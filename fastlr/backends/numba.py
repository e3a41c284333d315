"""NumPy arrays with compiled kernels: the default on a CPU. Pixels are read as uint8, whatever the working dtype."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace

import numpy as np

from fastlr.backends import numpy as plain
from fastlr.backends.record import Backend, Costs, Kernels, UnavailableError
from fastlr.kernels.cpu import arrays, matrix
from fastlr.kernels.cpu import dispatch as steps
from fastlr.kernels.cpu.starting import seconds_of_compiling

KERNELS: Kernels = {
    "project": arrays.project,
    "combine": arrays.combine,
    "multiply": arrays.multiply,
    "predict": arrays.predict,
    "sigmoid_losses": arrays.sigmoid_losses,
    "gram_matrix": matrix.gram_matrix,
    "standardized_gram_matrix": matrix.standardized_gram_matrix,
    "gram_product": matrix.gram_product,
    "loss_and_gradient": arrays.loss_and_gradient,
    "primal_conjugate_gradients": arrays.primal_conjugate_gradients,
    "gram_conjugate_gradients": matrix.gram_conjugate_gradients,
    "gram_solve": matrix.gram_solve,
    "gram_diagonal": matrix.gram_diagonal,
    "newton_steps": arrays.newton_steps,
    "many_fits": arrays.many_fits,
    "gram_steps": steps.gram_steps,
    "primal_steps": steps.primal_steps,
    "gram_network_steps": steps.gram_network_steps,
    "primal_network_steps": steps.primal_network_steps,
    "batch_steps": steps.batch_steps,
}

FUSED = tuple(KERNELS)


def default_device() -> str:
    """Return the one device that Numba's CPU kernels run on."""
    return devices()[0]


def devices() -> tuple[str, ...]:
    """Return the devices that Numba's CPU kernels run on."""
    if sys.modules.get("numba") is None and importlib.util.find_spec("numba") is None:  # the latter looks on the disk
        raise UnavailableError("numba is not installed")
    return plain.devices()


device_of = plain.device_of
to_host = plain.to_host


def open_backend(device: str, dtype: str, precision: str) -> Backend:
    """Return NumPy's record with the kernels."""
    return replace(
        plain.open_backend(device, dtype, precision),
        name="numba",
        asarray=np.ascontiguousarray,
        costs=Costs(primal=0.13, gram=0.06, product=0.005, fused=0.045),
        kernels=KERNELS,
        reads=arrays.READS,
        compile_seconds=seconds_of_compiling,
    )
