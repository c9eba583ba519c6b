"""int8 bundles: the same predictions, a quarter of the weights, and support set and queries embedded alike."""

from __future__ import annotations

import exports
import numpy as np
import onnx
import onnx.checker
import onnx.helper
import onnx.numpy_helper
import onnxruntime
import pytest
import torch
from builders import DESCENT

from quickstudy.errors import ModelError
from quickstudy.export.bundle import to_bundle
from quickstudy.export.measure import logits
from quickstudy.export.onnx.int8 import to_int8
from quickstudy.export.onnx.tables import quantise_tables
from quickstudy.export.source import Source
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime import graph
from quickstudy.runtime.bundle import Bundle
from quickstudy.runtime.graph import has_vnni, with_weights
from quickstudy.runtime.learner import Learner

pytestmark = pytest.mark.xdist_group("trained learners")
Pair = tuple[Bundle, Bundle]


@pytest.fixture(scope="session")
def pair(prototypes: Source, shipped: Learner) -> Pair:
    """Return the bundle of prototypes in float32 and in 8 bits."""
    return shipped.bundle, quantised(shipped.bundle, prototypes)


@pytest.fixture(scope="session")
def head_pair(head_descent: Source) -> Pair:
    """Return the bundle of a head that takes gradient steps in float32 and in 8 bits."""
    bundle = to_bundle(head_descent.saved)
    return bundle, quantised(bundle, head_descent)


def quantised(bundle: Bundle, source: Source) -> Bundle:
    tasks = source.tasks("train", 3, 3, seed=1)
    return to_int8(bundle, (tasks[index] for index in range(5)))


def signal_to_noise(exact: np.ndarray, found: np.ndarray) -> float:
    """In decibels."""
    return float(10 * np.log10((exact**2).sum() / ((exact - found) ** 2).sum()))


@pytest.mark.parametrize(("bundles_of", "data_of"), [("pair", "prototypes"), ("head_pair", "head_descent")])
def test_predictions_stay(bundles_of: str, data_of: str, request: pytest.FixtureRequest) -> None:
    source: Source = request.getfixturevalue(data_of)
    exact, quantised = (Learner(bundle) for bundle in request.getfixturevalue(bundles_of))
    agree, tasks = [], source.tasks("test", 3, 5)
    for index in range(20):
        task = tasks[index]
        ours, theirs = (logits(one, task.support, torch.as_tensor(task.query.x)) for one in (exact, quantised))
        agree.append((ours.argmax(-1) == theirs.argmax(-1)).mean())
        assert signal_to_noise(ours, theirs) > 20
    assert np.mean(agree) > 0.95


def test_weights_are_8_bit_stored_once_and_shared(pair: Pair) -> None:
    exact, quantised = pair
    assert quantised.manifest.precision == "int8"
    convolutions = {name: value for name, value in quantised.weights.items() if value.ndim == 4}
    assert len(convolutions) == 4
    assert {value.dtype for value in convolutions.values()} == {np.dtype(np.int8)}
    for program in ("adapt", "update", "predict"):
        assert set(convolutions) <= set(quantised.manifest.programs[program].weights)
        assert len(quantised.graphs[f"{program}.onnx"]) < 10_000
    size, before = (sum(value.nbytes for value in one.weights.values()) for one in (quantised, exact))
    assert size < 0.35 * before


def test_every_convolution_computes_in_8_bits(pair: Pair, tmp_path) -> None:
    _, quantised = pair
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    model = with_weights(
        quantised.graphs["predict.onnx"], {n: quantised.weights[n] for n in quantised.manifest.programs["predict"].weights}
    )
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert kinds.count("QLinearConv") == 4
    assert not {"Conv", "FusedConv", "Relu"} & set(kinds)


def test_support_and_queries_are_embedded_alike(pair: Pair, prototypes: Source) -> None:
    """The prototype of a single example is its embedding, at distance 0 from the same example as a query."""
    task = prototypes.tasks("test", 1, 1)[0]
    found = logits(Learner(pair[1]), task.support, torch.as_tensor(task.support.x))
    assert (np.diag(found) == 0).all()
    assert (found[~np.eye(5, dtype=bool)] < 0).all()


