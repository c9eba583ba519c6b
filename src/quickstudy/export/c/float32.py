"""A learner in float32, of any algorithm whose operations have kernels: header, weights and code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from quickstudy.errors import ModelError
from quickstudy.export.c import emit
from quickstudy.export.c.context import Bind, Context, Frame
from quickstudy.export.c.functional import functional
from quickstudy.export.c.header import HEAD, header, weights_text
from quickstudy.export.c.ir import Buffer, Index, Item, Value, stored
from quickstudy.export.c.lower import lowered
from quickstudy.export.c.plan import planned, without_unread
from quickstudy.export.c.program import Request, Source
from quickstudy.export.c.schedule import scheduled
from quickstudy.export.c.sections import cut
from quickstudy.export.c.table import table
from quickstudy.export.c.verify import check_arena, check_items
from quickstudy.export.trace.capture import Axes, Program, Programs, Sizes, capture
from quickstudy.learner import Learner
from quickstudy.objectives.values import Values


def compile_float(learner: Learner, request: Request) -> Source:
    """Compile the learner to C.

    Raises:
        ModelError: an operation has no C form, or does not go example by example.
    """
    batches = tuple(name for name in ("inner_batch",) if hasattr(learner, name))
    programs = capture(learner, request.layout, table(), Sizes(way=request.ways, query=1, any=batches), answers=request.answers)
    return _Compiler(learner, programs, request).source()


class _Compiler:
    def __init__(self, learner: Learner, programs: Programs, request: Request) -> None:
        self.learner, self.programs, self.request = learner, programs, request
        self.regression = request.answers is Values
        self.constants: dict[tuple[str, str], str] = {}
        self.used: set[str] = set()

    def source(self) -> Source:
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
            pixel=self._pixel(),
            constants=emit.constants(self.constants),
            adapt=adapt,
            predict=predict,
            checks=self._checks(),
            query_check=""
            if self.request.spec is not None
            else "    if (qs_any_strange(query, QS_VALUES))\n        return QS_NOT_FINITE;\n",
            strange=self._strange(),
            settings=self._defaults(),
            call="".join(f", settings->{name}" for name in self._settings()),
            labels="" if self.regression else "\n" + emit.filled("classes"),
            result="return qs_best(scores);" if not self.regression else "return QS_OK;",
        )
        constants = weights_text([emit.array("float", _weight(name), value.cpu().numpy()) for name, value in weights.items()])
        files = {"learner.h": self._header(constants), "weights.h": constants, "learner.c": code}
        state = HEAD + sum(4 * math.prod(self._sized(axes)) for axes in self.programs.state.values())
        return Source(files, state, arena, sum(4 * value.numel() for value in weights.values()), grows)

    def _function(self, program: Program, signature: str, frame: Frame) -> tuple[str, int, bool]:
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
        return tuple(self.request.examples if isinstance(axis, str) else axis for axis in axes)

    def _settings(self) -> Mapping[str, float | int]:
        return self.programs.settings

    def _adapt_frame(self) -> Frame:
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
        shape, spec = self.request.shape, self.request.spec
        size = math.prod(shape)
        if spec is None:
            buffer = Buffer(name, size, outside=True)
            return lambda row: stored(buffer, (1, *shape), f"{row} * {size}" if name == "support" else "")
        buffer = Buffer(name, size, torch.uint8, outside=True)
        start = f"{{row}} * {size} + " if name == "support" else ""

        def bind(row: str) -> Value:
            def read(index: Index) -> str:
                _, channel, i, j = index
                place = f"({i} * {spec.width} + {j}) * {spec.channels} + {channel}"
                return f"qs_pixel({name}[{start.format(row=row)}{place}])"

            return Value((1, *shape), torch.float32, read, frozenset({buffer}), 2)

        return bind

    def _targets(self) -> Bind:
        ways = self.request.ways
        buffer = Buffer("targets", self.request.examples, outside=True)
        if self.regression:
            return lambda row: stored(buffer, (1, ways), f"{row} * {ways}")
        return lambda row: Value(
            (1, ways), torch.float32, lambda index: f"(float)(targets[{row}] == {index[1]})", frozenset({buffer}), 1
        )

    def _strange(self) -> str:
        """Write a C condition: the adapted state holds something infinite or not a number. Only rows of given examples count."""
        sizes = {
            emit.c_name(name): " * ".join("count" if isinstance(axis, str) else str(axis) for axis in axes) or "1"
            for name, axes in self.programs.state.items()
        }
        return " || ".join(f"qs_any_strange(state->{name}, {size})" for name, size in sizes.items())

    def _header(self, weights: str) -> str:
        fields = "\n".join(
            f"    float {emit.c_name(name)}[{math.prod(self._sized(axes))}];" for name, axes in self.programs.state.items()
        )
        settings = "\n".join(
            f"    {'float' if isinstance(value, float) else 'int'} {name}; /* {value} */"
            for name, value in self._settings().items()
        )
        image = self.request.spec is not None
        return header(
            weights,
            learner=type(self.learner).__name__,
            ways=self.request.ways,
            values=math.prod(self.request.shape),
            examples=self.request.examples,
            input="uint8_t" if image else "float",
            input_note="bytes [row][column][channel] as in an image file" if image else "float numbers",
            target="float" if self.regression else "int32_t",
            target_note="QS_WAYS values per example" if self.regression else "class of each example, 0 to QS_WAYS - 1",
            state=fields,
            settings=settings or "    int unused;",
            score="float",
            score_note="values" if self.regression else "logits",
            more="",
            returns="QS_OK" if self.regression else "the class with the largest score",
        )

    def _pixel(self) -> str:
        """Write a byte of an image as the net sees it."""
        if self.request.spec is None:
            return ""
        value = "255 - byte" if self.request.spec.ink == "dark" else "byte"
        return f"static inline float qs_pixel(uint8_t byte) {{ return (float)({value}) * (1.0f / 255.0f); }}\n\n"

    def _checks(self) -> str:
        spec = self.request.spec
        checks = (
            [] if spec is not None else ["    if (qs_any_strange(support, count * QS_VALUES))\n        return QS_NOT_FINITE;"]
        )
        if self.regression:
            checks.append("    if (qs_any_strange(targets, count * QS_WAYS))\n        return QS_NOT_FINITE;")
        else:
            checks.append("    if ((code = qs_check_labels(targets, count)) != QS_OK)\n        return code;")
        return "\n".join(checks)

    def _defaults(self) -> str:
        values = ", ".join(f"{value!r}f" if isinstance(value, float) else str(value) for value in self._settings().values())
        checks = [f"!(settings->{name} >= 0)" for name in self._settings()]
        strange = [f"qs_strange(settings->{name})" for name, value in self._settings().items() if isinstance(value, float)]
        refused = " || ".join([*strange, *checks])
        lines = f"    static const qs_settings usual = {{{values or '0'}}};\n    if (!settings)\n        settings = &usual;\n"
        return lines + (f"    if ({refused})\n        return QS_BAD_SETTING;\n" if refused else "")


def _weight(name: str) -> str:
    return f"weight_{emit.c_name(name)}"


def _scalar(name: str) -> Bind:
    return lambda row: Value((), torch.float32, lambda index: name)


def _tensor(name: str, axes: Sequence[Any]) -> Bind:
    """Return a tensor of the caller; one with a named first axis has a row for each example."""
    if any(isinstance(axis, str) for axis in axes[1:]):
        raise ModelError(f"{name} has axes {tuple(axes)}; the C target can count examples along the first axis only.")
    shape = tuple(1 if isinstance(axis, str) else axis for axis in axes)
    size = math.prod(shape)
    by_row = bool(axes) and isinstance(axes[0], str)
    buffer = Buffer(name, size, outside=True)
    return lambda row: stored(buffer, shape, f"{row} * {size}" if by_row else "")
