"""Ten handwritten digits from five examples each, by a learner that was meta-trained on other alphabets: python examples/digits.py"""

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from quickstudy import FewShotClassifier

rows, labels = load_digits(return_X_y=True)
images = np.pad(rows.reshape(-1, 8, 8) / 16, ((0, 0), (2, 2), (2, 2)))  # 12x12, light strokes on dark, with a margin
support, query, support_labels, query_labels = train_test_split(
    images, labels, train_size=50, test_size=400, stratify=labels, random_state=0
)

learned = FewShotClassifier.from_pretrained("omniglot", ink="light").fit(support, support_labels)
pixels = KNeighborsClassifier(1).fit(support.reshape(50, -1), support_labels)
sys.stdout.write(f"quickstudy        {100 * learned.score(query, query_labels):.1f} %\n")
sys.stdout.write(f"nearest neighbour {100 * pixels.score(query.reshape(400, -1), query_labels):.1f} %\n")
