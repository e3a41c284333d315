"""SetFit's head: a classifier on a sentence encoder's embeddings of few labelled texts, of one label each or of many.

SetFit takes any head with scikit-learn's methods: `SetFitModel.from_pretrained(..., head=...)`, or
`model.model_head = fastlr.LogisticRegression()`. For many labels a text it wraps its head in `OneVsRestClassifier`;
fastlr's takes the table of labels as it is, and reads the embeddings once for all labels.
"""

import numpy as np
from drawn import embeddings

import fastlr

few, labels = embeddings(8 * 5, seed=1)  # 8 texts a class
more, truth = embeddings(500, seed=2)

head = fastlr.LogisticRegression()
head.fit(few, labels)
print(f"one label each: accuracy {head.score(more, truth):.3f}")

table = np.eye(5, dtype=int)[labels] | np.eye(5, dtype=int)[(labels + 1) % 5]  # two labels each
head = fastlr.LogisticRegression().fit(few, table)
probabilities = head.predict_proba(more)  # (m, labels)
expected = np.eye(5, dtype=int)[truth] | np.eye(5, dtype=int)[(truth + 1) % 5]
print(f"many labels: {np.mean(head.predict(more) == expected):.3f} of the labels are right")
