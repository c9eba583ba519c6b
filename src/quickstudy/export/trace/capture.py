"""Capture the functions of a learner as graphs of core tensor operations, from which every target is compiled.

`adapt` (from nothing), `update` (from an earlier state) and `predict` are each traced once. In the graphs all gradients are resolved,
weights are inputs, and loops stand between marks (`quickstudy.functional.loop`). They hold nothing of autograd, Python or the algorithm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import get_proxy_mode, make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from quickstudy import targets
from quickstudy.errors import ModelError
from quickstudy.export.trace.decompositions import Table
from quickstudy.export.trace.origin import origins
from quickstudy.functional.call import under, with_tensors
from quickstudy.functional.loop import as_loops
from quickstudy.inputs import TensorLayout
from quickstudy.learner import Learner, State, changed
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.labels import MultiHot
from quickstudy.objectives.sequences import Tokens
from quickstudy.objectives.values import Values
from quickstudy.task import Examples, Input

Answered = type[OneHot] | type[Values] | type[Tokens] | type[MultiHot]
"""Kinds of answers that an exported learner may be given."""
Axes = tuple[str | int, ...]
"""Sizes of a tensor's axes: each a number, or the name of what is counted along it (`example`, `way`, `query`, `earlier`, `place`,
`column`), or a sum of such names and numbers, such as `earlier + example` or `1 + column`."""

SIZES = {"example": 11, "query": 13, "way": 7, "earlier": 17, "place": 5, "column": 19}
"""Sizes that a trace runs with; in its graph they stand for any size."""


@dataclasses.dataclass(frozen=True)
class Program:
    """One function of a learner.

    Args:
        module: the graph; its placeholders are `inputs` in order, its output is a tuple that begins with `outputs`.
        inputs: shape of each input, by name.
        outputs: shape of each output, by name.
        types: type of each output, by name.
        loops: for each loop in the graph, the hyperparameter that holds its number of steps; empty for a loop over the rows of a tensor.
    """

    module: fx.GraphModule
    inputs: Mapping[str, Axes]
    outputs: Mapping[str, Axes]
    types: Mapping[str, torch.dtype]
    loops: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Programs:
    """A captured learner.

    Args:
        adapt: from `support.NAME` for each part of the input, `support.y`, settings and weights to a state.
        update: the same, with an earlier state as `state.NAME` among its inputs; None for a learner that would forget.
        predict: from `query.NAME`, `state.NAME` and weights to `prediction` `[query, way]`, and to its `spread` if there is one.
        weights: the tensors behind the inputs `weight.NAME`.
        settings: default values of the inputs that may be chosen at adaptation, such as `inner_lr` and `inner_steps`.
    """

    adapt: Program
    update: Program | None
    predict: Program
    weights: Mapping[str, Tensor]
    settings: Mapping[str, float | int]

    @property
    def state(self) -> Mapping[str, Axes]:
        """Return the shape of each tensor of the state."""
        return self.adapt.outputs


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes that are fixed in the graphs; None leaves a size open.

    Args:
        example: number of support examples.
        way: number of classes (or of outputs of a regression).
        query: number of queries that are predicted at once.
        any: hyperparameters that are sizes, such as that of a mini-batch; each stays open, as the size of an input `size.NAME`.
    """

    example: int | None = None
    way: int | None = None
    query: int | None = None
    any: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Backend:
    """The target that graphs are written for, and so what they may hold.

    Args:
        table: the functions that operations without a form there are composed of (`quickstudy.export.trace.decompositions`).
        sizes: the sizes that are fixed there.
        dtype: type of all floating-point inputs.
        state_types: types that the tensors of a state may have there.
        spread: whether `predict` may have the spread of its prediction as a second output there.
    """

    table: Table
    sizes: Sizes = Sizes()
    dtype: torch.dtype = torch.float32
    state_types: Collection[torch.dtype] = (torch.float32,)
    spread: bool = True


def capture(learner: Learner, layout: Mapping[str, TensorLayout], backend: Backend, answers: Answered = OneHot) -> Programs:
    """Trace a learner.

    Args:
        learner: ready to adapt; it is not changed.
        layout: shape and type of each part of an example as the net sees it, by name; a net is given a single part as a bare tensor,
            and several as a dict.
        backend: the target that the graphs are for.
        answers: kind of `y` that the learner is given.

    Raises:
        ModelError: the learner says that it cannot be exported, does something that cannot be traced, or has a state of another type.
    """
    if learner.not_exportable:
        raise ModelError(f"{type(learner).__name__} cannot be exported: {learner.not_exportable}")
    programs = _Tracer(learner.exported(), layout, backend, answers).programs()
    _check_state_types(type(learner).__name__, programs, backend.state_types)
    return programs


def _check_state_types(name: str, programs: Programs, allowed: Collection[torch.dtype]) -> None:
    """Raise a ModelError for a state that the target cannot hold, or that changes its type when it goes on."""
    for key, found in programs.adapt.types.items():
        after = found if programs.update is None else programs.update.types.get(key)
        if found not in allowed:
            expected = " or ".join(_word(dtype) for dtype in allowed)
            raise ModelError(
                f"{key} in the state of {name} is {_word(found)}; expected {expected}. Convert it at the end of adapt, and back in predict."
            )
        if after != found:
            raise ModelError(
                f"{key} in the state of {name} is {_word(found)}, but {_word(after)} after going on; let adapt return one type."
            )


