"""Kernels for CUDA devices, in Numba: many steps of gradient descent in one launch.

A launch is a grid of blocks of WARPS warps; a row of the data, or of the Gram matrix, is one warp's. Steps are in one
persistent launch whose blocks wait for each other once or twice a step, so all of them must be on the device at a time.
Sums are made in a fixed order for a given grid, so the same grid gives the same bits.

NUMBA_ENABLE_CUDASIM=1 runs the same code without a GPU, in one block: there a barrier of the grid holds no blocks
together. Each kernel names its plain twin; the arrays may be of any library that Numba's launches read.
"""

from __future__ import annotations

import math
from typing import Any

from numba import config, cuda, float64

SIMULATED = bool(getattr(config, "ENABLE_CUDASIM", False))
LANES = 32
WARPS = 2 if SIMULATED else 8
MODELS = 64  # of one launch
FEATURES = 1024  # of `primal_steps`: so many fit the registers of a warp, twice
PER_LANE = FEATURES // LANES


if SIMULATED:

    @cuda.jit(device=True)
    def warp_sum(value: Any, scratch: Any) -> Any:
        """Return the sum over the warp, in every lane; all threads of a block call it. `scratch` is (WARPS, 32)."""
        lane, warp = cuda.threadIdx.x, cuda.threadIdx.y
        scratch[warp, lane] = value
        cuda.syncthreads()
        total = 0.0
        for other in range(LANES):
            total += scratch[warp, other]
        cuda.syncthreads()
        return total

else:

    @cuda.jit(device=True)
    def warp_sum(value: Any, scratch: Any) -> Any:
        """Return the sum over the warp, in every lane."""
        offset = LANES // 2
        while offset > 0:
            value += cuda.shfl_xor_sync(0xFFFFFFFF, value, offset)
            offset //= 2
        return value


@cuda.jit(device=True)
def sigmoid(z: float) -> float:
    """Return σ(z), as `core.sigmoid` does."""
    e = math.exp(-abs(z))
    return (1.0 if z >= 0 else e) / (1.0 + e)


@cuda.jit
def gram_steps(
    steps: int, K: Any, scale: float, Z0: Any, Y: Any, rates: Any, l2: Any,
    C: Any, s: Any, b: Any, Z: Any, parts: Any,
) -> None:  # fmt: skip
    """Advance C (2, k, m), s, b (k,) and Z (k, m) by `steps` steps, k ≤ MODELS. Twin: `descent.step` on a GramForm.

    C[0] is given, C[steps % 2] is the result: a step reads one and writes the other, so one barrier a step is enough.
    `parts (2, k, blocks)` takes the blocks' sums of residuals. A block's rows of K are the same in every step: where
    the launch gives it the shared memory for them, K is read once.
    """
    kept = cuda.shared.array(0, K.dtype)  # as much as the launch gives
    scratch = cuda.shared.array((WARPS, LANES), float64)
    sums = cuda.shared.array((WARPS, MODELS), float64)
    own_s = cuda.shared.array(MODELS, float64)
    own_b = cuda.shared.array(MODELS, float64)
    lane, warp, block, blocks = cuda.threadIdx.x, cuda.threadIdx.y, cuda.blockIdx.x, cuda.gridDim.x
    thread, (k, m) = warp * LANES + lane, Z.shape
    grid = cuda.cg.this_grid()
    for q in range(thread, k, WARPS * LANES):
        own_s[q], own_b[q] = s[q], b[q]
    tiles = (m + WARPS * blocks - 1) // (WARPS * blocks)
    keep = tiles * WARPS * m <= kept.size
    if keep:
        for tile in range(tiles):
            i, row = (tile * blocks + block) * WARPS + warp, (tile * WARPS + warp) * m
            if i < m:
                for j in range(lane, m, LANES):  # each lane reads back what it wrote, so there is nothing to wait for
                    kept[row + j] = K[i, j]
    for step in range(steps):
        now, then = step % 2, 1 - step % 2
        for q in range(lane, k, LANES):
            total = 0.0
            for i in range(block * WARPS + warp, m, blocks * WARPS):
                d = sigmoid(Z[q, i]) - Y[q % Y.shape[0], i]
                C[then, q, i] = C[now, q, i] - rates[q] * (d / m + l2[q] * C[now, q, i])
                total += d
            sums[warp, q] = total
        cuda.syncthreads()
        for q in range(thread, k, WARPS * LANES):
            total = 0.0
            for other in range(WARPS):
                total += sums[other, q]
            parts[then, q, block] = total
        grid.sync()

        for q in range(thread, k, WARPS * LANES):
            total = 0.0
            for other in range(blocks):
                total += parts[then, q, other]
            own_b[q] -= rates[q] * total / m
            own_s[q] -= rates[q] * l2[q] * own_s[q]
        cuda.syncthreads()
        for tile in range(tiles):
            i, row = (tile * blocks + block) * WARPS + warp, (tile * WARPS + warp) * m
            for q in range(k):
                dot = 0.0
                if i < m:
                    if keep:
                        for j in range(lane, m, LANES):
                            dot += kept[row + j] * C[then, q, j]
                    else:
                        for j in range(lane, m, LANES):
                            dot += K[i, j] * C[then, q, j]
                dot = warp_sum(dot, scratch)
                if lane == 0 and i < m:
                    Z[q, i] = scale * dot + own_s[q] * Z0[q, i] + own_b[q]
        cuda.syncthreads()
    if block == 0:
        for q in range(thread, k, WARPS * LANES):
            s[q], b[q] = own_s[q], own_b[q]


