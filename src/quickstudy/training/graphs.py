"""Graphs: a pure function of tasks as one plain graph of tensor operations, replayed without autograd or vmap.

For the small tensors of few-shot tasks, building and walking autograd's graph takes longer than the arithmetic. The captured graph has all
derivatives in it, is exact, frees every tensor after its last use, and lets several threads work at the same time. It is traced once per
shape of tasks.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from quickstudy.learner import Learner, annealing, hyperparameters
from quickstudy.task import Task
from quickstudy.training.meta_gradient import Function, Tensors

T = TypeVar("T")


class Captured(Generic[T]):
    """A pure function of `(parameters, others, tasks)` as graphs, one for each shape of tasks that it meets.

    Args:
        learner: its hyperparameters, and the phase of its training, are constants of the graph; when they change, it is captured again.
        function: what is captured.
        graphs: where to keep them.
        compiled: have each graph compiled to C++ or GPU code, which takes a good part of a minute and is kept on disk by torch.
    """

    def __init__(
        self, learner: Learner, function: Function[T], graphs: dict[str, Function[T]] | None = None, compiled: bool = False
    ) -> None:
        self.learner, self.function, self.compiled = learner, function, compiled
        self.phases = [(part, phase) for part in annealing(learner) for phase in part.phases]
        self.graphs = {} if graphs is None else graphs
        self.operations = 0
        """Length of the longest graph."""

    def graph(self, parameters: Tensors, others: Tensors, tasks: Task) -> Function[T]:
        """Return the graph for tasks of this shape, with the casts of the present autocast in it; for one thread at a time."""
        shapes = [(leaf.shape, leaf.dtype, leaf.device) for leaf in tree_leaves(tasks)]
        mixed = torch.is_autocast_enabled(tasks.device.type)
        over = [part.over(phase) for part, phase in self.phases]
        key = repr((shapes, list(parameters), hyperparameters(self.learner), over, mixed))
        if key not in self.graphs:
            graph = make_fx(self.function, tracing_mode="fake")(parameters, others, tasks)
            self.operations = max(self.operations, len(graph.graph.nodes))
            with torch.autocast(tasks.device.type, enabled=False):  # its casts are in the graph
                self.graphs[key] = _compiled(graph, (parameters, others, tasks)) if self.compiled else graph
        return self.graphs[key]

    def replay(self, parameters: Tensors, others: Tensors, chunks: list[Task], workers: int) -> list[T]:
        """Return the results for all chunks, in their order; several threads work on a CPU, and then every operation has one thread."""
        graphs = [self.graph(parameters, others, chunk) for chunk in chunks]

        def one(graph: Function[T], chunk: Task) -> T:
            return graph(parameters, others, chunk)

        with torch.autocast(chunks[0].device.type, enabled=False):  # its casts are in the graph
            if workers == 1 or len(chunks) == 1:
                return list(map(one, graphs, chunks))
            threads = torch.get_num_threads()
            try:
                with concurrent.futures.ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                    return list(pool.map(one, graphs, chunks))
            finally:
                torch.set_num_threads(
                    threads
                )  # the workers' number would be that of every thread that the process starts later


def _compiled(graph: fx.GraphModule, arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """Return the graph as machine code that does not return to Python between its operations.

    `torch.compile` would check its assumptions at every call and compile again when an object is a new one.
    """
    import torch._inductor  # takes a second, for those who compile

    leaves, structure = tree_flatten(arguments)
    _, result_structure = tree_flatten(graph(*arguments))

    def flat(*leaves: Tensor) -> list[Tensor]:
        return tree_leaves(graph(*tree_unflatten(leaves, structure)))

    with torch.no_grad():
        code = torch._inductor.compile(make_fx(flat, tracing_mode="fake")(*leaves), leaves, options={"cpp_wrapper": True})

    def run(*arguments: Any) -> Any:
        with torch.no_grad():
            return tree_unflatten(code(*tree_leaves(arguments)), result_structure)  # pyright: ignore[reportCallIssue]

    return run
