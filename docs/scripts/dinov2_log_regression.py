"""DINOv2's protocol of logistic regression: choose C on a validation set, fit once more to both, test.

There a grid of 45 values of C from 1e-6 to 1e5 is fitted one by one. Here `path` fits them with shared passes over the
features, each from the minimum before. fastlr's l2 is the penalty beside the mean loss, l2 = 1 / (C m): it does not
change with the number of samples, so that the last fit, to more samples, has the same l2. The features go in as they
are; `standardize=True` brings each to mean 0 and deviation 1.
"""

import numpy as np
from drawn import embeddings

import fastlr

train = embeddings(1500, seed=1)
validation = embeddings(500, seed=2)
test = embeddings(500, seed=3)

C = np.logspace(-6, 5, 45)
path = fastlr.path(
    *train,
    l2=1 / (C * len(train[1])),
    folds=validation,
    refit="train+validation",
    scoring=["accuracy", "top_5"],
    test=test,
    iterations=1000,
)
print(f"C = {1 / (path.best_l2 * len(train[1])):.3g}, validation accuracy {path.scores['accuracy'].max():.4f}")
intervals = path.test_intervals()
for name, score in path.test_scores.items():
    low, high = intervals[name]
    print(f"test {name} {score:.4f}, 95 % interval {low:.4f} to {high:.4f}")
path.model.save("probe.safetensors")
