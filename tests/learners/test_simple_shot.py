"""SimpleShot's three normalisations against NumPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from builders import drawn, make_tasks
from sklearn.neighbors import NearestCentroid

from quickstudy.learners.simple_shot import SimpleShot
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples


@pytest.mark.parametrize("normalisation", ["UN", "L2N", "CL2N"])
def test_it_is_the_nearest_centroid_of_normalised_features(normalisation: str) -> None:
    rows, labels, queries = drawn(0)
    learner = SimpleShot(Identity(5), normalisation=normalisation).double()  # type: ignore[arg-type]
    centre = np.array([0.4, -0.3, 0.2, 0.0, 1.0])
    learner.centre.copy_(torch.from_numpy(centre))

    def normalised(x: np.ndarray) -> np.ndarray:
        x = x - centre if normalisation == "CL2N" else x
        return x if normalisation == "UN" else x / np.linalg.norm(x, axis=1, keepdims=True)

    state = learner.adapt(Examples(torch.from_numpy(rows), one_hot(torch.from_numpy(labels), 4, torch.float64)))
    found = learner.predict(state, torch.from_numpy(queries))
    theirs = NearestCentroid().fit(normalised(rows), labels)
    assert (found.argmax(-1).numpy() == theirs.predict(normalised(queries))).all()
    apart = ((normalised(queries)[:, None] - theirs.centroids_) ** 2).sum(-1)
    assert np.abs(found.numpy() + apart).max() < 1e-12


def test_the_centre_is_the_mean_of_training_features() -> None:
    tasks = make_tasks(3, ragged=True)
    learner = SimpleShot(Identity(6)).double()
    learner.calibrate(tasks[index] for index in range(3))
    parts = [part.x[part.mask] for index in range(3) for part in (tasks[index].support, tasks[index].query)]
    torch.testing.assert_close(learner.centre, torch.cat(parts).mean(0))
