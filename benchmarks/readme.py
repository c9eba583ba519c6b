"""Writes benchmarks/README.md from the recorded results: python benchmarks/readme.py"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import beside_papers

HERE = pathlib.Path(__file__).parent

TEXT = """# Measured

Written by `python benchmarks/readme.py` from `benchmarks/results/`. Machine: {cores} CPU cores ({processor}); each
training used one thread on one core, while other work ran on the machine.

## Omniglot

Vinyals split (1,028 / 172 / 423 characters, times four rotations), Conv4-64, 28x28, {tasks} test tasks, 15 queries per class; ± is the 95 %
confidence interval over tasks. `inductive`: each query on its own; `transductive`: batch norm over the query batch, as in the MAML paper.

{table}

Equal hashes mean that learners met the same tasks: {hashes}.

How each was trained (`python benchmarks/few_shot.py omniglot NAME` runs what `recipes.json` says of it), and the step and minute of the
best validation, which is the learner that was measured:

{commands}

What was tried for MAML and did not pay, on one core, validation accuracy 5-way 1-shot: the learned 5-way head reached 81 % after
5 minutes where the head that starts at zero reached 92 %; the strided net on 20-way tasks stood at 95 % after 14 minutes, the
max-pooling net at 96 % after 16. The steps and the rate at test (5 steps of 0.1, after training with 2 of 0.4 on 20 ways) were
chosen on validation tasks with an earlier, strided net. With a head that starts at zero, a first inner step moves the head alone,
so MAML needs two steps to be more than ANIL. A command's `--minutes` say how long it trained, beside other trainings on two cores;
papers train for hours. Records without figures of time and size are older than the others: their tasks were drawn by an earlier
generator and have other hashes. A temperature is fitted on validation tasks of two numbers of ways (of older records, of one), with the
steps of the training: the calibration error after it may be larger than before with other steps or rates. What first-order MAML and
Reptile lacked is in `LOG.md`.

The learner that was trained on rendered glyphs alone (`quickstudy evaluate glyphs --data omniglot --split test --ways 5 --shots 1
5`), on Omniglot, which it has never seen: {cross}.

{others}## Curves

`python benchmarks/curves.py` trains each of these in 4 to 8 minutes on a shared core and measures it on {curve_tasks} tasks of 100
queries; ± is the 95 % confidence interval over tasks. Sinusoids have amplitude 0.1-5, frequency 0.8-1.2 and phase 0-pi; learners were
trained with 5 shots, gradient learners with one step. Curves of Gaussian processes were trained with 3 to 20 shots. The exact process is
told the kernel, its length scale and the noise, so that nothing predicts better on average.

{curves}
How each was trained, with the minutes until its best validation:

{curve_commands}

## Strings in new languages

One to five digits, spoken by espeak-ng (a synthetic voice, formants and not recordings) in 16 languages that have no close relative among
those of training, in three voices each; a task is one voice, and its symbols are shuffled, so that nothing but its own strings says which
word is which digit. `python benchmarks/strings.py languages` trains a network on all strings of 59 other languages together, and then
adapts it to 10 or 20 strings by 64 gradient steps: as it is (`fine-tuned`), or after meta-training (first-order MAML, 500 steps of 3
tasks). A word is a whole string, so that the error rate of words counts the strings that are not wholly right. Means over {strings_seeds}
seeds, of {strings_tasks} tasks of 40 strings each; ± is the 95 % confidence interval over tasks. Hashes of the tasks: {strings_hashes}.

{strings}
How the first of each was trained:

{strings_commands}

## Strings of people

One to five digits of English, joined of single recordings of six people (FSDD), none of whom training heard: it had synthetic voices
of English alone (`digit_voices`). `python benchmarks/strings.py people` compares the network that learned to write down all of these
(`as it is`), the same after 64 gradient steps on a person's strings (`fine-tuned`), and the same after meta-training. Means over
{people_seeds} seeds, of {people_tasks} tasks of 40 strings each, of a person drawn at random; ± is the 95 % confidence interval over
tasks, which does not know that people are six. Hashes of the tasks: {people_hashes}.

{people}
How the first of each was trained:

{people_commands}

## Tables

