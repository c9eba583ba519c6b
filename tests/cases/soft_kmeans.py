"""Expect C to refuse soft k-means, because a device predicts one query at a time."""

REFUSED_IN_C = "SoftKMeans answers a batch of queries together"
