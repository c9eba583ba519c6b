"""Files that are damaged, foreign, newer, or made to do harm: each is a FileFormatError that says what is wrong."""

from __future__ import annotations

import hashlib
import json
import pathlib
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
from builders import DESCENT
from drawings import scribbles
from exports import shipped

from quickstudy.errors import DataError, FileFormatError, TooLargeError
from quickstudy.runtime import Learner, Skill, pretrained
from quickstudy.runtime import bundle as bundles


@pytest.fixture(scope="module")
def omniglot() -> Learner:
    return Learner.load(pretrained.find("omniglot"))


@pytest.fixture
def drawings() -> np.ndarray:
    return scribbles(6, seed=3, size=(40, 30))


def rewritten(source: pathlib.Path, target: pathlib.Path, change: Callable[[dict[str, bytes]], None]) -> pathlib.Path:
    with zipfile.ZipFile(source) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return target


def manifest(**changes: Any) -> Callable[[dict[str, bytes]], None]:
    def change(parts: dict[str, bytes]) -> None:
        parts["manifest.json"] = json.dumps(json.loads(parts["manifest.json"]) | changes).encode()

    return change


def program(name: str, **changes: Any) -> Callable[[dict[str, bytes]], None]:
    def change(parts: dict[str, bytes]) -> None:
        about = json.loads(parts["manifest.json"])
        about["programs"][name] |= changes
        parts["manifest.json"] = json.dumps(about).encode()

    return change


def as_part(**arrays: np.ndarray) -> bytes:
    return safetensors.numpy.save(arrays)


def with_part(name: str, data: bytes, listed: bool = True) -> Callable[[dict[str, bytes]], None]:
    def change(parts: dict[str, bytes]) -> None:
        parts[name] = data
        about = json.loads(parts["manifest.json"])
        if listed:
            about["parts"][name] = hashlib.sha256(data).hexdigest()
        parts["manifest.json"] = json.dumps(about).encode()

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (manifest(format=4), "has bundle format 4; this quickstudy reads format 3: update quickstudy"),
        (manifest(format=2), "has bundle format 2; this quickstudy reads format 3: export the learner again"),
        (manifest(surprise=1), "damaged manifest: surprise"),
        (manifest(state={"sums": {"shape": [10**12, 64], "dtype": "float32"}}), "damaged manifest: state.sums.shape"),
        (manifest(state={"sums": {"shape": ["way", 64]}}), "damaged manifest: state.sums.dtype: Field required"),
        (manifest(state={"sums": {"shape": ["way", 64], "dtype": "complex64"}}), "damaged manifest: state.sums.dtype"),
        (manifest(state={"sums": ["way", 64]}), "damaged manifest: state.sums: Input should be an object"),
        (manifest(format=1), "has bundle format 1; .* export the learner again"),
        (manifest(input={"kind": "image", "height": 10**9}), "damaged manifest: input: .*height"),
        (lambda parts: parts.update({"manifest.json": b"{"}), "damaged manifest"),
        (lambda parts: parts.pop("manifest.json"), "is neither a learner nor a skill: it has no manifest.json"),
        (
            lambda parts: parts.pop("weights.safetensors"),
            "weights.safetensors is in the archive or in its manifest, but not in both",
        ),
        (with_part("weights.safetensors", b"short"), "weights.safetensors is damaged"),
        (with_part("adapt.onnx", b"other", listed=False), "adapt.onnx does not match its hash"),
        (with_part("adapt.onnx", b"location"), "adapt.onnx refers to data in other files"),
        (with_part("../../evil.py", b"", listed=False), r"holds '../../evil.py', which is no part of a bundle"),
        (with_part("code.pkl", b""), "which is no part of a bundle"),
        (manifest(kind="skill"), "a skill without labels"),
        (manifest(kind="skill", labels=["a", "b"]), "lacks state.safetensors"),
        (manifest(format="3"), "damaged manifest: format"),
        (manifest(input={"kind": "smell"}), "damaged manifest: input: .*expected one of image, molecule, rows"),
        (manifest(layout={}), "layout is not that of grey images of 28x28"),
        (manifest(temperature=0.0), "damaged manifest: temperature"),
        (manifest(continues=False), "programs holds adapt, predict, update; expected adapt, predict"),
        (manifest(programs={}), "a learner without programs"),
        (manifest(settings={"inner_lr": float("nan")}), "damaged manifest: settings"),
        (manifest(settings={"inner_lr": 0.1}), "programs.adapt.inputs lacks the setting inner_lr"),
        (program("adapt", inputs={}), "programs.adapt.inputs.support.image is None"),
        (program("adapt", inputs={"support.image": ["example", 1, 28, 28], "support.y": []}), r"support.y is \(\)"),
        (program("update", outputs={"sums": []}), r"programs.update.outputs has \['sums'\]; expected the state"),
        (program("predict", outputs={}), "programs.predict.outputs lacks prediction"),
        (program("predict", outputs={"prediction": ["query", "way"], "other": ["query"]}), "programs.predict.outputs has"),
        (with_part("weights.safetensors", as_part(a=np.zeros(1, np.uint16))), "weight a is uint16; expected one of float32"),
        (with_part("state.safetensors", as_part(a=np.zeros(1))), "holds state.safetensors, which is no part of such a learner"),
        (
            lambda parts: parts.update({"manifest.json": b" " * (2**20 + 1)}),
            "manifest.json has 1048577 bytes; expected at most",
        ),
    ],
)
def test_damaged_and_hostile_bundles(tmp_path: pathlib.Path, change: Callable[[dict[str, bytes]], None], words: str) -> None:
    bad = rewritten(pretrained.find("omniglot"), tmp_path / "bad.qs", change)
    with pytest.raises(FileFormatError, match=words):
        bundles.read(bad)


