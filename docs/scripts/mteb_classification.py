"""MTEB's evaluation of embeddings by classification: ten times 8 samples a label, one classifier each, mean scores.

There, each of the ten draws is a fit of its own. `fit_many` fits all of them, and every value of l2 that is asked for,
in one call. MTEB's classifier has scikit-learn's C = 1, so l2 = 1 / (number of samples).
"""

import numpy as np
from drawn import embeddings

import fastlr

EXPERIMENTS, SAMPLES = 10, 8

train_embeddings, train_labels = embeddings(2000, seed=1)
test_embeddings, test_labels = embeddings(500, seed=2)

rng = np.random.default_rng(42)
classes = np.unique(train_labels)
subsets = [
    np.concatenate([rng.permutation(np.flatnonzero(train_labels == label))[:SAMPLES] for label in classes])
    for _ in range(EXPERIMENTS)
]
fits = fastlr.fit_many(train_embeddings, train_labels, subsets=subsets, l2=[1 / (SAMPLES * len(classes))])
for name, scores in fits.scores(test_embeddings, test_labels, ["accuracy", "f1", "average_precision"]).items():
    print(f"{name}: {scores.mean():.4f}, deviation of {EXPERIMENTS} draws {scores.std():.4f}")
