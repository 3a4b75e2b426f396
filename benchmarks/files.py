"""How long lists take to read and to sort on disk, and how much memory, each in its own process.

python benchmarks/files.py --lines 1000000 20000000 100000000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import generate

TASKS = {
    "import": "",
    "read": "io.read_ratings(path)",
    "sort on disk": "io.stored_entries(path, folder)",
}
_CHILD = """
import json, resource, time
from leanrank import io
path, folder = {path!r}, {folder!r}
start, used = time.perf_counter(), time.process_time()
{task}
wall, cpu = time.perf_counter() - start, time.process_time() - used
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([wall, cpu, peak]))
"""
_IN_MEMORY = 30_000_000
"""Lines up to which a list is read into memory, too."""


def measured(task: str, path: Path, folder: Path) -> list[float]:
    """Seconds by the clock, CPU seconds and peak resident memory (MiB) of a task."""
    code = _CHILD.format(task=task, path=str(path), folder=str(folder))
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    return [float(x) for x in json.loads(done.stdout)]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, nargs="+", default=[1_000_000, 20_000_000])
    parser.add_argument("--suffixes", nargs="+", default=[".csv", ".parquet"])
    parser.add_argument("--folder", type=Path, help="where the files go, and are removed")
    told = parser.parse_args()
    print("| file | lines | task | seconds | CPU s | peak MiB |")
    print("| --- " * 6 + "|")
    for lines in told.lines:
        for suffix in told.suffixes:
            with tempfile.TemporaryDirectory(dir=told.folder) as place:
                path = Path(place) / f"ratings{suffix}"
                # In a process of its own, too: what the parent holds would count for its children.
                command = [sys.executable, generate.__file__, str(path), "--lines", str(lines)]
                subprocess.run(command, check=True)
                for name, task in TASKS.items():
                    if name == "read" and lines > _IN_MEMORY:
                        continue
                    wall, cpu, peak = measured(task, path, Path(place) / "sorted")
                    row = (suffix, f"{lines:,}", name, f"{wall:.1f}", f"{cpu:.1f}", f"{peak:.0f}")
                    print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