The learner `tables`, which ships (`prior_fitted`, trained on synthetic tables alone for 40 and then 80 minutes on a busy core, 1,847 and
2,482 steps of 6 tables; `docs/guide.md` has the commands; answers are means over four orders of columns, by values and by ranks in turn),
beside scikit-learn's classifiers with their defaults (`{tables_command}`), on {tables_sets} sets of PMLB, of at most 1,000 rows; sets
that are nearly the same as another are left out. All learn from the same rows ({tables_splits}), of which each class has at least one;
`half` is half of the rows. Area under the ROC curve and accuracy are percentages, averaged over sets; ranks are among all six, and 1 is
the best; seconds are those of a processor to fit and to answer for up to 200 rows, on a machine on which other work ran. Sets count whose
classes have two rows each on average, which of ten rows some sets' do not. Nothing was tuned.

{tables}

### Tables, beside classifiers that are tuned

Here each classifier is tuned for each table, within the rows to learn from (`{tuned_command}`): it tries its defaults and {tuned_others}
settings drawn at random, and what answers best is fitted to all rows. It is judged on three parts of the rows, each answered by a model
of the others; forests are judged by the rows that each tree left out. The sets are the same, in {tuned_splits}; `tables` is not tuned.
Seconds are those of all trials together.

{tuned}

### Values

The learner `table_values`, which ships too (the same network, trained for 33 minutes of a shared core, 3,001 steps of 6, on synthetic
tables whose rows have a value each), beside scikit-learn's regressors with their defaults, of which ridge regression chooses its penalty
(`{values_command}`), on {values_sets} regression sets of PMLB. All learn from the same rows, in {values_splits} splits. The share of the
variance that is explained is in percent, averaged over splits and sets, from -100 on.

{values}

## Molecules

Assays of MoleculeNet that training never saw (the last three of Tox21, the last six of SIDER), from five active and five inactive
molecules: area under the ROC curve in percent, with 95 % intervals over draws and assays (`{molecules_command}`).
Training knew the molecules of the rows `known from other assays` by what other assays found of them, as in the paper whose split it is.
In the rows `new`, a fifth of all molecules was kept for the test. `learner` is ProtoNet on an MLP, trained for {molecules_minutes} minutes
on other assays; the others learn from the fingerprints of the same ten molecules alone.

{molecules}

## Speed beside other libraries

`make bench-peers` builds an environment with the other libraries and measures everyone in turn, on the same net, weights and tasks, in
float32, after comparing results (in float64 all meta-gradients agree to 1e-3 or better; see `peers/README.md`). Everyone uses as many
threads, and the memory layout, that a trial found fastest. Tasks (or episodes) per second, medians; the ratio is taken round by round,
with its smallest and largest value. The last two columns count nothing but the operations of convolutions and matrix products in float32:
how much of the peak of a channels-last convolution on all cores (`floor.py`) quickstudy gets out of them, and how much the goal would
need; more than 100 % is beyond that peak, in float32. {peers_machine}

{peers}

{floor} {memory}

The race to 98 % at Omniglot 5-way 1-shot, in seconds of training, where everyone stood at last in each round: {race}.

What was tried, predicted and measured, failures too: `LOG.md`.

## Devices

Learners as `quickstudy export` writes them. `make bench-web`, `python benchmarks/edge.py` and `python benchmarks/edge_mcu.py` measure;
`results/edge*.json` hold every row and the machine's load. Boards are emulated: instructions are counted, no cycles.

{devices}

onnxruntime's adaptation is held against the fastest of four ways to run the same learner in torch (two interfaces, two layouts). In
torch's default layout it is level at 1 shot and slower at 5; channels-last convolutions are what it cannot match: convolutions
take 27 % of its time, max-pooling with indices 18 %, patches for weight gradients 24 %. `LOG.md` has what was tried. A process that
has only imported onnxruntime and loaded the graph already takes 84 MB.

## Import

