"""Peak memory beyond the pixels themselves, each in a process of its own."""

import subprocess
import sys

import pytest

pytest.importorskip("resource", reason="peak memory is asked of Unix")

MEASURE = """
import resource, sys
import numpy as np
import fastlr
from fastlr.backends import choose_backend

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

m, n = {m}, {n}
rng = np.random.default_rng(0)
small = rng.integers(0, 256, (20, 30), dtype=np.uint8)
labels = np.arange(m) % 2
X = np.empty((m, n), np.uint8)
for rows in np.array_split(X, max(1, m // 100)):
    rows[:] = rng.integers(0, 256, rows.shape, dtype=np.uint8)
fastlr.train(small, labels[:20], iterations=2, form={form!r}, backend={backend!r})  # loads and compiles
{before}
before = peak()
{work}
print(peak() - before)
"""


def growth(m: int, n: int, work: str, before: str = "", form: str = "auto", backend: str = "numba") -> int:
    """Return by how many bytes the peak grows while this work is done on uint8 X (m, n)."""
    code = MEASURE.format(m=m, n=n, work=work, before=before, form=form, backend=backend)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


TRAIN = "fastlr.train(X, labels, iterations=3, record_every=1, form={form!r}, backend='numba')"


def test_primal_training_holds_no_float_copy_of_the_pixels():
    m, n = 6000, 8000
    assert growth(m, n, TRAIN.format(form="primal"), form="primal") < m * n / 2


def test_gram_training_holds_k_and_one_block():
    m, n = 3000, 12288
    assert growth(m, n, TRAIN.format(form="gram"), form="gram") < m * m * 8 + 200e6


def test_plain_gram_training_holds_k_and_some_blocks():
    m, n = 3000, 12288
    work = "fastlr.train(X, labels, iterations=3, form='gram', backend='numpy')"
    assert growth(m, n, work, form="gram", backend="numpy") < 3 * m * m * 8 + 200e6


def test_predictions_take_no_copy():
    m, n = 8000, 12288
    model = "run = fastlr.train(X[:50], labels[:50], iterations=2); run.model.predict_proba(X[:400])"
    assert growth(m, n, "run.model.predict_proba(X)", before=model) < 0.05 * m * n


PROBE = """
import resource, sys
import numpy as np
import fastlr

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

rng = np.random.default_rng(0)
labels = np.arange({m}) % {classes}
X = np.empty(({m}, {n}), {dtype!r}, order={order!r})
for start in range(0, {m}, 1000):
    X[start : start + 1000] = rng.integers(0, 100, (1000, {n})) + 3 * labels[start : start + 1000, np.newaxis]
fastlr.LogisticRegression(tol=1).fit(X[:100].copy(), labels[:100])  # loads and compiles
before = peak()
clf = fastlr.LogisticRegression(tol=1, max_iter=20).fit(X, labels)
print(peak() - before, clf.coef_.dtype)
"""


@pytest.mark.parametrize(
    ("dtype", "order", "works_in"),
    [
        ("float64", "C", "float64"), ("float64", "F", "float64"), ("float32", "C", "float32"),
        ("float32", "F", "float32"), ("float16", "C", "float32"), ("uint8", "C", "float64"),
    ],
)  # fmt: skip
def test_the_estimator_copies_no_samples(dtype, order, works_in):
    m, n, classes = 60_000, 300, 2
    code = PROBE.format(m=m, n=n, dtype=dtype, order=order, classes=classes)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    grown, used = done.stdout.split()
    assert used == works_in
    # What is there beside X: a tile of it, logits of every sample a dozen times over, and matrices of n features.
    width = 8 if works_in == "float64" else 4
    room = 2**22 * 8 + 16 * m * width + 20 * n * n * 8
    assert int(grown) < room, f"{int(grown) / 1e6:.0f} MB, {room / 1e6:.0f} at the most"
    assert room < m * n * width, "a copy would go unnoticed"
