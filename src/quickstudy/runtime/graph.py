"""An ONNX graph that runs: its weights appended, in one onnxruntime session that several threads may use."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping

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

KINDS = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "float64": 11}
"""ONNX's number of each type."""
_TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}
"""Of inputs, by onnxruntime's name."""
FAILURES = (EPFail, Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile, NotImplemented, RuntimeException)


def with_weights(graph: bytes, weights: Mapping[str, np.ndarray]) -> bytes:
    """A complete ONNX model. Protocol buffers merge a message that occurs twice, so the weights are simply appended."""
    return graph + _field(7, b"".join(_field(5, _tensor(name, value)) for name, value in weights.items()))


def _tensor(name: str, value: np.ndarray) -> bytes:
    dims = b"".join(b"\x08" + _varint(size) for size in value.shape)
    kind = b"\x10" + _varint(KINDS[value.dtype.name])
    return dims + kind + _field(8, name.encode()) + _field(9, np.ascontiguousarray(value).tobytes())


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes, text or message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, lowest first, the highest bit set where more follow.

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
    """Whether the processor is known to add products of 8 bits without loss. Others of its kind saturate, unless onnxruntime takes a
    slower way; on processors other than x86 that way has no bearing.
    """
    facts = pathlib.Path("/proc/cpuinfo")
    return facts.exists() and "vnni" in facts.read_text()


class Graph:
    """A graph with its weights, ready to run.

    Args:
        graph: ONNX without weights.
        weights: by name.
        outputs: names of the outputs.
        threads: that one operation may use; several threads may call at the same time in any case.

    Raises:
        FileFormatError: onnxruntime cannot load it.
    """

    def __init__(self, graph: bytes, weights: Mapping[str, np.ndarray], outputs: list[str], threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.x64quantprecision", "0" if has_vnni() else "1")
        try:
            self.session = onnxruntime.InferenceSession(
                with_weights(graph, weights), options, providers=["CPUExecutionProvider"]
            )
        except FAILURES as error:
            raise FileFormatError(
                f"a graph of the bundle cannot be loaded ({str(error).splitlines()[0]}). Export it again."
            ) from error
        self.kinds = {value.name: np.dtype(_TYPES[value.type]) for value in self.session.get_inputs()}
        """Type of each input."""
        self.outputs = outputs

    def __call__(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name; inputs that the graph does not have are left out."""
        feeds = {name: value for name, value in values.items() if name in self.kinds}
        return dict(zip(self.outputs, map(np.asarray, self.session.run(self.outputs, feeds)), strict=True))