`import quickstudy` takes {import_seconds} s beyond Python's own start (goal: 0.3 s) and does not import torch.
"""


OTHERS = {
    "lake": "Each task is 20 characters of one alphabet of the evaluation set, with one example and one query each, as in the 20-way "
    "one-shot trials of Lake et al.; there, the trials are fixed and the two drawings are of two people, here all are drawn at random. "
    "With `balance_steps`, the answers to the queries of a task are balanced between its classes, of which each has one query: "
    "those figures are of another protocol than the papers', which answer each drawing by itself.",
    "mnist": "The learners are those of the table above; they have seen no digit. `soft_kmeans`, and any learner with `statistics query`, "
    "look at the queries of a task together, which the paper's learner does not.",
    "cifar_fs": "The data here has 200 of the 600 images of each class, so that the papers' figures are not to be reached with it. "
    "The order is the papers' in part: R2D2 is before ProtoNet and MAML at one shot, and behind ProtoNet at five. It was not done "
    "with learning: in 6 minutes of a slower processor it had come to 50.1 and 63.8 % (2,078 steps), and ProtoNet to 50.1 and 69.0 "
    "(1,433). Learners of gradients made fewer than 900 steps here, after 240 to 270 there (MAML 43.0 and 54.9, MAML++ 44.2 and "
    "57.0), where papers make tens of thousands.",
    "cifar10": "The learners are those of CIFAR-FS, and what they meet is told apart by coarser words: aeroplane, bird, ship. "
    "`protonet` was trained anew, for 15 minutes of a slower processor without bfloat16 (1,131 steps, 49.5 and 68.3 % on CIFAR-FS).",
    "clinc150": "The net is `ngrams`, which reads bytes: no tokenizer and no pretrained encoder. "
    "`untrained` is the same net as it begins; `intents` is the learner that ships (1.9 MB in 8 bits), which a sentence encoder taught "
    "(`LOG.md`), measured by its exported graphs. "
    "By the largest logit, requests that belong to no intent are told from those of ten intents of ten examples with an AUROC of {auroc} ± "
    "{auroc_ci95} (`{command}`). At its calibrated threshold `intents` loses {known_lost} % of known requests, and finds "
    "{unknown_found} % of the others: the threshold is that of five intents of one to five examples, and with ten examples known requests "
    "lie nearer. One that loses 5 % would find {unknown_found_at_5_lost} %.",
    "banking77": "The learners are those of CLINC150.",
    "fsdd": "The learners heard nobody speak: they were trained on words that espeak-ng speaks, none of which is a digit. `protonet` is "
    "`sounds`, which ships: words are stretched to one length before its net. Its 20 minutes were those of a core that it shared. `means` "
    "compares means of log-mel pictures as they are stored, without a net; `scratch` trains Conv4 of 16 filters on each task.",
    "microarray": "Tasks are patients of one study each, with two of its diagnoses, by the 100 genes that differ most between its "
    "patients. Nothing was trained on other studies: these are the baselines that a learner of such tables must beat.",
    "emoji": "A task is 20 emoji of one group, each known by one drawing and asked for by the three that other hands drew. "
    "In `protonet_style` and `means_style`, the same learners meet tasks in which one hand drew all 20 examples to learn from; in the "
    "other rows these are by any hands. `protonet_named` learns from a drawing and its name, and is asked with a drawing alone "
    "(`joined`, as AM3). Animals, food and places were held out. The machine was busy when times of adapting were measured.",
}
"""Notes on the benchmarks other than Omniglot's."""
NOTES = {
    ("protonet", "quickstudy-bf16"): " (bfloat16)",
    ("gradient", "quickstudy-bf16"): " (bfloat16)",
    ("race", "quickstudy"): " (settings of its own)",
    ("race", "quickstudy-same"): " (easyfsl's settings)",
}
"""What a row says of a way of using quickstudy."""


def peers_table(record: dict[str, Any], floor: dict[str, Any]) -> str:
    """One row for each work: quickstudy, the best peer, and how much of the measured peak quickstudy has and its goal would need."""
    lines = [
        "| work | quickstudy | best peer | ratio | goal | of the peak | goal, of the peak |",
        "|---|---|---|---|---|---|---|",
    ]
    peak = max(row["peak_giga_operations_per_second"] for row in floor["rows"])
    for work in record["works"].values():
        best = work["best_peer"]
        shown_peers = [best, *(["easyfsl"] if work["title"] == "drawing tasks" else [])]  # from memory, and from files
        for ours, best in ((ours, peer) for ours in work["ratios"] for peer in shown_peers):
            ratio, mine, theirs = work["ratios"][ours][best], work["contestants"][ours], work["contestants"][best]
            title = work["title"] + NOTES.get((work["work"]["kind"], ours), "")
            shown = f"{ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})"
            rates = [
                f"{facts['seconds_per_task']['median']:.0f} s"
                if work["work"]["kind"] == "race"
                else f"{facts['tasks_per_second']['median']:.4g}"
                for facts in (mine, theirs)
            ]
            line = f"| {title} | {rates[0]} | {best}: {rates[1]} | {shown} | {work['goal']:g} |"
            counted = floor["giga_operations_per_task"].get(work["work"]["name"])
            if counted is None or "bf16" in ours or work["machine"] != floor["machine"]:
                lines.append(line + " | |")
                continue
            ours_of_it, peers_of_it = (counted / peak * facts["tasks_per_second"]["median"] for facts in (mine, theirs))
            lines.append(line + f" {ours_of_it:.0%} | {work['goal'] * peers_of_it:.0%} |")
    return "\n".join(lines)