def test_a_graph_that_is_none_is_an_error_when_it_is_needed(tmp_path: pathlib.Path, drawings: np.ndarray) -> None:
    bad = rewritten(pretrained.find("omniglot"), tmp_path / "bad.qs", with_part("adapt.onnx", b"\x3a\x05hello"))
    with pytest.raises(FileFormatError, match=r"adapt\.onnx cannot be loaded"):
        Learner.load(bad).adapt(drawings, list("aabbcc"))


def test_a_bomb_is_not_unpacked(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bundles.LIMITS, "parts", 10**6)
    bomb = rewritten(pretrained.find("omniglot"), tmp_path / "bomb.qs", with_part("predict.onnx", b"\0" * 10**7))
    assert bomb.stat().st_size < 10**6
    with pytest.raises(TooLargeError, match="would unpack to more than"):
        bundles.read(bomb)


@pytest.mark.parametrize("keep", [0, 3, 1000, 200_000, -30])
def test_bundles_cut_short(tmp_path: pathlib.Path, keep: int) -> None:
    data = pretrained.find("omniglot").read_bytes()
    (tmp_path / "short.qs").write_bytes(data[:keep])
    with pytest.raises(FileFormatError, match="damaged or no bundle"):
        bundles.read(tmp_path / "short.qs")


def test_flipped_bits_are_noticed(tmp_path: pathlib.Path) -> None:
    good = pretrained.find("omniglot").read_bytes()
    random, refused = np.random.default_rng(0), 0
    for place in random.integers(0, len(good), 60).tolist():
        bad = bytearray(good)
        bad[place] ^= 1 << int(random.integers(8))
        (tmp_path / "bad.qs").write_bytes(bad)
        try:
            found = bundles.read(tmp_path / "bad.qs")
        except FileFormatError:
            refused += 1
        else:  # a bit that means nothing, such as a date in the archive's directory
            assert found.manifest == bundles.read(pretrained.find("omniglot")).manifest
    assert refused > 55


