"""How long `import quickstudy` takes, as a whole new process, beside a process that imports nothing: python benchmarks/import_time.py"""

from __future__ import annotations

import json
import pathlib
import statistics
import subprocess
import sys
import time

RESULTS = pathlib.Path(__file__).parent / "results" / "import_time.json"
RUNS = 15


def seconds(code: str) -> float:
    """Wall time of a new Python process that runs `code`."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begin


def main() -> None:
    """Measure both in turn, and record the medians."""
    seconds("import quickstudy")
    pairs = [(seconds("pass"), seconds("import quickstudy")) for _ in range(RUNS)]
    loaded = subprocess.run(
        [sys.executable, "-c", "import quickstudy, sys; print('torch' in sys.modules)"], check=True, capture_output=True
    )
    record = {
        "command": "python benchmarks/import_time.py",
        "runs": RUNS,
        "bare_python_seconds": round(statistics.median(bare for bare, _ in pairs), 4),
        "with_import_seconds": round(statistics.median(full for _, full in pairs), 4),
        "import_seconds": round(statistics.median(full - bare for bare, full in pairs), 4),
        "goal_seconds": 0.3,
        "torch_imported": loaded.stdout.decode().strip() == "True",
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")
    sys.stdout.write(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