def race_text(record: dict[str, Any]) -> str:
    """Where everyone stood at last, round by round."""
    return "; ".join(
        f"{name} {', '.join(f'{curve[-1][2]:.2%} after {curve[-1][0]} steps, {curve[-1][1]:.0f} s' for curve in curves)}"
        for name, curves in record["curves"].items()
    )


def _machines(record: dict[str, Any]) -> str:
    """Name the machines on which the rows were measured, the machine of the fewest with the rows it measured."""
    rows: dict[str, list[str]] = {}
    for work in record["works"].values():
        rows.setdefault(f"{work['machine']['cores']} cores, {work['machine']['processor']}", []).append(work["title"])
    first, *others = sorted(rows, key=lambda machine: -len(rows[machine]))
    return "; ".join([first, *(f"{machine}: {', '.join(rows[machine])}" for machine in others)]) + "."


def floor_text(record: dict[str, Any]) -> str:
    """How far second-order MAML is from its convolutions at peak."""
    rows = [
        f"{row['inner_steps']} inner step{'s' * (row['inner_steps'] > 1)} on {row['threads']} core{'s' * (row['threads'] > 1)} "
        f"{row['times_the_floor']['captured']} ({row['spread']['captured'][0]}-{row['spread']['captured'][1]})"
        for row in record["rows"]
    ]
    return (
        f"Second-order MAML on the max-pooling net takes so many times its floor, the time of its operations at the measured peak of a "
        f"channels-last convolution (`{record['command']}`; goal 1.7): {'; '.join(rows)}."
    )


def memory_text(record: dict[str, Any]) -> str:
    """Peak memory with many inner steps."""
    most = {row["recompute"]: row["gigabytes"] for row in record["rows"]}
    return (
        f"With {record['inner_steps']} inner steps, 5-way 5-shot, a process takes {most[False]} GB, or {most[True]} GB with "
        f"`recompute=True` (`{record['command']}`; goal {record['goal_gigabytes']})."
    )


def devices_table(edge: dict[str, Any], boards: dict[str, Any], browser: dict[str, Any]) -> str:
    """Every figure for devices, with its goal."""
    lines = ["| what | measured | goal |", "|---|---|---|"]

    def add(what: str, measured: str, goal: str) -> None:
        lines.append(f"| {what} | {measured} | {goal} |")

    for name, row in boards["rows"].items():
        first, accuracy = row["boards"][0], row["accuracy"][0]
        ours = accuracy.get("int8", accuracy.get("float32"))
        goal = (
            "11 KB, 6 KB, 95 %"
            if "16 channels, int8" in name
            else "80 KB of RAM, 60 M"
            if "maml" in name
            else "128 KB, 32 KB, -0.3"
        )
        instructions = f"{first['adapt_5way_1shot_minstructions']:.1f} M to adapt"
        sizes = f"{first['flash_bytes']:,} B of flash, {first['ram_bytes']:,} B of RAM, {instructions}"
        add(f"{first['board']}: {name}", f"{sizes}; {ours} % (torch: {accuracy['torch_float32']} %)", goal)
    for case, row in edge["adapt"].items():
        if case in ("machine", "load_after"):
            continue
        beside = row["beside"]
        times = [f"{beside[layout]['time']['onnxruntime']:.2f} ({layout})" for layout in beside]
        share = " and ".join(f"{beside[layout]['memory']['onnxruntime']:.2f}" for layout in beside)
        add(f"onnxruntime, MAML, 5 steps, {case}: time and memory beside torch", f"{' and '.join(times)}; {share}", "1.0; 0.33")
    beside = edge["predict"]["beside"]
    faster = " and ".join(f"{1 / beside[layout]['time']['onnxruntime']:.1f} ({layout})" for layout in beside)
    add("onnxruntime, one image: times as fast as torch", faster, "2.5")
    start = edge["start"]
    add(
        "import and first prediction",
        f"{start['until_first_prediction_seconds']} s, {start['peak_megabytes']} MB",
        "1 s, 150 MB",
    )
    for data in ("omniglot", "cifar_fs"):
        found = edge["accuracy"][data]
        losses = ", ".join(f"{row['loss']:+.3f} ± {row['loss_ci95']:.3f}" for row in found["rows"])
        sizes = f"{found['kilobytes']['float32']} and {found['kilobytes']['int8']} KB"
        add(
            f"int8 on {data}: points lost at 1, 5 shots ({found['tasks']} tasks); bundles",
            f"{losses}; {sizes}",
            "0.2; 450, 125 KB",
        )
    for row in browser["rows"]:
        adapt, predict = row["adapt_5way_1shot_ms"], row["predict_1_ms"]
        measured = f"{adapt['median']} ms (least {adapt['least']}); {predict['median']} ms (least {predict['least']})"
        goal = "150 ms; 1.5 ms" if "MAML" in row["learner"] else ""
        add(f"Chromium, {row['learner']}, threads: {row['threads']}: adapt 5-way 1-shot; predict one", measured, goal)
    return "\n".join(lines)


