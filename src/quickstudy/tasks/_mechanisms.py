"""Mechanisms by which a synthetic table comes about: each draws columns of numbers, and scores that its classes or values are made from.

All are functions of a generator of random numbers. Hollmann et al. 2023, "TabPFN: A Transformer That Solves Small Tabular Classification
Problems in a Second", section 4, draws structural causal models from random networks; Feuer et al. 2026, arXiv 2606.03681, from a growing
network with redirection (Krapivsky and Redner 2001, "Organization of growing random networks"); Qu et al. 2025, "TabICL", adds trees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

Random = np.random.Generator
Table = tuple[Float[np.ndarray, "row column"], Float[np.ndarray, "row score"]]
"""Type of a table: columns of numbers; and one score, to be cut into classes, or one for each class, of which the largest wins."""

ACTIVATIONS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    np.tanh,
    lambda x: np.maximum(x, 0.0),
    lambda x: x,
    np.sin,
    np.abs,
    lambda x: (x > 0) * 1.0,
    lambda x: np.exp(-x * x),
    lambda x: np.clip(x, -3.0, 3.0) ** 2,
)


def standard(x: np.ndarray) -> np.ndarray:
    """Return numbers whose mean over rows is 0 and whose standard deviation is 1; nothing moves what is the same in all rows."""
    return (x - x.mean(0)) / (x.std(0) + 1e-6)


def graph(random: Random, rows: int, columns: int, classes: int) -> Table:
    """Return nodes of a random causal graph, which grows by redirection, and one more node as the score."""
    count = columns + 1 + int(random.integers(0, columns + 3))
    roots = int(random.integers(1, 1 + max(1, count // 3)))
    values = np.empty((count, rows))
    values[:roots] = causes(random, rows, roots).T
    redirect, noise = random.random(), 10 ** random.uniform(-2.5, -0.3)
    parents: list[np.ndarray] = [np.array([node]) for node in range(roots)]
    for node in range(roots, count):
        found = random.integers(0, node, int(min(random.geometric(0.5), 4, node)))
        moved = [int(random.choice(parents[one])) if random.random() < redirect else int(one) for one in found]
        parents.append(np.unique(moved))
        total = random.normal(size=len(parents[node])) @ values[parents[node]]
        value = ACTIVATIONS[random.integers(len(ACTIVATIONS))](random.normal() * 0.5 + standard(total))
        values[node] = standard(value + noise * random.normal(size=rows))
    order = np.concatenate([random.permutation(count - 1), [count - 1]]) if random.random() < 0.5 else random.permutation(count)
    return values[order[:columns]].T, values[order[-1:]].T


def network(random: Random, rows: int, columns: int, classes: int) -> Table:
    """Return inputs, or nodes anywhere, of a random network, and the score of one of its last nodes or one score for each class."""
    depth, width = int(random.integers(1, 4)), int(random.integers(4, 32))
    hidden = causes(random, rows, columns if random.random() < 0.6 else int(random.integers(1, 2 * columns + 1)))
    inputs, nodes = hidden.shape[1] == columns and random.random() < 0.8, [hidden]
    dense, gain, noise = random.uniform(0.2, 1.0), random.uniform(0.7, 2.5), 10 ** random.uniform(-3, -0.5)
    alike = random.random() < 0.5
    kinds = random.integers(len(ACTIVATIONS), size=width)
    for _ in range(depth):
        weights = random.normal(size=(hidden.shape[1], width)) * (random.random((hidden.shape[1], width)) < dense)
        hidden = standard(hidden) @ weights * gain / np.sqrt(max(1.0, dense * len(weights))) + 0.5 * random.normal(size=width)
        if alike:
            hidden = ACTIVATIONS[kinds[0]](hidden)
        else:
            hidden = np.stack([ACTIVATIONS[kind](hidden[:, place]) for place, kind in enumerate(kinds)], 1)
        hidden = hidden + noise * random.normal(size=hidden.shape)
        nodes.append(hidden)
    last = standard(nodes[-1])
    scores = last @ random.normal(size=(width, classes if random.random() < 0.5 else 1))
    if inputs:
        return nodes[0], scores
    found = np.concatenate(nodes, 1)
    return found[:, np.resize(random.permutation(found.shape[1]), columns)], scores


def trees(random: Random, rows: int, columns: int, classes: int) -> Table:
    """Return causes, and sums of random trees that split at a row's own numbers: one score, or one for each class."""
    x = causes(random, rows, columns)
    count, depth = int(random.integers(1, 9)), int(random.integers(1, 6))
    scores = np.zeros((rows, classes if random.random() < 0.5 else 1))
    liked = random.dirichlet(np.full(columns, random.choice([0.3, 1.0, 10.0])))
    for _ in range(count):
        where = np.zeros(rows, dtype=np.int64)
        for _ in range(depth):  # each leaf splits by a column of its own
            leaves = where.max() + 1
            column = random.choice(columns, leaves, p=liked)
            border = x[random.integers(rows, size=leaves), column]
            where = 2 * where + (x[np.arange(rows), column[where]] > border[where])
            where = np.unique(where, return_inverse=True)[1]
        scores += random.normal(size=(where.max() + 1, scores.shape[1]))[where]
    return x, scores + 10 ** random.uniform(-3, -0.3) * random.normal(size=scores.shape)