def _word(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")


class _Tracer:
    """Traces the functions of one learner, all with the same fake examples."""

    def __init__(
        self,
        learner: Learner,
        layout: Mapping[str, TensorLayout],
        backend: Backend,
        answers: Answered,
    ) -> None:
        self.learner, self.table, self.answers = learner, backend.table, answers
        self.measure = answers.measure if backend.spread else dataclasses.replace(answers.measure, of_spread=None)
        sizes, dtype = backend.sizes, backend.dtype
        self.mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
        self.mode.cache_enabled = (
            False  # symbolic sizes seldom recur, and keeping the cache takes a fifth of the time of an export
        )
        ways = sizes.way or learner.ways
        self.axes = {
            "example": sizes.example or self._any(SIZES["example"]),
            "way": ways or self._any(SIZES["way"]),
            "query": sizes.query or self._any(SIZES["query"]),
            "earlier": self._any(SIZES["earlier"]),
            "column": self._any(SIZES["column"]),
        }
        between = targets.axes(answers.name)
        self.axes |= {name: self._any(SIZES[name]) for name in between}
        self.weights = {name: value.detach().to(dtype).contiguous() for name, value in learner.state_dict().items()}
        batches = {name: self._any(getattr(learner, name)) for name in sizes.any}
        self.settings = {name: float(getattr(learner, name)) for name in learner.adjustable}
        with self.mode:
            self.support = self._examples("support", "example", layout, dtype)
            self.query = self._examples("query", "query", layout, dtype)
            self.y = torch.zeros(self._sizes(("example", *between, "way")), dtype=dtype)
            self.fake_weights = {
                f"weight.{name}": torch.zeros(value.shape, dtype=dtype) for name, value in self.weights.items()
            }
            self.fake_sizes = {f"size.{name}": torch.zeros(size) for name, size in batches.items()}
            self.fake_settings = {name: torch.zeros((), dtype=dtype) for name in self.settings}

    def programs(self) -> Programs:
        """Return `adapt`, `predict` and, if the learner goes on without forgetting, `update`."""
        support = {**self.support, "support.y": self.y, **self.fake_settings}
        adapt = self.trace(self._adapt, support)
        shapes = {
            name: tuple("earlier" if axis == "example" else axis for axis in axes) for name, axes in adapt.outputs.items()
        }
        with self.mode:
            state = {f"state.{name}": torch.zeros(self._sizes(axes), dtype=adapt.types[name]) for name, axes in shapes.items()}
        predict = self.trace(self._predict, {**self.query, **state})
        for name in filter(None, predict.loops):
            raise ModelError(
                f"{type(self.learner).__name__} repeats something {name} times in predict, but only adapt is given that setting in an "
                "exported learner; write a plain Python loop there, whose number of turns is fixed by the export."
            )
        update = self.trace(self._adapt, support | state) if self.learner.continues else None
        times = {name: int(getattr(self.learner, name)) for name in adapt.loops if name}
        return Programs(adapt, update, predict, self.weights, self.settings | times)

    def trace(
        self, function: Callable[[Learner, Mapping[str, Tensor]], Mapping[str, Tensor]], inputs: dict[str, Tensor]
    ) -> Program:
        """Return the graph of a function of the learner and of named inputs, with the weights as further inputs."""
        inputs = inputs | self.fake_weights | self.fake_sizes
        outputs: dict[str, Tensor] = {}

        def flat(*values: Tensor) -> tuple[Tensor, ...]:
            proxies = get_proxy_mode()
            assert proxies is not None
            with origins(self.learner, proxies.tracer.graph):
                outputs.update(self._with_weights(function, dict(zip(inputs, values, strict=True))))
            return tuple(outputs.values())

        with (
            self.mode,
            enable_python_dispatcher(),
            torch.no_grad(),
            sdpa_kernel(SDPBackend.MATH),
            _FlatLinear(),
            as_loops() as loops,
        ):
            try:
                module = make_fx(flat, decomposition_table=self.table, tracing_mode="real")(*inputs.values())
            except (RuntimeError, TypeError, NotImplementedError) as error:
                reason = str(error).strip().splitlines()[0]
                raise ModelError(
                    f"{type(self.learner).__name__} cannot be captured for export: {reason}. Its adapt and predict must be tensor "
                    "operations whose course does not depend on values."
                ) from error
        self._check_free()
        program = Program(
            module,
            {name: self._axes(value) for name, value in inputs.items()},
            {name: self._axes(value) for name, value in outputs.items()},
            {name: value.dtype for name, value in outputs.items()},
            tuple(loops),
        )
        return _tidied(program)

    def _check_free(self) -> None:
        """Raise a ModelError if the number of examples or ways was read as a plain number, and so has become that of the trace."""
        environment = self.mode.shape_env
        assert environment is not None
        for name, size in self.axes.items():
            if not isinstance(size, int) and environment.replace(size.node.expr).is_number:
                raise ModelError(
                    f"{type(self.learner).__name__} cannot be captured for any number of {name} axes: somewhere in its adapt, predict or "
                    "net a size is read as a plain number (len(x), int(x.shape[0])). Use x.shape[0] as it is, or reshape with -1."
                )

    def _with_weights(self, function: Callable[..., Mapping[str, Tensor]], inputs: dict[str, Tensor]) -> Mapping[str, Tensor]:
        """Return what the function gives for a learner whose weights, settings and sizes are among the inputs."""
        sizes = {name.removeprefix("size."): inputs[name].shape[0] for name in self.fake_sizes}
        settings = {name: inputs[name] for name in self.settings if name in inputs}
        learner = changed(self.learner, **sizes, **settings)
        return function(with_tensors(learner, under("weight.", inputs)), inputs)

    def _adapt(self, learner: Learner, inputs: Mapping[str, Tensor]) -> State:
        """Adapt to the inputs `support.NAME`, from the state of the inputs `state.NAME` if there are any."""
        state, support = under("state.", inputs), under("support.", inputs)
        answers = self.answers(support.pop("y"))
        return learner.adapt(Examples(_given(support), answers), state or None)

    def _predict(self, learner: Learner, inputs: Mapping[str, Tensor]) -> State:
        return learner.outputs(under("state.", inputs), _given(under("query.", inputs)), self.measure)

    def _examples(self, part: str, axis: str, layout: Mapping[str, TensorLayout], dtype: torch.dtype) -> dict[str, Tensor]:
        """Return examples to trace with, as `PART.NAME`; whole numbers keep their type."""
        return {
            f"{part}.{name}": torch.zeros(self._sizes((axis, *one.shape)), dtype=torch.int64 if one.dtype == "int64" else dtype)
            for name, one in layout.items()
        }

    def _any(self, hint: int) -> Any:
        """Return a size that stands for any size."""
        context = StatelessSymbolicContext(dynamic_sizes=[DimDynamic.DYNAMIC])
        return self.mode.from_tensor(torch.zeros(hint), symbolic_context=context).shape[0]

    def _axes(self, value: Tensor) -> Axes:
        """Return the sizes of a tensor's axes, with names for those that are open."""
        names = {str(size): name for name, size in self.axes.items() if not isinstance(size, int)}
        return tuple(size if isinstance(size, int) else _worded(str(size), names) for size in value.shape)

    def _sizes(self, axes: Axes) -> list[Any]:
        """Return the sizes that a trace runs with."""
        parts = [str(axis).split(" + ") for axis in axes]
        return [sum(self.axes[part] if part in self.axes else int(part) for part in several) for several in parts]


def _given(parts: Mapping[str, Tensor]) -> Input:
    """Return an input as a net is given it: a single part as a bare tensor, several as a dict."""
    return next(iter(parts.values())) if len(parts) == 1 else dict(parts)


def _worded(size: str, names: Mapping[str, str]) -> str:
    """Write an expression of sizes, such as `s26 + s29`, in words."""
    return " + ".join(sorted(names.get(part, part) for part in size.split(" + ")))


class _FlatLinear(TorchFunctionMode):
    """Computes linear layers on more than two axes as if on two; torch's own way would read a size as a plain number, and so fix it."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.linear and args[0].dim() > 2:
            x, *rest = args
            return func(x.flatten(0, -2), *rest, **(kwargs or {})).unflatten(0, x.shape[:-1])
        return func(*args, **(kwargs or {}))


def _tidied(program: Program) -> Program:
    """Return the program without operations and inputs that nothing reads, and without notes on source lines."""
    module = program.module
    (output,) = module.graph.find_nodes(op="output")
    marks = (torch.ops.quickstudy.leave.default, torch.ops.quickstudy.take.default)
    unread = [node for node in module.graph.nodes if node.target in marks and not node.users]
    output.args = ((*output.args[0], *unread),)  # what only the loop itself reads must stay, behind the outputs
    module.graph.eliminate_dead_code()
    kept = {}
    for node, (name, axes) in zip(module.graph.find_nodes(op="placeholder"), program.inputs.items(), strict=True):
        if node.users:
            kept[name] = axes
        else:
            module.graph.erase_node(node)
    for node in module.graph.nodes:
        node.meta = {key: node.meta[key] for key in ("val", "origin") if key in node.meta}
    module.recompile()
    return dataclasses.replace(program, inputs=kept)


def layer_of(node: fx.Node, names: Mapping[fx.Node, str]) -> str:
    """Return the layer that a node probably belongs to, by the nearest weights that it comes from; for messages."""
    seen, queue = {node}, [node]
    while queue:
        current = queue.pop(0)
        name = names.get(current, "")
        if name.startswith("weight."):
            return name.removeprefix("weight.").rpartition(".")[0]
        for other in current.all_input_nodes:
            if other not in seen:
                seen.add(other)
                queue.append(other)
    return "the learner itself"
