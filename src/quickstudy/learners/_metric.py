"""What metric learners share: an embedding whose batch norm uses the batch in meta-training and population statistics afterwards."""

from __future__ import annotations

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.functional.features import features_of
from quickstudy.layers.batch_norm import batch_statistics, has_batch_norm, set_population_statistics
from quickstudy.task import Examples, Task, concatenate


def embed_task(net: nn.Module, task: Task) -> tuple[Float[Tensor, "support feature"], Float[Tensor, "query feature"]]:
    """Return the features of the support and of the query set, in one pass, normalised by the statistics of both together."""
    features = embed_batch(net, concatenate(task.support, task.query))
    count = task.support.count
    return features[:count], features[count:]


def embed_batch(net: nn.Module, examples: Examples) -> Float[Tensor, "example feature"]:
    """Return features, normalised by the statistics of all the examples together."""
    with batch_statistics(examples.mask):
        return features_of(net, examples.x)


def measure_population(net: nn.Module, tasks: Iterable[Task]) -> None:
    """Set the population statistics of batch norm to those of many tasks; nothing without batch norm."""
    if not has_batch_norm(net):
        return
    seen = []
    for task in tasks:
        both = concatenate(task.support, task.query)
        with batch_statistics(both.mask, keep=True) as recording:
            net(both.x)
        seen.append(recording.of(net))
    set_population_statistics(net, seen)