def test_update_equals_adapting_to_all(pair: Pair, prototypes: Source) -> None:
    learner, task = Learner(pair[1]), prototypes.tasks("test", 2, 1)[0]
    x, y = torch.as_tensor(task.support.x).numpy(), task.support.y.rows.numpy()
    whole = learner.run("adapt", {"support.image": x, "support.y": y})
    state = learner.run("adapt", {"support.image": x[:5], "support.y": y[:5]})
    later = learner.run(
        "update", {"support.image": x[5:], "support.y": y[5:]} | {f"state.{name}": value for name, value in state.items()}
    )
    for name, value in whole.items():
        np.testing.assert_allclose(later[name], value, rtol=1e-6)


def test_written_and_read(pair: Pair, prototypes: Source, tmp_path) -> None:
    path = tmp_path / "learner.qs"
    bundles.write(path, pair[1])
    task = prototypes.tasks("test", 1, 1)[0]
    one, two = (
        logits(Learner(bundle), task.support, torch.as_tensor(task.query.x)) for bundle in (pair[1], bundles.read(path))
    )
    np.testing.assert_array_equal(one, two)


def test_processors_without_vnni_predict_as_well(pair: Pair, prototypes: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, onnxruntime takes another way, since the usual one saturates; on those that have it, both ways are exact."""
    task = prototypes.tasks("test", 1, 3)[0]

    def found(bundle: Bundle, vnni: bool) -> np.ndarray:
        monkeypatch.setattr(graph, "has_vnni", lambda: vnni)
        return logits(Learner(bundle), task.support, torch.as_tensor(task.query.x))

    without = found(pair[1], vnni=False)
    assert signal_to_noise(found(pair[0], vnni=False), without) > 20
    if has_vnni():
        np.testing.assert_array_equal(found(pair[1], vnni=True), without)


def test_a_learner_that_adapts_every_weight_is_refused() -> None:
    bundle = exports.shipped(DESCENT).bundle
    with pytest.raises(ModelError, match=f"{DESCENT} adapts every weight, which needs float32"):
        to_int8(bundle, [])


def test_tables_of_vectors_are_8_bits_with_a_scale_for_each_column() -> None:
    """A table has columns of very different size; a row looked up is off by half a scale of its column at most."""
    rows = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32) * np.array([1e-3, 1, 50, 0], np.float32)
    model = looking_up(rows)
    assert quantise_tables(model.graph) == 1
    onnx.checker.check_model(model)
    assert {tensor.name: tensor.data_type for tensor in model.graph.initializer}["table"] == onnx.TensorProto.INT8
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = np.array([[5, 299], [0, 5]])
    found = np.asarray(session.run(None, {"wanted": wanted})[0])
    assert (np.abs(found - rows[wanted]) <= np.abs(rows).max(0) / 254 * 1.001).all()


@pytest.mark.parametrize(("rows", "op"), [(np.ones((20, 4), np.float32), "Gather"), (np.ones((300, 4), np.float32), "Add")])
def test_small_tables_and_those_that_are_read_whole_stay_as_they_are(rows: np.ndarray, op: str) -> None:
    model = looking_up(rows, op)
    before = model.SerializeToString()
    assert quantise_tables(model.graph) == 0
    assert model.SerializeToString() == before


def looking_up(rows: np.ndarray, other: str = "Gather") -> onnx.ModelProto:
    """Return a graph that looks up rows of a table, and another reader of that table."""
    wanted = onnx.helper.make_tensor_value_info("wanted", onnx.TensorProto.INT64, [2, 2])
    found = onnx.helper.make_tensor_value_info("found", onnx.TensorProto.FLOAT, [2, 2, 4])
    nodes = [onnx.helper.make_node("Gather", ["table", "wanted"], ["found"])]
    if other == "Add":
        nodes.append(onnx.helper.make_node("Add", ["table", "table"], ["twice"]))
    graph = onnx.helper.make_graph(nodes, "lookup", [wanted], [found], [onnx.numpy_helper.from_array(rows, "table")])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
