"""An ONNX graph that runs: its weights appended, in one onnxruntime session that several threads may use."""

from __future__ import annotations

import contextlib
import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import (
    EPFail,
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
    NotImplemented,
    RuntimeException,
)

from quickstudy.errors import FileFormatError
from quickstudy.runtime.bundle import KINDS

_TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}
"""Types that inputs and outputs may have, by onnxruntime's name of each."""
FAILURES = (
    *(EPFail, Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile, NotImplemented, RuntimeException),
    UnicodeDecodeError,  # a name that is no text, in a message
)
"""Errors that onnxruntime raises, in practice, for a damaged or foreign graph."""


def with_weights(graph: bytes, weights: Mapping[str, np.ndarray]) -> bytes:
    """Return a complete ONNX model. Protocol buffers merge a message that occurs twice, so the weights are simply appended."""
    return graph + _field(7, b"".join(_field(5, _tensor(name, value)) for name, value in weights.items()))


def _tensor(name: str, value: np.ndarray) -> bytes:
    dims = b"".join(b"\x08" + _varint(size) for size in value.shape)
    kind = b"\x10" + _varint(KINDS[value.dtype.name])
    return dims + kind + _field(8, name.encode()) + _field(9, np.ascontiguousarray(value).tobytes())


def _field(number: int, content: bytes) -> bytes:
    """Write a field of bytes, text or message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Return a whole number as protocol buffers write it: seven bits a byte, lowest first, with the highest bit set if more follow.

    >>> _varint(300).hex()
    'ac02'
    """
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


@functools.cache
def has_vnni() -> bool:
    """Return whether the processor is known to add products of 8 bits without loss.

    Other x86 processors saturate unless onnxruntime takes a slower way; on processors of another kind, the way makes no difference.
    """
    facts = pathlib.Path("/proc/cpuinfo")
    return facts.exists() and "vnni" in facts.read_text()


class Graph:
    """A graph with its weights, ready to run.

    Args:
        name: name of the part of the bundle, for messages.
        graph: ONNX without weights.
        weights: the weights that the graph reads, by name.
        outputs: type of each output, by name.
        threads: number of threads that one operation may use; several threads may call the graph at the same time in any case.

    Raises:
        FileFormatError: onnxruntime cannot load it, or it takes or gives other types than it should.
    """

    def __init__(
        self, name: str, graph: bytes, weights: Mapping[str, np.ndarray], outputs: Mapping[str, str], threads: int = 1
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.x64quantprecision", "0" if has_vnni() else "1")
        self.name, self.outputs = name, dict(outputs)
        with _explained(f"{name} cannot be loaded"):
            self.session = onnxruntime.InferenceSession(
                with_weights(graph, weights), options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            self.kinds = self._kinds()
            """Type of each input."""

    def _kinds(self) -> dict[str, np.dtype[Any]]:
        inputs = {value.name: value.type for value in self.session.get_inputs()}
        found = {value.name: value.type for value in self.session.get_outputs()}
        strange = [
            f"{name} is a {kind}; expected inputs of float32 or int64" for name, kind in inputs.items() if kind not in _TYPES
        ]
        strange += [
            f"{name} is {found.get(name, 'missing')}; expected {dtype}"
            for name, dtype in self.outputs.items()
            if _TYPES.get(found.get(name, "")) != dtype
        ]
        if strange:
            raise FileFormatError(f"{self.name}: {strange[0]}. Export it again.")
        return {name: np.dtype(_TYPES[kind]) for name, kind in inputs.items()}

    def __call__(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name; inputs that the graph does not have are left out.

        Raises:
            FileFormatError: it reads what a bundle's graphs are not given, or fails, as with a weight of a wrong shape.
        """
        missing = sorted(self.kinds.keys() - values.keys())
        if missing:
            raise FileFormatError(f"{self.name} reads {missing[0]}, which it is not given. Export it again.")
        with _explained(f"{self.name} fails when it runs"):
            found = self.session.run(list(self.outputs), {name: values[name] for name in self.kinds})
        return dict(zip(self.outputs, map(np.asarray, found), strict=True))


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn an error of onnxruntime into a FileFormatError that begins with `what`."""
    try:
        yield
    except FAILURES as error:
        raise FileFormatError(f"{what} ({str(error).partition(chr(10))[0]}). Export it again.") from error
