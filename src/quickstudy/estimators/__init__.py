"""Learners as scikit-learn estimators."""

ESTIMATORS = {"classes": "FewShotClassifier", "labels": "FewShotMultiLabelClassifier", "values": "FewShotRegressor"}
"""Name of the estimator for each kind of answer that has one."""
