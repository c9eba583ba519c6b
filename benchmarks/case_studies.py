"""Case studies: learners beside simple methods on the same support sets. This writes docs/cases/ from the records.

    python benchmarks/case_studies.py                    # writes the pages
    python benchmarks/case_studies.py --run              # measures all that the cases need first, which takes hours
    python benchmarks/case_studies.py --run medicine     # or those of one case

A case of `case_studies.json` names a benchmark of `recipes.json` and some of its recipes; `curves` is a demo, and `bioinformatics` is
measured by `molecules.py`. Set QUICKSTUDY_DATA to the folder with the data sets.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
from typing import Any

import beside_papers
import strings

HERE = pathlib.Path(__file__).parent
CASES: dict[str, Any] = json.loads((HERE / "case_studies.json").read_text())
"""Cases by name: a title, what they are `about`, what the figures say (`says`), and either their `benchmark` with its recipes that are
compared, by their names on the page (`methods`), or the `command` that measures them. A case may have further parts: `also` (a second
benchmark), `tables` and `strings`. A case with no benchmark and no command is one of tables alone."""
TABLE_METHODS = {
    "tables": "`tables`, which ships",
    "centroid": "nearest centroid",
    "logistic": "logistic regression",
    "forest": "random forest",
    "scratch": "a net, from scratch",
}
"""Methods of `table_cases.py`, by their names on a page."""
NOTE = "± is the 95 % confidence interval. All methods meet the same tasks in each column{fewer}."


def page(name: str) -> str:
    """Return the page of a case in Markdown."""
    case, of_command = CASES[name], {"curves": ("glucose", _of_curves), "bioinformatics": ("molecules", _of_molecules)}
    if name in of_command:
        records, table = of_command[name]
        return _written(case, case["command"], table(json.loads(_results(records).read_text())))
    of_tables = f"python benchmarks/table_cases.py {name}"
    if "benchmark" not in case:
        return _written(case, of_tables, _of_tables(name))
    written = _of_benchmark(case)
    if "also" in case:
        written += f"\n#{_of_benchmark(case['also'])}"
    if "tables" in case:
        written += f"\n#{_written(case['tables'], of_tables, _of_tables(name))}"
    if "strings" in case:
        of_strings = f"python benchmarks/strings.py {case['strings']['benchmark']}"
        written += f"\n#{_written(case['strings'], of_strings, _of_strings(case['strings']['benchmark']))}"
    return written


def _results(name: str) -> pathlib.Path:
    """Return the file of records of this name."""
    return HERE / "results" / f"{name}.json"


def _written(case: dict[str, Any], command: str, table: str) -> str:
    """Return a page: what the case is about, the command, a table, and what it says."""
    return f"# {case['title']}\n\n{case['about']}\n\n```\n{command}\n```\n\n{table}\n\n{case['says']}\n"


def _of_benchmark(case: dict[str, Any]) -> str:
    """Return a page, or a part of one, on few-shot records."""
    runs = json.loads(_results(case["benchmark"]).read_text())["runs"]
    command = f"python benchmarks/few_shot.py {case['benchmark']} {' '.join(case['methods'])}"
    return _written(case, command, _of_runs(case["methods"], runs))


def _of_runs(methods: dict[str, str], runs: dict[str, Any]) -> str:
    """Return the table of few-shot records: a row for each method, a column for each size of task."""
    rows = {name: {(row["ways"], row["shots"]): row for row in runs[name]["results"][0]["rows"]} for name in methods}
    first = next(iter(rows.values()))
    same = [row["tasks_hash"] for row in first.values()]
    for name, of_sizes in rows.items():
        if [row["tasks_hash"] for row in of_sizes.values()] != same:
            sys.exit(f"{name} met other tasks than {next(iter(methods))}; measure it again.")
    columns = ["accuracy, %", *(f"{ways} ways, {shots} shot{'s' * (shots > 1)}" for ways, shots in first)]
    body = [
        [words, *(f"{row['accuracy']:.1f} ± {row['ci95']:.1f}" for row in rows[name].values())]
        for name, words in methods.items()
    ]
    counts = {row["test_tasks"] for row in first.values()}
    tasks = f"{', '.join(map(str, counts))} tasks of each size; their hashes: {', '.join(same)}."
    return f"{beside_papers.in_markdown(columns, body)}\n\n{NOTE.format(fewer='')} {tasks}"


def _of_tables(name: str) -> str:
    """Return the table of the tables of a case: a row for each method, a column for each number of rows to learn from."""
    rows = json.loads(_results("table_cases").read_text())[name]["rows"]
    sizes = {row["context"]: row["tasks_hash"] for row in rows}
    found = {(row["method"], row["context"]): row for row in rows}
    body = [
        [words, *(f"{found[method, size]['area']:.1f} ± {found[method, size]['area_ci95']:.1f}" for size in sizes)]
        for method, words in TABLE_METHODS.items()
    ]
    table = beside_papers.in_markdown(["area under the ROC curve, %", *(f"{size} rows" for size in sizes)], body)
    hashes = ", ".join(sizes.values())
    return f"{table}\n\n{NOTE.format(fewer='')} {rows[0]['test_tasks']} tasks of each size; their hashes: {hashes}."


def _of_strings(benchmark: str) -> str:
    """Return the table of transcripts of `strings.py`: a row for each method, a column for each number of strings to learn from."""
    found = json.loads(_results("strings").read_text())["runs"][benchmark]
    head, *rows = strings.tables({"runs": {benchmark: found}})[benchmark]
    methods = next(iter(found.values()))
    tested = next(method["rows"] for method in methods.values() if "rows" in method)
    hashes = ", ".join(
        row["tasks_hash"] for seed in found.values() for row in next(m["rows"] for m in seed.values() if "rows" in m)
    )
    counts = f"{tested[0]['test_tasks']} tasks of {tested[0]['queries']} strings for each seed and size"
    return f"{beside_papers.in_markdown([*head], [[*row] for row in rows])}\n\n{NOTE.format(fewer='')} {counts}; their hashes: {hashes}."


def _of_curves(found: dict[str, Any]) -> str:
    """Return the table of the demo of curves: a row for each method, a column for each number of points."""
    results = found["results"]
    shots = [row["shots"] for row in next(iter(results.values()))]
    columns = ["root mean squared error, mg/dL", *(f"{count} point{'s' * (count > 1)}" for count in shots), "tasks"]
    body = [
        [name, *(f"{row['root_mean_squared_error']:.1f} ± {row['root_ci95']:.1f}" for row in rows), str(rows[0]["test_tasks"])]
        for name, rows in results.items()
    ]
    hashes = ", ".join(row["tasks_hash"] for row in next(iter(results.values())))
    fewer = "; where fewer are named, the first ones"
    return f"{beside_papers.in_markdown(columns, body)}\n\n{NOTE.format(fewer=fewer)} Hashes of the tasks: {hashes}."


def _of_molecules(found: dict[str, Any]) -> str:
    """Return the table of assays that were new, with new molecules: a row for each method, a column for each collection."""
    found = found["test_apart"]
    tables = found["tables"]
    columns = [found["score"], *tables]
    methods = {name: None for table in tables.values() for name in table}
    called = {"apart": "ProtoNet on an MLP, meta-trained on other assays"}
    body = [
        [called.get(name, name), *(f"{table[name]['mean']:.1f} ± {table[name]['ci95']:.1f}" for table in tables.values())]
        for name in methods
    ]
    return f"{beside_papers.in_markdown(columns, body)}\n\n{NOTE.format(fewer='')} {found['protocol'].capitalize()}."


def run(name: str, options: list[str]) -> None:
    """Measure what a case needs, with options of `few_shot.py`."""
    case = CASES[name]
    if name == "curves":
        words = ["-m", "quickstudy", "demo", "--kind", "curve", "--out", "runs/curves", "--json", *options]
        printed = subprocess.run([sys.executable, *words], check=True, stdout=subprocess.PIPE, text=True).stdout
        _results("glucose").write_text(printed)
    elif name == "bioinformatics":
        subprocess.run([sys.executable, str(HERE / "molecules.py"), *case["command"].split()[2:]], check=True)
    for part in (case, case.get("also", {})):
        if "benchmark" in part:
            words = [str(HERE / "few_shot.py"), part["benchmark"], *part["methods"], *options]
            subprocess.run([sys.executable, *words], check=True)
    if "strings" in case:
        subprocess.run([sys.executable, str(HERE / "strings.py"), case["strings"]["benchmark"]], check=True)
    if "tables" in case or ("benchmark" not in case and "command" not in case):
        subprocess.run([sys.executable, str(HERE / "table_cases.py"), name], check=True)


def main() -> None:
    """Measure if that is asked for, and write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[*CASES], help=f"cases: {', '.join(CASES)}; all by default")
    parser.add_argument("--run", action="store_true", help="measure first")
    parser.add_argument("--minutes", help="minutes of each training, in place of the recipe's own")
    parser.add_argument("--tasks", help="number of test tasks, in place of a thousand, or of the demo's hundred")
    parser.add_argument("--out", type=pathlib.Path, default=HERE.parent / "docs" / "cases", help="folder of the pages")
    options = parser.parse_args()
    for name in options.names:
        if options.run:
            given = {"--minutes": options.minutes, "--tasks": options.tasks}
            run(name, [word for option, value in given.items() if value for word in (option, value)])
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / f"{name}.md").write_text(page(name))


if __name__ == "__main__":
    main()