def hashes_text(runs: dict[str, Any]) -> str:
    """Return the hash of the tasks of each size; where learners met different tasks, with their names."""
    met: dict[str, dict[str, list[str]]] = {}
    for name, run in runs.items():
        for row in (row for result in run["results"] for row in result["rows"]):
            names = met.setdefault(f"{row['ways']}-way {row['shots']}-shot", {}).setdefault(row["tasks_hash"], [])
            names.extend([] if name in names else [name])
    parts = []
    for task, hashes in met.items():
        several = len(hashes) > 1
        parts.append(f"{task} " + ", ".join(f"`{key}`" + f" ({', '.join(names)})" * several for key, names in hashes.items()))
    return "; ".join(parts)


def commands_text(runs: dict[str, Any]) -> str:
    """Return how each record was trained."""
    return "\n".join(
        f"- `{name}`: `{run['command']}` (step {run['steps']}, minute {run['minutes_to_best']})" for name, run in runs.items()
    )


def _other(benchmark: str) -> str:
    """Return the section of a benchmark of images other than Omniglot's; empty if nothing is recorded."""
    file = HERE / "results" / f"{benchmark}.json"
    if not file.exists():
        return ""
    runs = json.loads(file.read_text())["runs"]
    title = beside_papers.BENCHMARKS[benchmark]["title"]
    about = f"`python benchmarks/few_shot.py {benchmark}` trains and measures. {OTHERS[benchmark].format(**_out_of_scope())}"
    parts = [f"## {title}", about, _markdown("few_shot.py", benchmark).strip(), commands_text(runs)]
    return "\n\n".join(parts) + "\n\n"


def _out_of_scope() -> dict[str, Any]:
    """Return the record of requests that belong to no intent."""
    return json.loads((HERE / "results" / "out_of_scope.json").read_text())