def rules(random: Random, rows: int, columns: int, classes: int) -> Table:
    """Return a few levels a column, and what a rule says of some of them: a parity, a table, a count, terms of logic, or a comparison."""
    levels = int(random.integers(2, 6)) if random.random() < 0.6 else 2
    x = random.integers(0, levels, (rows, columns)).astype(np.float64)
    if random.random() < 0.3:  # skewed
        x = np.minimum(x, random.integers(0, levels, (rows, columns)))
    count = int(random.integers(1, 1 + min(columns, 6)))
    told = x[:, random.permutation(columns)[:count]]
    score = RULES[random.integers(len(RULES))](random, told, levels)
    scores = np.asarray(score, dtype=np.float64).reshape(rows, -1)
    if random.random() < 0.2:  # levels of which only noisy numbers are seen
        x = x + random.normal(size=x.shape) * random.uniform(0.05, 0.4)
    return x, scores


def clusters(random: Random, rows: int, columns: int, classes: int) -> Table:
    """Return rows around centres of their classes, of which each class has one or more, and the classes as scores."""
    each = int(random.integers(1, 4))
    spread = random.uniform(0.2, 1.5)
    centres = random.normal(size=(classes * each, columns))
    wide = spread * np.exp(random.normal(size=(classes * each, columns)) * random.choice([0.0, 0.7]))
    drawn = random.integers(classes * each, size=rows)
    x = centres[drawn] + wide[drawn] * random.normal(size=(rows, columns))
    if random.random() < 0.5:
        x = x @ (np.eye(columns) + random.normal(size=(columns, columns)) / np.sqrt(columns))
    return x, np.eye(classes)[drawn % classes]


def additive(random: Random, rows: int, columns: int, classes: int) -> Table:
    """Return causes, and as the score a weighted sum of some of them, or of functions of single ones (Hastie and Tibshirani 1986)."""
    x = causes(random, rows, columns)
    used = random.random(columns) < random.uniform(0.3, 1)
    used[random.integers(columns)] = True
    weights = random.normal(size=columns) * used
    if random.random() < 0.5:
        return x, (x @ weights)[:, None]
    bent = [ACTIVATIONS[random.integers(len(ACTIVATIONS))](random.normal() * 0.5 + column) for column in standard(x).T]
    return x, (standard(np.stack(bent, 1)) @ weights)[:, None]


def causes(random: Random, rows: int, count: int) -> Float[np.ndarray, "row cause"]:
    """Return numbers that nothing causes: normal, uniform, around centres, correlated, or with long tails."""
    kind = random.integers(5)
    x = random.normal(size=(rows, count))
    if kind == 1:
        x = random.uniform(-1.7, 1.7, (rows, count))
    elif kind == 2:
        centres = random.normal(size=(int(random.integers(2, 8)), count)) * random.uniform(0.5, 2)
        x = centres[random.integers(len(centres), size=rows)] + x * random.uniform(0.1, 1)
    elif kind == 3:
        x = x @ random.normal(size=(count, count)) / np.sqrt(count)
    elif kind == 4:
        x = np.sign(x) * np.abs(x) ** random.uniform(0.5, 3)
    return x


def _parity(random: Random, told: np.ndarray, levels: int) -> np.ndarray:
    """Return the parity of how many columns are above a level each."""
    few = told[:, :3] if random.random() < 0.8 else told
    return (few >= random.integers(1, levels, few.shape[1])).sum(1) % 2


def _lookup(random: Random, told: np.ndarray, levels: int) -> np.ndarray:
    """Return a random number for each combination of levels of up to three columns."""
    few = told[:, : 3 if levels < 4 else 2].astype(np.int64)
    return random.normal(size=levels ** few.shape[1])[few @ levels ** np.arange(few.shape[1])]


def _count(random: Random, told: np.ndarray, levels: int) -> np.ndarray:
    """Return how many columns have a level each."""
    return (told == random.integers(0, levels, told.shape[1])).sum(1)


def _logic(random: Random, told: np.ndarray, levels: int) -> np.ndarray:
    """Return whether any of a few terms holds, each of which asks some columns for a level each."""
    found = np.zeros(len(told), dtype=bool)
    for _ in range(int(random.integers(1, 5))):
        asked = random.permutation(told.shape[1])[: int(random.integers(1, 4))]
        found |= (told[:, asked] == random.integers(0, levels, len(asked))).all(1)
    return found


def _compare(random: Random, told: np.ndarray, levels: int) -> np.ndarray:
    """Return whether two columns are the same, or which is larger, or how products of columns compare."""
    first, second = told[:, 0], told[:, -1]
    kind = random.integers(3)
    if kind == 0:
        return first == second
    if kind == 1:
        return np.sign(first - second)
    half = max(1, told.shape[1] // 2)
    return np.sign((1 + told[:, :half]).prod(1) - (1 + told[:, half:]).prod(1))


def _weighed(random: Random, told: np.ndarray, levels: int) -> np.ndarray:
    """Return a weighted sum of a number for each level of each column."""
    of_levels = random.normal(size=(levels, told.shape[1]))
    return np.take_along_axis(of_levels, told.astype(np.int64), 0).sum(1)


RULES: tuple[Callable[[Random, np.ndarray, int], Any], ...] = (
    _parity,
    _lookup,
    _lookup,
    _count,
    _logic,
    _logic,
    _compare,
    _weighed,
)
MECHANISMS: dict[str, Callable[[Random, int, int, int], Table]] = {
    "graph": graph,
    "network": network,
    "trees": trees,
    "rules": rules,
    "clusters": clusters,
    "additive": additive,
}
"""Mechanisms by name: functions of a generator and the numbers of rows, columns and classes."""
