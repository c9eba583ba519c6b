"""Turn the net of a bundle into whole numbers of 8 bits; its learning stays in float32.

Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", sections 2-3. Activations
are unsigned, with scale and zero point from their range on real tasks. Weights are signed, with a scale for each channel. Batch norm is
folded into convolutions if its statistics are fixed. Products with fixed weights outside of loops are quantised, and tables whose rows are
looked up; prototypes, distances and gradient steps are not. All graphs share weights and scales: the scale of an activation spans its
range in every graph, so that the support set and the queries are embedded alike.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
import onnx.checker
import onnx.numpy_helper
import onnx_ir
import onnx_ir.passes.common
import onnxruntime
from onnx import GraphProto, ModelProto, NodeProto
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

from quickstudy.errors import ModelError
from quickstudy.export.facts import having
from quickstudy.export.measure import named_parts, to_adapt
from quickstudy.export.onnx.tables import quantise_tables
from quickstudy.export.onnx.write import quietly, strip, unresolved
from quickstudy.runtime.bundle import Arrays, Bundle
from quickstudy.runtime.graph import with_weights
from quickstudy.runtime.manifest import ProgramName
from quickstudy.task import Task

WEIGHTED = ("Conv", "Gemm", "MatMul")
"""Operations that are quantised if their second input is a fixed weight."""
PASSING = ("Relu", "MaxPool")
"""Operations that stay in 8 bits if their input is."""
Range = tuple[np.float32, np.float32]


@dataclasses.dataclass(frozen=True)
class _Site:
    """A node that multiplies by a fixed weight.

    Args:
        node: its name.
        input: name of the activation that it reads.
        output: name of the activation behind it, and behind the ReLU that follows it, if one does.
        raw: name of its own result.
    """

    node: str
    input: str
    output: str
    raw: str


def to_int8(bundle: Bundle, tasks: Iterable[Task]) -> Bundle:
    """Return the bundle with its net in 8 bits.

    Args:
        bundle: of float32 graphs.
        tasks: tasks whose examples, support and query, show how large activations become. A few hundred examples are enough.

    Raises:
        ModelError: nothing multiplies by fixed weights outside the inner loop: the learner adapts all of them by gradients.
    """
    models: dict[ProgramName, ModelProto] = {name: _prepared(bundle, name) for name in bundle.manifest.programs}
    tables = {name: quantise_tables(model.graph) for name, model in models.items()}
    sites = {name: _sites(model.graph) for name, model in models.items()}
    if not sites["predict"] and not tables["predict"]:
        name = str(bundle.manifest.learner.get("name"))
        if name in having("gradient_free_adapt").split(", "):
            raise ModelError(
                f"nothing in the net of {name} multiplies by weights that stay as they are or looks up rows of a table, so that 8 bits "
                "would save nothing; export without --int8."
            )
        raise ModelError(
            f"{name} adapts every weight, which needs float32; for int8 train a learner whose net stays "
            f"as it is, such as one that adapts without gradients ({having('gradient_free_adapt')}), or export without --int8."
        )
    ranges = _measured(bundle, models, sites, tasks)
    quantised: dict[ProgramName, ModelProto] = {name: _quantised(model, sites[name], ranges) for name, model in models.items()}
    weights = _taken_out([model.graph for model in quantised.values()])
    programs = bundle.manifest.programs
    described = {
        name: programs[name].model_copy(update={"weights": tuple(sorted(unresolved(model.graph)))})
        for name, model in quantised.items()
    }
    about = {"precision": "int8", "programs": described}
    graphs = {f"{name}.onnx": model.SerializeToString() for name, model in quantised.items()}
    return Bundle(bundle.manifest.model_copy(update=about), graphs, weights)


def _prepared(bundle: Bundle, name: ProgramName) -> ModelProto:
    """Return a graph with its weights, constants computed, batch norm folded into convolutions, and ReLU before max-pooling."""
    weights = {key: bundle.weights[key] for key in bundle.manifest.programs[name].weights}
    with tempfile.TemporaryDirectory() as folder, quietly():
        given, prepared = pathlib.Path(folder) / "given.onnx", pathlib.Path(folder) / "prepared.onnx"
        given.write_bytes(with_weights(bundle.graphs[f"{name}.onnx"], weights))
        quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
        model = onnx.load(prepared)
    _put_relu_first(model.graph)
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    return model


def _put_relu_first(graph: GraphProto) -> None:
    """Exchange each max-pooling with the ReLU behind it, which gives the same.

    Directly behind a convolution, ReLU costs nothing in 8 bits: it is a zero point of 0, and the scale need not span what ReLU hides.
    """
    readers = _readers(graph)
    for first in graph.node:
        following = readers.get(first.output[0], [])
        if first.op_type != "MaxPool" or len(first.output) > 1 or len(following) != 1 or following[0].op_type != "Relu":
            continue
        (second,) = following
        pooling = list(first.attribute)
        first.op_type, second.op_type = "Relu", "MaxPool"
        second.attribute.extend(pooling)
        del first.attribute[:]


def _sites(graph: GraphProto) -> dict[str, _Site]:
    """Return the nodes that can be quantised, by the content of their weight, which is the same in every graph."""
    fixed = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    inner = {name for node in graph.node for part in node.attribute if part.HasField("g") for name in unresolved(part.g)}
    readers, seen, found = _readers(graph), Counter[str](), {}
    for node in graph.node:
        if node.op_type not in WEIGHTED or node.input[1] not in fixed or inner.intersection(node.input):
            continue
        content = hashlib.sha256(onnx.numpy_helper.to_array(fixed[node.input[1]]).tobytes()).hexdigest()
        seen[content] += 1
        following = readers.get(node.output[0], [])
        behind = following[0] if len(following) == 1 and following[0].op_type == "Relu" else node
        found[f"{content} {seen[content]}"] = _Site(node.name, node.input[0], behind.output[0], node.output[0])
    return found


def _readers(graph: GraphProto) -> dict[str, list[NodeProto]]:
    """Return the nodes that read each value."""
    found: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def _measured(
    bundle: Bundle,
    models: Mapping[ProgramName, ModelProto],
    sites: Mapping[str, Mapping[str, _Site]],
    tasks: Iterable[Task],
) -> dict[str, tuple[Range, Range]]:
    """Return the least and the greatest value before and behind each site, over all tasks, in `adapt` and in `predict`."""
    watched = {name: _watched(models[name], sites[name].values()) for name in ("adapt", "predict")}
    found: dict[str, list[Range]] = {}
    for task in tasks:
        values = _run(watched["adapt"], to_adapt(task.support, bundle.manifest))
        _widen(found, sites["adapt"], values)
        state = {f"state.{name}": values[name] for name in bundle.manifest.state}
        query = named_parts("query", task.query.x, bundle.manifest)
        _widen(found, sites["predict"], _run(watched["predict"], {**query, **state}))
    return {key: (before, behind) for key, (before, behind) in found.items()}


def _watched(model: ModelProto, sites: Iterable[_Site]) -> onnxruntime.InferenceSession:
    """Return a session of the graph whose outputs include what goes in and out of each site."""
    watched = ModelProto()
    watched.CopyFrom(model)
    known = {value.name for value in (*model.graph.input, *model.graph.output)}
    names = {name for site in sites for name in (site.input, site.output)} - known
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in sorted(names)
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    return onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _run(session: onnxruntime.InferenceSession, feeds: Arrays) -> dict[str, np.ndarray]:
    """Run a graph, and return all its inputs and outputs by name."""
    wanted = {value.name for value in session.get_inputs()}
    feeds = {name: value for name, value in feeds.items() if name in wanted}
    names = [value.name for value in session.get_outputs()]
    found = [np.asarray(value) for value in session.run(names, feeds)]
    return {**feeds, **dict(zip(names, found, strict=True))}


def _widen(found: dict[str, list[Range]], sites: Mapping[str, _Site], values: Arrays) -> None:
    """Widen the ranges that were found so that they span these values too."""
    for key, site in sites.items():
        ranges = found.setdefault(key, [(np.float32(0), np.float32(0))] * 2)
        for place, name in enumerate((site.input, site.output)):
            low, high = ranges[place]
            ranges[place] = (min(low, values[name].min()), max(high, values[name].max()))


def _quantised(model: ModelProto, sites: Mapping[str, _Site], ranges: Mapping[str, tuple[Range, Range]]) -> ModelProto:
    """Return the graph with its sites in 8 bits."""
    found = _sorted(_with_sites_quantised(model, sites, ranges) if sites else model)
    _tidy(found)
    onnx.checker.check_model(found)
    return found


def _with_sites_quantised(
    model: ModelProto, sites: Mapping[str, _Site], ranges: Mapping[str, tuple[Range, Range]]
) -> ModelProto:
    """Return the graph with operations of 8 bits at its sites."""
    spans = {}
    for key, site in sites.items():
        before, behind = ranges[key]
        for name, (low, high) in ((site.input, before), (site.output, behind), (site.raw, behind)):
            spans[name] = TensorData(lowest=np.asarray(low, np.float32), highest=np.asarray(high, np.float32))
    passing = [node.name for node in model.graph.node if node.op_type in PASSING]
    with quietly():
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, spans),
            nodes_to_quantize=[*(site.node for site in sites.values()), *passing],
            nodes_to_exclude=[],
            op_types_to_quantize=[*WEIGHTED, *PASSING],
            extra_options={"QDQOpTypePerChannelSupportToAxis": {"MatMul": 1}},
        )
        quantizer.quantize_model()
    return quantizer.model.model


def _sorted(model: ModelProto) -> ModelProto:
    """Return the model with every value computed before it is read, also by loops, which onnxruntime's own sorting overlooks."""
    found = onnx_ir.from_proto(model)
    onnx_ir.passes.common.TopologicalSortPass()(found)
    return onnx_ir.to_proto(found)