def _markdown(script: str, *arguments: str) -> str:
    """Return the tables that a script prints of its recorded results."""
    command = [sys.executable, str(HERE / script), *arguments, "--markdown"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def molecules_table(record: dict[str, Any]) -> str:
    """Return one row for each table and model, without and with new molecules."""
    found = ["| assays | molecules | model | AUC, % |", "|---|---|---|---|"]
    for split, words in {"test": "known from other assays", "test_apart": "new"}.items():
        for table, models in record[split]["tables"].items():
            trained = record[split]["trained by"]
            for name, row in models.items():
                shown = "learner" if name in trained else name
                found.append(f"| {table} | {words} | {shown} | {row['mean']:.1f} ± {row['ci95']:.1f} |")
    return "\n".join(found)


OF_CLASSES = {
    "context": "rows",
    "model": "classifier",
    "sets": "sets",
    "auc": "area",
    "accuracy": "accuracy",
    "rank_by_auc": "rank by area",
    "rank_by_accuracy": "rank by accuracy",
    "seconds": "seconds",
}
OF_VALUES = {
    "context": "rows",
    "model": "regressor",
    "sets": "sets",
    "explained": "explained, %",
    "rank": "rank",
    "seconds": "seconds",
}
"""Columns of the tables of models by the keys of records."""


def tables_table(record: dict[str, Any], columns: dict[str, str]) -> str:
    """One row for each model and number of rows to learn from."""
    body = [[str(row[key]) for key in columns] for row in record["rows"]]
    return beside_papers.in_markdown(list(columns.values()), body)


def splits_text(record: dict[str, Any]) -> str:
    """Return how many splits a record is of, in words."""
    splits = record["protocol"]["splits"]
    return "one split" if splits == 1 else f"{splits} splits"


def strings_text(benchmark: str, name: str) -> dict[str, Any]:
    """Return what the text says of strings of a benchmark, by words that begin with a name."""
    seeds = json.loads((HERE / "results" / "strings.json").read_text())["runs"][benchmark]
    methods = next(iter(seeds.values()))
    rows = [row for seed in seeds.values() for row in seed["meta-trained"]["rows"]]
    return {
        name: _markdown("strings.py", benchmark),
        f"{name}_seeds": len(seeds),
        f"{name}_tasks": rows[0]["test_tasks"],
        f"{name}_hashes": ", ".join(row["tasks_hash"] for row in rows),
        f"{name}_commands": "\n".join(f"- {name}: `{method['command']}`" for name, method in methods.items()),
    }


def main() -> None:
    """Fill the text."""
    molecules = json.loads((HERE / "results" / "molecules.json").read_text())
    of_tables = json.loads((HERE / "results" / "tables.json").read_text())
    of_tuned = json.loads((HERE / "results" / "tuned_tables.json").read_text())
    of_values = json.loads((HERE / "results" / "table_values.json").read_text())
    peers = json.loads((HERE / "results" / "peers.json").read_text())
    floor = json.loads((HERE / "results" / "floor.json").read_text())
    omniglot = json.loads((HERE / "results" / "omniglot.json").read_text())
    cross = json.loads((HERE / "results" / "glyphs_on_omniglot.json").read_text())["results"]
    curves = json.loads((HERE / "results" / "curves.json").read_text())["runs"]
    table, curve_tables = _markdown("few_shot.py", "omniglot"), _markdown("curves.py")
    rows = [row for run in omniglot["runs"].values() for result in run["results"] for row in result["rows"]]
    commands = commands_text(omniglot["runs"])
    filled = TEXT.format(
        **strings_text("languages", "strings"),
        **strings_text("people", "people"),
        **omniglot["machine"],
        tasks=rows[0]["test_tasks"],
        table=table.strip(),
        curves=curve_tables,
        curve_tasks=f"{curves['maml']['rows'][0]['test_tasks']:,}",
        curve_commands="\n".join(f"- `{name}` ({run['minutes']}): `{run['command']}`" for name, run in curves.items()),
        hashes=hashes_text(omniglot["runs"]),
        commands=commands,
        others="".join(map(_other, OTHERS)),
        molecules=molecules_table(molecules),
        molecules_command=molecules["test"]["command"],
        molecules_minutes=f"{molecules['test_apart']['trained by']['apart']['minutes']:.0f}",
        tables=tables_table(of_tables, OF_CLASSES),
        tuned=tables_table(of_tuned, OF_CLASSES),
        tuned_command=of_tuned["command"],
        tuned_others=of_tuned["protocol"]["tried"] - 1,
        tuned_splits=splits_text(of_tuned),
        tables_command=of_tables["command"],
        tables_sets=of_tables["protocol"]["sets"],
        tables_splits=splits_text(of_tables),
        values=tables_table(of_values, OF_VALUES),
        values_command=of_values["command"],
        values_sets=of_values["protocol"]["sets"],
        values_splits=of_values["protocol"]["splits"],
        peers=peers_table(peers, floor),
        peers_machine=_machines(peers),
        race=race_text(peers["works"]["race"]),
        memory=memory_text(json.loads((HERE / "results" / "memory.json").read_text())),
        devices=devices_table(
            *(json.loads((HERE / "results" / f"{name}.json").read_text()) for name in ("edge", "edge_mcu", "edge_browser"))
        ),
        floor=floor_text(floor),
        cross=", ".join(
            f"{row['shots']}-shot {row['accuracy']:.2f} ± {row['ci95']:.2f} ({row['test_tasks']} tasks)" for row in cross
        ),
        import_seconds=json.loads((HERE / "results" / "import_time.json").read_text())["import_seconds"],
    )
    (HERE / "README.md").write_text(filled)


if __name__ == "__main__":
    main()
