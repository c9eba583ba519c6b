"""Bad input at the command line: exit code 2 (1 where the user cannot mend it), a clear message, and nothing lost."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import pytest
from builders import DESCENT, HEAD_DESCENT, MEMORY, ORDERED, PROTOTYPES, Prototypes

from quickstudy import discovery, storage
from quickstudy.objectives.values import Values

Call = Callable[..., Any]

BAD_OPTIONS = {
    "unknown learner": (["--learner", DESCENT[:-1]], [f"unknown learner '{DESCENT[:-1]}'", DESCENT]),
    "unknown learner, spelled out": (
        [f"--learner.name={PROTOTYPES[:-1]}"],
        [f"unknown learner '{PROTOTYPES[:-1]}'", PROTOTYPES],
    ),
    "unknown net": (["--net", "conv5"], ["unknown net 'conv5'", "conv4"]),
    "unknown data set": (["--data", "omniglt"], ["unknown data set 'omniglt'", "omniglot"]),
    "unknown option": (["--stps", "3"], ["unknown option --stps", "--steps"]),
    "unknown option with a value": (["--stps=3"], ["unknown option --stps.", "--steps"]),
    "unknown option of the learner": (
        ["--learner", DESCENT, "--learner.inner_lt", "3"],
        ["--learner.inner_lt", "--learner.inner_lr"],
    ),
    "unknown option of the net": (["--net.chanels", "3"], ["--net.chanels", "--net.channels"]),
    "option of another learner": (["--learner", PROTOTYPES, "--learner.inner_lr", "3"], ["unknown option --learner.inner_lr"]),
    "value of a choice": (
        ["--optimizer", "adm"],
        ["optimizer is 'adm'", "one of adam, adamw, sgd, muon, or null", "Did you mean: adam"],
    ),
    "value of the learner's choice": (["--learner.statistics", "suport"], ["learner.statistics is 'suport'", "support"]),
    "value of the net's choice": (["--net.norm", "bach"], ["net.norm is 'bach'", "batch"]),
    "no number": (["--steps", "many"], ["steps is 'many'", "a whole number"]),
    "no whole number": (["--steps", "1.5"], ["steps is '1.5'", "a whole number"]),
    "no range": (["--ways", "few"], ["ways is 'few'", "a whole number, or a range such as 3-10"]),
    "too long a range": (["--shots", "[1,2,3]"], ["shots is '[1, 2, 3]'"]),
    "no truth value": (["--strict", "perhaps"], ["strict is 'perhaps'", "true or false"]),
    "no channels": (["--net.channels", "0"], ["channels is 0", "expected 1 or more"]),
    "no inner steps": (["--learner", DESCENT, "--learner.inner_steps", "-1"], ["inner_steps is -1", "0 or more"]),
    "inner steps uphill": (["--learner", HEAD_DESCENT, "--learner.inner_lr", "-0.1"], ["inner_lr is -0.1", "0 or more"]),
    "no mini-batch": (["--learner", ORDERED, "--learner.inner_batch", "0"], ["inner_batch is 0", "1 or more"]),
    "too many threads": (["--threads", "100000"], ["threads is 100000", "processors"]),
    "no time": (["--minutes", "soon"], ["minutes is 'soon'", "a number, or null"]),
    "stray word": (["omniglot"], ["unexpected argument: omniglot"]),
    "missing value": (["--steps"], ["--steps", "expected one argument"]),
    "no steps": (["--steps", "-1"], ["steps is -1", "0 or more"]),
    "negative rate": (["--lr", "-1"], ["lr is -1.0", "more than 0"]),
    "rate that is no number": (["--lr", ".nan"], ["lr is nan", "more than 0"]),
    "negative decay": (["--weight_decay", "-1"], ["weight_decay is -1.0", "0 or more"]),
    "workers without graphs": (["--engine.workers", "2", "--engine.capture", "false"], ["workers is 2", "captured graphs"]),
    "no ways": (["--ways", "0"], ["ways is 0", "at least 1"]),
    "range upside down": (["--ways", "[3,2]"], ["ways is", "(least, most)"]),
    "no queries": (["--queries", "0"], ["queries is 0"]),
    "unknown augmentation": (["--draw.augment", "flop"], ["augment is 'flop'", "flip"]),
    "fewer classes than ways": (["--ways", "11"], ["10 classes", "11 ways", "Lower ways"]),
    "fewer validation classes than ways": (
        ["--validation.ways", "4"],
        ["there are no validation tasks: set.npz/val has 3 classes, but a task needs 4 ways. Choose another --validation.ways"],
    ),
    "unknown validation split": (
        ["--validation.split", "vl"],
        ["there are no validation tasks: the data set set.npz has no split 'vl'", "--validation.split null"],
    ),
    "too few images for shots and queries": (["--shots", "6"], ["8 images", "6 shots + 3 queries need 9"]),
    "too few images for the queries": (["--queries", "8"], ["8 images", "1 shot + 8 queries need 9", "With --queries 7 all"]),
    "too few classes in a group": (["--draw.within_groups", "true"], ["largest group", "2 ways"]),
    "unknown split": (["--split", "trian"], ["no split 'trian'", "train, val, test, all"]),
    "unknown ink": (["--ink", "drak"], ["ink is 'drak'", "dark"]),
    "channels": (["--channels", "2"], ["channels is 2"]),
    "size": (["--size", "0"], ["size is 0"]),
    "missing file": (["--data", "missing.npz"], ["no file or folder 'missing.npz'"]),
    "missing config": (["--config", "missing.yaml"], ["there is no file missing.yaml", "--print_config"]),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_of_train(refused: Call, train: Call, tmp_path: pathlib.Path, case: str) -> None:
    words, expected = BAD_OPTIONS[case]
    message = refused(*train(tmp_path / "run"), *words)
    for part in expected:
        assert part in message
    assert not (tmp_path / "run").exists()


BAD_CONFIGS = {
    "unknown option": (b"stps: 3\n", ["unknown option stps", "steps"]),
    "unknown option of the learner": (
        f"learner:\n  name: {DESCENT}\n  inner_lt: 3\n".encode(),
        ["learner.inner_lt", "learner.inner_lr"],
    ),
    "unknown learner": (f"learner: {DESCENT[:-1]}\n".encode(), [f"unknown learner '{DESCENT[:-1]}'", DESCENT]),
    "bad value": (b"steps: many\n", ["steps is 'many'", "a whole number"]),
    "no YAML": (b"a: [\n", ["config.yaml is not YAML"]),
    "no text": (b"steps: \xe4", ["config.yaml is not YAML", "utf-8"]),
    "half a text": ("steps: 3".encode("utf-16") + b"\x00", ["config.yaml is not YAML", "utf-16"]),
    "no options": (b"- 1\n", ["config.yaml holds a list"]),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_bad_configs(refused: Call, train: Call, tmp_path: pathlib.Path, case: str) -> None:
    content, expected = BAD_CONFIGS[case]
    (tmp_path / "config.yaml").write_bytes(content)
    message = refused(*train(tmp_path / "run"), "--config", tmp_path / "config.yaml")
    for part in expected:
        assert part in message
    assert message.count("--help") <= 1


def test_an_empty_config_is_no_error(cli: Call, train: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    assert cli(*train(tmp_path / "run"), "--config", tmp_path / "empty.yaml", "--print_config").code == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], ["unknown verb 'trian'", "train"]),
        (["train"], ["lacks --data"]),
        (["evaluate"], ["lacks LEARNER and --data"]),
        (["adapt"], ["LEARNER", "SUPPORT", "--out"]),
        (["predict", "x.qs"], ["there is no file x.qs"]),
        (["list", "--jsn"], ["unknown option --jsn", "--json"]),
        (["info", "nothing.safetensors"], ["there is no file nothing.safetensors"]),
        (["info", "nothing"], ["unknown learner file", "There is no file or folder 'nothing' in '"]),
        (["evaluate", "nothing.safetensors", "--data", "digits"], ["there is no file nothing.safetensors"]),
        (["adapt", "nothing.safetensors", ".", "-o", "x.qs"], ["there is no file nothing.safetensors"]),
    ],
)
def test_bad_words_of_other_verbs(refused: Call, words: list[str], expected: list[str]) -> None:
    message = refused(*words)
    for part in expected:
        assert part in message


def test_errors_as_json(cli: Call, train: Call, tmp_path: pathlib.Path) -> None:
    outcome = cli(*train(tmp_path / "run"), "--json", "--ways", "11")
    assert outcome.code == 2
    assert outcome.out == ""
    problem = json.loads(outcome.err)["error"]
    assert problem["type"] == "TaskError"
    assert "11 ways" in problem["message"]


def test_errors_speak_in_options_that_exist(refused: Call, train: Call, own_images: Call, tmp_path: pathlib.Path) -> None:
    two = own_images(tmp_path / "two", classes=2)
    assert "--split all" in refused(*train(tmp_path / "run", data=two, size=16))
    assert "--net.halving stride" in refused(*train(tmp_path / "run", size=8))
    (two / "class0" / "0.png").write_bytes(b"no image")
    assert "--strict false" in refused(*train(tmp_path / "run", data=two, size=16, split="all"), "--strict")
    words = train(tmp_path / "run", learner=DESCENT, learner__head_ways=3)
    assert "--learner.head_ways null" in refused(*words)


def test_a_net_that_the_data_does_not_fit_is_answered_with_those_that_do(
    refused: Call, train: Call, tmp_path: pathlib.Path
) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    np.savez(tmp_path / "rows.npz", rows=rows, labels=np.repeat(np.arange(10), 6))
    message = refused(*train(tmp_path / "run", data=tmp_path / "rows.npz"), "--net", "conv4")
    assert "the data has rows [3]" in message
    assert "--net mlp" in message
    assert "resnet12" not in message


def test_a_table_is_answered_with_how_to_save_it(refused: Call, train: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "table.xlsx").write_text("a,label\n1,x\n")
    assert "Save a table as csv, with a line of column names" in refused("train", "--data", tmp_path / "table.xlsx")


def test_a_learner_that_cannot_give_the_answers_is_answered_with_those_that_can(refused: Call, tmp_path: pathlib.Path) -> None:
    message = refused("train", "--tasks", "sinusoid", "--out", tmp_path / "run")
    able = [name for name in discovery.names("learners") if Values in discovery.load("learners", name).targets]
    assert able
    assert f"take another learner: {', '.join(able)}." in message


def test_data_is_no_learner(refused: Call, npz: pathlib.Path) -> None:
    assert "is neither a learner nor a skill" in refused("info", npz)


def test_every_verb_works_after_list_in_one_process(cli: Call) -> None:
    assert cli("list").code == 0
    assert cli("list", "--json").code == 0
    assert cli("--version").code == 0


def test_empty_folder(refused: Call, train: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty" / "class").mkdir(parents=True)
    assert "no examples in class folders" in refused(*train(tmp_path / "run", data=tmp_path / "empty"))


def test_out_is_a_file(refused: Call, train: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "run").write_text("mine")
    assert "is a file; expected a folder" in refused(*train(tmp_path / "run"))
    assert (tmp_path / "run").read_text() == "mine"


def test_a_learner_without_parameters(refused: Call, train: Call, tmp_path: pathlib.Path) -> None:
    words = [word for word in train(tmp_path / "run", learner=MEMORY, net="identity") if "channels" not in word]
    assert "no parameters to train" in refused(*words)


def test_a_loss_that_is_no_number_stops_training(refused: Call, train: Call, tmp_path: pathlib.Path) -> None:
    words = train(tmp_path / "run", learner=DESCENT, learner__inner_lr="1e30", learner__inner_steps=2)
    message = refused(*words, code=1)
    assert "TrainingError" in message
    assert "at step 0" in message
    assert "--learner.inner_lr 1e+30 is too large" in message
    assert "checkpoint" not in message  # there is none yet


@pytest.mark.parametrize("damage", ["cut short", "one bit", "foreign", "not safetensors", "another kind", "another net"])
def test_a_damaged_or_foreign_checkpoint(
    cli: Call, refused: Call, train: Call, tmp_path: pathlib.Path, damage: str, finished: pathlib.Path
) -> None:
    out = tmp_path / "run"
    assert cli(*train(out)).code == 0
    file = out / "checkpoint.safetensors"
    good = file.read_bytes()
    if damage == "cut short":
        file.write_bytes(good[:-10])
    elif damage == "one bit":
        file.write_bytes(good[:-3] + bytes([good[-3] ^ 4]) + good[-2:])
    elif damage == "foreign":
        import safetensors.numpy

        safetensors.numpy.save_file({"weight": np.zeros(3)}, file)
    elif damage == "not safetensors":
        file.write_bytes(b"PK\x03\x04 a pickle in a zip, as torch.save writes it")
    elif damage == "another kind":
        file.write_bytes((finished / "learner.safetensors").read_bytes())
    else:
        content = storage.load(file, "checkpoint")
        storage.save(
            file, "checkpoint", content.arrays | {"learner.net.blocks.0.0.weight": np.zeros((8, 1, 3, 3))}, content.meta
        )
    damaged = file.read_bytes()
    metrics = (out / "metrics.csv").read_bytes()
    message = refused("train", "--resume", out)
    assert "FileFormatError" in message
    assert str(file) in message
    assert (file.read_bytes(), (out / "metrics.csv").read_bytes()) == (damaged, metrics)


def test_images_of_another_size_than_the_learner(refused: Call, finished: pathlib.Path) -> None:
    message = refused("evaluate", finished, "--data", "digits", "--ways", "2", "--size", "28")
    assert "size 28" in message
    assert "16x16" in message
    assert "leave them out" in message


def test_the_folder_where_one_stands(
    cli: Call, refused: Call, support: Call, finished: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`adapt LEARNER .` learns the classes that lie there, and says so if there are none."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "notes.txt").write_text("no image")
    monkeypatch.chdir(tmp_path / "here")
    message = refused("adapt", finished, ".", "-o", tmp_path / "my.qs")
    assert "folder '.': no examples in class folders (0 beside them, 1 files in all); expected <class>/<file>" in message
    assert not (tmp_path / "my.qs").exists()
    support("a", "b", root=tmp_path / "here")
    outcome = cli("adapt", finished, ".", "-o", tmp_path / "my.qs", "--json")
    assert json.loads(outcome.out)["examples"] == {"a": 1, "b": 1}


def test_a_support_folder_without_images(refused: Call, finished: pathlib.Path, tmp_path: pathlib.Path) -> None:
    task = tmp_path / "my.qs"
    assert "there is no folder" in refused("adapt", finished, tmp_path / "none", "-o", task)
    (tmp_path / "empty").mkdir()
    assert "no examples in class folders" in refused("adapt", finished, tmp_path / "empty", "-o", task)
    (tmp_path / "empty" / "cat").mkdir()
    assert "no examples in class folders (0 beside them, 0 files in all)" in refused(
        "adapt", finished, tmp_path / "empty", "-o", task
    )
    (tmp_path / "empty" / "cat" / "1.png").write_bytes(b"no image")
    assert "cat/1.png" in refused("adapt", finished, tmp_path / "empty", "-o", task)
    assert not task.exists()


def test_unreadable_images_to_predict(
    cli: Call, refused: Call, finished: pathlib.Path, support: Call, tmp_path: pathlib.Path
) -> None:
    examples, task = support("a", "b"), tmp_path / "my.qs"
    assert cli("adapt", finished, examples, "-o", task).code == 0
    assert "there is no image file" in refused("predict", task, tmp_path / "none.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "broken.png" in refused("predict", task, tmp_path / "broken.png")
    missing = refused("predict", tmp_path / "none.qs", "x.png")
    assert f"there is no file {tmp_path / 'none.qs'}; expected a skill, as `save` or quickstudy adapt writes it." in missing
    missing = refused("adapt", tmp_path / "none.qs", examples, "-o", task)
    assert "expected a learner's file, a run's folder, a shipped learner, or a skill" in missing
    assert "is a learner that has learned no task yet" in refused("predict", finished / "learner.safetensors", "x.png")
    assert "ink is 'drak'" in refused("predict", task, "x.png", "--ink", "drak")
    assert "ink is 'drak'" in refused("adapt", finished, examples, "-o", task, "--ink", "drak")


def test_a_learner_of_rows_takes_no_images(refused: Call, tmp_path: pathlib.Path) -> None:
    from quickstudy import SavedLearner, save_learner
    from quickstudy.nets.identity import Identity

    save_learner(tmp_path / "rows.safetensors", SavedLearner(Prototypes(Identity(4))))
    (tmp_path / "support" / "a").mkdir(parents=True)
    PIL.Image.new("L", (9, 9)).save(tmp_path / "support" / "a" / "1.png")
    message = refused("adapt", tmp_path / "rows.safetensors", tmp_path / "support", "-o", tmp_path / "x.qs")
    assert "learns from rows, not from files; use FewShotClassifier in Python" in message


@pytest.mark.parametrize(
    ("target", "words"), [("classes", "use FewShotClassifier in Python"), ("values", "use FewShotRegressor in Python")]
)
def test_skills_that_know_no_files_predict_none(refused: Call, tmp_path: pathlib.Path, target: str, words: str) -> None:
    from quickstudy import FewShotClassifier, FewShotRegressor

    made = {"classes": FewShotClassifier, "values": FewShotRegressor}[target]()
    made.fit([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]], [0, 1, 1]).save(tmp_path / "mine.qs")
    message = refused("predict", tmp_path / "mine.qs", "x.png")
    assert f"learns from rows, not from files; {words}" in message