def _tidy(model: ModelProto) -> None:
    """Remove operator sets that no node uses, and notes for people."""
    used = {node.domain for node in model.graph.node}
    kept = [opset for opset in model.opset_import if opset.domain in used | {"", "ai.onnx"}]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    model.producer_name, model.producer_version, model.doc_string = "quickstudy", "", ""
    del model.metadata_props[:]
    strip(model.graph)


def _taken_out(graphs: Sequence[GraphProto], least: int = 64) -> dict[str, np.ndarray]:
    """Move large tensors out of the graphs, and return each once by its name, however many graphs hold it.

    Equal ones of one graph stay apart: when onnxruntime changes the type of weights, it must not find a zero point used twice.

    Args:
        graphs: are changed.
        least: bytes of a tensor that is large. A smaller one is less than its name and type in a list of weights.
    """
    names: dict[tuple[str, bytes, int], str] = {}
    found: dict[str, np.ndarray] = {}
    for graph in graphs:
        small, seen = [], Counter[tuple[str, bytes]]()
        for tensor in graph.initializer:
            value = onnx.numpy_helper.to_array(tensor)
            if value.nbytes < least:
                small.append(tensor)
                continue
            content = (f"{value.dtype} {value.shape}", value.tobytes())
            seen[content] += 1
            name = names.setdefault((*content, seen[content]), f"weight.{len(names)}")
            _rename(graph, tensor.name, name)
            found[name] = value
        del graph.initializer[:]
        graph.initializer.extend(small)
    return found


def _rename(graph: GraphProto, old: str, new: str) -> None:
    """Let all nodes that read one value read another, also in inner graphs."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, old, new)