def test_a_state_with_holes_is_refused(tmp_path: pathlib.Path, omniglot: Learner, drawings: np.ndarray) -> None:
    task = omniglot.adapt(drawings, list("aabbcc"))
    for change, words in (
        ({"sums": np.full((3, 64), np.nan, np.float32)}, "holds NaN or infinity"),
        ({"sums": np.zeros((3, 63), np.float32)}, r"state sums is float32 \[3, 63\]; expected float32 \['way', 64\]"),
        ({"counts": np.ones(3, np.int64)}, r"state counts is int64 \[3\]; expected float32 \[3\]"),
        ({"more": np.zeros(1, np.float32)}, "a state of another learner"),
    ):
        with pytest.raises(FileFormatError, match=words):
            bundles.check_state({**task.state, **change}, omniglot.manifest, "mine.qs")


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a task, on rows, of a learner that would forget its examples."""
    learner = shipped(DESCENT)
    path = tmp_path_factory.mktemp("task") / "mine.qs"
    learner.adapt(np.random.default_rng(0).random((4, 6)), ["a", "b", "a", "b"]).save(path)
    return path


def without_support(parts: dict[str, bytes]) -> None:
    del parts["support.safetensors"]
    about = json.loads(parts["manifest.json"])
    del about["parts"]["support.safetensors"]
    parts["manifest.json"] = json.dumps(about).encode()


def support(rows: Any = ((0.0,) * 6,), y: Any = ((1.0, 0.0),)) -> Callable[[dict[str, bytes]], None]:
    return with_part("support.safetensors", as_part(rows=np.array(rows, np.float32), y=np.array(y, np.float32)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (manifest(labels=["a", "a"]), r"labels is \['a', 'a'\]; expected at least one, and each once"),
        (manifest(labels=[1, True]), "each once"),
        (manifest(labels=[]), "expected at least one"),
        (manifest(labels=["a", float("inf")]), "damaged manifest: labels"),
        (manifest(labels=["a", "b", "c"]), r"state head.weight is float32 \[2, 6\]; expected float32 \[3, 6\]"),
        (without_support, "lacks support.safetensors"),
        (with_part("support.safetensors", as_part(x=np.zeros(1))), r"support.safetensors holds \['x'\]; expected rows, y"),
        (support(rows=[[0.0] * 5]), r"support rows is float32 \[1, 5\]; expected float32 \[1, 6\]"),
        (support(y=[[1.0, 0.0]] * 2), r"support rows is float32 \[1, 6\]; expected float32 \[2, 6\]"),
        (support(y=[[1.0, 0.0, 0.0]]), r"support y is float32 \[1, 3\]"),
        (support(rows=[[np.nan] * 6]), "support rows holds NaN or infinity"),
        (manifest(settings={"inner_lr": 0.1, "inner_steps": 2.5}), "adapt.onnx cannot take its default inner_steps, 2.5"),
    ],
)
def test_damaged_tasks(
    forgetful: pathlib.Path, tmp_path: pathlib.Path, change: Callable[[dict[str, bytes]], None], words: str
) -> None:
    assert Skill.load(forgetful).labels == ["a", "b"]
    with pytest.raises(FileFormatError, match=words):
        Skill.load(rewritten(forgetful, tmp_path / "bad.qs", change))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused_before_it_is_unpacked(tmp_path: pathlib.Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "bad.qs", "w", method) as archive:
        archive.writestr("manifest.json", b"{}")
    with pytest.raises(FileFormatError, match=f"manifest.json is compressed by method {method}"):
        bundles.read(tmp_path / "bad.qs")


def test_a_name_that_is_no_text(tmp_path: pathlib.Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.qs", "w") as archive:
        archive.writestr("manif\u00ebst.json", b"{}")  # a flag says that the name is UTF-8, as it is no ASCII
    path = tmp_path / "bad.qs"
    path.write_bytes(path.read_bytes().replace("\u00eb".encode(), b"\xff\xff"))
    with pytest.raises(FileFormatError, match=r"damaged or no bundle .*utf-8"):
        bundles.read(path)


def test_what_could_not_be_read_again_is_not_written(omniglot: Learner, tmp_path: pathlib.Path) -> None:
    task = omniglot.adapt(scribbles(2), ["a" * 2**20, "b"])
    with pytest.raises(DataError, match=r"would have a manifest of .* Use fewer or shorter labels"):
        task.save(tmp_path / "mine.qs")
    assert not (tmp_path / "mine.qs").exists()


def graph_of(*inputs: str, kind: int = onnx.TensorProto.FLOAT) -> bytes:
    """Return a graph that multiplies its first input by the weight `weight`, and takes other inputs too."""
    values = [onnx.helper.make_tensor_value_info(name, kind, None) for name in inputs]
    sums, counts = (onnx.helper.make_tensor_value_info(name, kind, None) for name in ("sums", "counts"))
    nodes = [
        onnx.helper.make_node("MatMul", [inputs[0], "weight"], ["sums"]),
        onnx.helper.make_node("Identity", ["sums"], ["counts"]),
    ]
    graph = onnx.helper.make_graph(nodes, "g", values, [sums, counts])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


@pytest.mark.parametrize(
    ("graph", "weight", "words"),
    [
        (graph_of("support.image"), (3, 2), "adapt.onnx fails when it runs"),
        (graph_of("support.image"), (28, 2), r"adapt.onnx: state sums is float32 .*; expected float32 \[2, 64\]"),
        (graph_of("support.image", "more"), (28, 2), "adapt.onnx reads more, which it is not given"),
        (graph_of("support.image").replace(b"sums", b"\xff\xffms"), (28, 2), "adapt.onnx cannot be loaded"),
        (graph_of("support.image", kind=onnx.TensorProto.INT64), (28, 2), r"sums is tensor\(int64\); expected float32"),
        (graph_of("support.image", kind=onnx.TensorProto.DOUBLE), (28, 2), r"tensor\(double\); expected inputs of float32"),
    ],
)
def test_graphs_that_are_wrong(omniglot: Learner, graph: bytes, weight: tuple[int, int], words: str) -> None:
    about, kind = omniglot.manifest, np.float64 if "double" in words else np.int64 if "int64" in words else np.float32
    adapt = about.programs["adapt"].model_copy(update={"weights": ("weight",)})
    changed = about.model_copy(update={"programs": {**about.programs, "adapt": adapt}})
    bundle = bundles.Bundle(changed, {**omniglot.bundle.graphs, "adapt.onnx": graph}, {"weight": np.zeros(weight, kind)})
    with pytest.raises(FileFormatError, match=words) as caught:
        Learner(bundle).adapt(scribbles(2), ["a", "b"])
    assert "again." in str(caught.value)


def test_what_is_printed_of_a_bundle_is_short(omniglot: Learner) -> None:
    assert repr(omniglot.bundle).startswith(f"<Bundle of {omniglot.manifest.learner['name']}: adapt.onnx")
    assert len(repr(omniglot.bundle)) < 100
