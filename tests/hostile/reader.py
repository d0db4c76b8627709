"""Reads files with little memory and time, and tells what became of each.

A program: paths come in, a line each; a line of JSON goes out for each.
"""

from __future__ import annotations

import json
import signal
import sys
import tracemalloc
from pathlib import Path

from lstm_edge import as_weights

SECONDS = 60
"""In which a file is read, or the process ends: a hundred times what it takes."""

MEMORY = 2**29
"""Bytes beyond what the process has when it begins, at which it has no more."""


def main() -> None:
    as_weights(sys.argv[1])  # whatever is loaded late is loaded
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for line in sys.stdin:
        name = json.loads(line)
        signal.alarm(SECONDS)
        tracemalloc.start()
        try:
            as_weights(name)
            found = ["", ""]
        except Exception as error:
            found = [type(error).__name__, str(error)]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        signal.alarm(0)
        sys.stdout.write(json.dumps([*found, peak]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
