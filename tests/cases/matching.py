"""Build Matching Networks with a distance that tells small random features apart."""

SMALL = {"distance": "euclidean", "scale": 1.0}
