"""Embeddings to try the scripts on: replace `embeddings` by those of your encoder."""

import numpy as np


def embeddings(m: int, n: int = 64, classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return drawn features (m, n) in float32, of length 1, and labels (m,); a class has the same mean in each call."""
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(99).normal(size=(classes, n))
    labels = rng.integers(0, classes, m)
    X = means[labels] * 0.3 + rng.normal(size=(m, n))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), labels
