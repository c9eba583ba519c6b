"""Compile a learner to C in float32, of any algorithm whose operations have kernels: header, weights and code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from quickstudy.errors import ModelError
from quickstudy.export.c import emit
from quickstudy.export.c.context import Bind, Context, Frame
from quickstudy.export.c.functional import functional
from quickstudy.export.c.header import header, input_facts, state_size, weights_text
from quickstudy.export.c.ir import Buffer, Index, Item, Value, literal, stored
from quickstudy.export.c.lower import lowered
from quickstudy.export.c.plan import planned, without_unread
from quickstudy.export.c.program import Code, Request
from quickstudy.export.c.schedule import scheduled
from quickstudy.export.c.sections import cut
from quickstudy.export.c.table import table
from quickstudy.export.c.verify import check_arena, check_items
from quickstudy.export.trace.capture import Axes, Backend, Program, Programs, Sizes, capture
from quickstudy.learner import Learner
from quickstudy.objectives.values import Values


def compile_float(learner: Learner, request: Request) -> Code:
    """Compile the learner to C.

    Raises:
        ModelError: an operation has no C form, or does not go example by example.
    """
    batches = tuple(name for name in ("inner_batch",) if hasattr(learner, name))
    backend = Backend(table(), Sizes(way=request.ways, query=1, any=batches), spread=False)
    programs = capture(learner, request.spec.layout(), backend, request.answers)
    return _Compiler(learner, programs, request).source()


class _Compiler:
    """Compiles `adapt` and `predict` of one captured learner, which share weights and an arena."""

    def __init__(self, learner: Learner, programs: Programs, request: Request) -> None:
        self.learner, self.programs, self.request = learner, programs, request
        self.regression = request.answers is Values
        self.constants: dict[tuple[str, str], str] = {}
        self.used: set[str] = set()

    def source(self) -> Code:
        """Return the three files, and the memory that they take."""
        adapt, adapt_size, grows = self._function(
            self.programs.adapt,
            "static void adapt(qs_state *state, const qs_input *support, const qs_target *targets, int count"
            + "".join(f", {'float' if isinstance(value, float) else 'int'} {name}" for name, value in self._settings().items())
            + ")",
            self._adapt_frame(),
        )
        predict, predict_size, _ = self._function(
            self.programs.predict,
            "static void predict(const qs_state *state, const qs_input *query, float *scores)",
            self._predict_frame(),
        )
        arena = max(adapt_size, predict_size, 4)
        weights = {name: value for name, value in self.programs.weights.items() if name in self.used}
        code = emit.filled(
            "float32",
            arena=arena // 4,
            entering=self._entering(),
            constants=emit.constants(self.constants),
            adapt=adapt,
            predict=predict,
            checks=self._checks(),
            query_check=_refused("query", "QS_VALUES") if self.request.layout.dtype == "float32" else "",
            strange=self._strange(),
            settings=self._defaults(),
            call="".join(f", settings->{name}" for name in self._settings()),
            labels="" if self.regression else "\n" + emit.filled("classes"),
            result="return qs_best(scores);" if not self.regression else "return QS_OK;",
        )
        constants = weights_text([emit.array("float", _weight(name), value.cpu().numpy()) for name, value in weights.items()])
        files = {"learner.h": self._header(constants), "weights.h": constants, "learner.c": code}
        state = state_size(sum(math.prod(self._sized(axes)) for axes in self.programs.state.values()))
        return Code(files, state, arena, sum(4 * value.numel() for value in weights.values()), grows)

    def _function(self, program: Program, signature: str, frame: Frame) -> tuple[str, int, bool]:
        """Return a C function, the bytes of its arena, and whether these grow with the number of examples."""
        graph = functional(program.module.graph, list(program.inputs))
        context = Context(graph, cut(graph), list(program.inputs), frame, list(program.outputs))
        context.constants = self.constants
        items: list[Item] = without_unread(lowered(context))
        check_items(items, "lowering")
        items = scheduled(items)
        check_items(items, "scheduling")
        arena = planned(items)
        check_arena(items, arena)
        used = {name for item in items for buffer in getattr(item, "reads", ()) for name in [buffer.name]}
        self.used |= {name for name in self.programs.weights if _weight(name) in used}
        return emit.function(signature, items, arena), arena.size, bool(context.rows)

    def _sized(self, axes: Axes) -> tuple[int, ...]:
        """Return the sizes of axes for the most examples that there may be."""
        return tuple(self.request.examples if isinstance(axis, str) else axis for axis in axes)

    def _settings(self) -> Mapping[str, float | int]:
        return self.programs.settings

    def _adapt_frame(self) -> Frame:
        """Return what stands behind the inputs and outputs of `adapt`."""
        inputs = self._weights() | {name: _scalar(name) for name in self._settings()}
        inputs[f"support.{self.request.input}"] = self._examples("support")
        inputs["support.y"] = self._targets()
        outputs = {
            name: Buffer(f"state->{emit.c_name(name)}", math.prod(self._sized(axes)), outside=True)
            for name, axes in self.programs.state.items()
        }
        sizes = {
            str(axes[0]): str(getattr(self.learner, name.removeprefix("size.")))
            for name, axes in self.programs.adapt.inputs.items()
            if name.startswith("size.")
        }
        return Frame(inputs, outputs, "count", self.request.examples, self.programs.adapt.loops, sizes)

    def _predict_frame(self) -> Frame:
        """Return what stands behind the inputs and outputs of `predict`."""
        inputs = self._weights()
        inputs[f"query.{self.request.input}"] = self._examples("query")
        for name, axes in self.programs.state.items():
            inputs[f"state.{name}"] = _tensor(f"state->{emit.c_name(name)}", axes)
        return Frame(
            inputs, {"prediction": Buffer("scores", self.request.ways, outside=True)}, "state->examples", self.request.examples
        )

    def _weights(self) -> dict[str, Bind]:
        return {f"weight.{name}": _tensor(_weight(name), tuple(value.shape)) for name, value in self.programs.weights.items()}

    def _examples(self, name: str) -> Bind:
        """Return the examples that the caller gives, as the net sees them: in its order of axes, scaled and shifted."""
        layout, size = self.request.layout, math.prod(self.request.layout.axes)
        dtype = torch.int64 if layout.dtype == "int64" else torch.float32
        buffer = Buffer(name, size, getattr(torch, layout.dtype), outside=True)
        places = [layout.order.index(axis) for axis in range(len(layout.axes))]  # where the net has each stored axis

        def bind(row: str) -> Value:
            given = stored(buffer, (1, *layout.axes), f"{row} * {size}" if name == "support" else "")
            if self._enters_as_it_is():
                return given

            def read(index: Index) -> str:
                return f"qs_entering({given.read(('0', *(index[1 + place] for place in places)))})"

            return Value((1, *layout.shape), dtype, read, frozenset({buffer}), 2)

        return bind

    def _enters_as_it_is(self) -> bool:
        """Say whether the net sees the caller's numbers as they lie in memory."""
        layout = self.request.layout
        scaled, moved = (layout.scale, layout.offset) != (1, 0), list(layout.order) != sorted(layout.order)
        return layout.dtype == "float32" and not scaled and not moved

    def _targets(self) -> Bind:
        """Return the caller's targets as rows: values as they are, and a class as a row of zeros and a one."""
        ways = self.request.ways
        buffer = Buffer("targets", self.request.examples, outside=True)
        if self.regression:
            return lambda row: stored(buffer, (1, ways), f"{row} * {ways}")
        return lambda row: Value(
            (1, ways), torch.float32, lambda index: f"(float)(targets[{row}] == {index[1]})", frozenset({buffer}), 1
        )

    def _strange(self) -> str:
        """Write the C condition that the adapted state holds something infinite or not a number; only rows of given examples count."""
        sizes = {
            emit.c_name(name): " * ".join("count" if isinstance(axis, str) else str(axis) for axis in axes) or "1"
            for name, axes in self.programs.state.items()
        }
        return " || ".join(f"qs_any_strange(state->{name}, {size})" for name, size in sizes.items())

    def _header(self, weights: str) -> str:
        """Return the text of learner.h."""
        fields = "\n".join(
            f"    float {emit.c_name(name)}[{math.prod(self._sized(axes))}];" for name, axes in self.programs.state.items()
        )
        settings = "\n".join(
            f"    {'float' if isinstance(value, float) else 'int'} {name}; /* {value} */"
            for name, value in self._settings().items()
        )
        return header(
            weights,
            learner=type(self.learner).__name__,
            ways=self.request.ways,
            examples=self.request.examples,
            **input_facts(self.request),
            target="float" if self.regression else "int32_t",
            target_note="QS_WAYS values per example" if self.regression else "class of each example, 0 to QS_WAYS - 1",
            state=fields,
            settings=settings or "    int unused;",
            score="float",
            score_note="values" if self.regression else "logits",
            more="",
            returns="QS_OK" if self.regression else "the class with the largest score",
        )

    def _entering(self) -> str:
        """Write the function from a number that the caller gives to the number that the net sees."""
        if self._enters_as_it_is():
            return ""
        layout = self.request.layout
        if layout.dtype == "int64":
            kind, seen = "int32_t", "given"
        else:
            kind, seen = "float", f"(float)given * {literal(layout.scale, torch.float32)}"
            seen += f" + {literal(layout.offset, torch.float32)}" if layout.offset else ""
        return f"static inline {kind} qs_entering(qs_input given) {{ return {seen}; }}\n\n"

    def _checks(self) -> str:
        """Write what `qs_adapt` checks of the caller's examples."""
        checks = _refused("support", "count * QS_VALUES") if self.request.layout.dtype == "float32" else ""
        if self.regression:
            return checks + _refused("targets", "count * QS_WAYS").rstrip("\n")
        return checks + "    if ((code = qs_check_labels(targets, count)) != QS_OK)\n        return code;"

    def _defaults(self) -> str:
        """Write the usual settings, and the refusal of settings out of range."""
        values = ", ".join(f"{value!r}f" if isinstance(value, float) else str(value) for value in self._settings().values())
        checks = [f"!(settings->{name} >= 0)" for name in self._settings()]
        strange = [f"qs_strange(settings->{name})" for name, value in self._settings().items() if isinstance(value, float)]
        refused = " || ".join([*strange, *checks])
        lines = f"    static const qs_settings usual = {{{values or '0'}}};\n    if (!settings)\n        settings = &usual;\n"
        return lines + (f"    if ({refused})\n        return QS_BAD_SETTING;\n" if refused else "")


def _refused(name: str, size: str) -> str:
    """Write the refusal of numbers of the caller that are infinite or not numbers."""
    return f"    if (qs_any_strange({name}, {size}))\n        return QS_NOT_FINITE;\n"


def _weight(name: str) -> str:
    return f"weight_{emit.c_name(name)}"


def _scalar(name: str) -> Bind:
    return lambda row: Value((), torch.float32, lambda index: name)


def _tensor(name: str, axes: Sequence[Any]) -> Bind:
    """Return a tensor that the caller holds; if its first axis has a name, it has a row for each example."""
    if any(isinstance(axis, str) for axis in axes[1:]):
        raise ModelError(f"{name} has axes {tuple(axes)}; the C target can count examples along the first axis only.")
    shape = tuple(1 if isinstance(axis, str) else axis for axis in axes)
    size = math.prod(shape)
    by_row = bool(axes) and isinstance(axes[0], str)
    buffer = Buffer(name, size, outside=True)
    return lambda row: stored(buffer, shape, f"{row} * {size}" if by_row else "")
