"""The linear probe of CLIP's README: one classifier on the image features of CIFAR-100, its accuracy on the test set.

There, `get_features` runs the image encoder over both splits. The one change is the import: scikit-learn's
`LogisticRegression` becomes fastlr's, with the same arguments.
"""

import numpy as np
from drawn import embeddings

import fastlr

train_features, train_labels = embeddings(2000, seed=1)  # get_features(train)
test_features, test_labels = embeddings(500, seed=2)  # get_features(test)

classifier = fastlr.LogisticRegression(random_state=0, C=0.316, max_iter=1000)
classifier.fit(train_features, train_labels)

predictions = classifier.predict(test_features)
accuracy = np.mean(test_labels == predictions) * 100.0
print(f"Accuracy = {accuracy:.3f}")