@cuda.jit
def primal_steps(
    steps: int, rows: Any, scale: float, Y: Any, rates: Any, l2: Any, W: Any, b: Any, parts: Any, sums: Any
) -> None:
    """Advance W (1, n) and b (1,) by `steps` steps, n ≤ FEATURES. Twin: `descent.step` on a PrimalForm.

    A warp holds a row in its registers from the product with W to the row's part in the gradient, so the data are
    read once a step. `parts (blocks, n)` and `sums (blocks,)` take the blocks' gradients and sums of residuals.
    """
    scratch = cuda.shared.array((WARPS, LANES), float64)
    whole = cuda.shared.array(FEATURES, float64)
    total = cuda.shared.array(1, float64)
    x = cuda.local.array(PER_LANE, float64)
    w = cuda.local.array(PER_LANE, float64)
    g = cuda.local.array(PER_LANE, float64)
    lane, warp, block, blocks = cuda.threadIdx.x, cuda.threadIdx.y, cuda.blockIdx.x, cuda.gridDim.x
    thread, (m, n) = warp * LANES + lane, rows.shape
    grid = cuda.cg.this_grid()
    for _ in range(steps):
        for r in range(PER_LANE):
            j = r * LANES + lane
            g[r] = 0.0
            w[r] = W[0, j] if j < n else 0.0
        own = 0.0
        for base in range(block * WARPS, m, blocks * WARPS):
            i = base + warp
            dot = 0.0
            for r in range(PER_LANE):
                j = r * LANES + lane
                x[r] = rows[i, j] if i < m and j < n else 0.0
                dot += x[r] * w[r]
            dot = warp_sum(dot, scratch)
            if i < m:
                d = sigmoid(scale * dot + b[0]) - Y[0, i]
                own += d
                for r in range(PER_LANE):
                    g[r] += d * x[r]

        for j in range(thread, FEATURES, WARPS * LANES):
            whole[j] = 0.0
        if thread == 0:
            total[0] = 0.0
        cuda.syncthreads()
        for turn in range(WARPS):  # one warp after another: the same order, the same bits
            if warp == turn:
                for r in range(PER_LANE):
                    whole[r * LANES + lane] += g[r]
                if lane == 0:
                    total[0] += own
            cuda.syncthreads()
        for j in range(thread, n, WARPS * LANES):
            parts[block, j] = whole[j]
        if thread == 0:
            sums[block] = total[0]
        grid.sync()

        for j in range(block * WARPS * LANES + thread, n, blocks * WARPS * LANES):
            gradient = 0.0
            for other in range(blocks):
                gradient += parts[other, j]
            W[0, j] -= rates[0] * (scale / m * gradient + l2[0] * W[0, j])
        if block == 0 and thread == 0:
            residual = 0.0
            for other in range(blocks):
                residual += sums[other]
            b[0] -= rates[0] * residual / m
        grid.sync()
