"""Small tables, with nothing to train: the learner `tables`, which ships, reads a few labelled rows of four tables that it never saw."""

import functools

from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from quickstudy.cli._demo_tables import TableDemo, scaled
from quickstudy.estimators.classifier import FewShotClassifier

DEMO = TableDemo(
    learner="tables",
    tables=("iris", "wine", "breast_cancer", "diabetes"),
    baselines={
        "nearest class mean": functools.partial(scaled, FewShotClassifier),
        "logistic regression": functools.partial(scaled, LogisticRegression),
        "random forest": functools.partial(RandomForestClassifier, random_state=0),
    },
)
