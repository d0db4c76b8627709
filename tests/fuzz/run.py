"""Fuzz a reader, guided by what each input reaches.

    pip install atheris
    python tests/fuzz/run.py TARGET -runs=1000000

TARGET is a key of `fuzz.targets.TARGETS`; what follows are arguments of libFuzzer. It
stops at the first input that ends in anything but weights, a table or a refusal, that
takes more than 25 seconds, or 256 MB beyond the most a seed took, and writes it to
``crash-...`` in the current folder: name it in ``tests/hostile``, then mend the reader.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import tempfile
import warnings
from contextlib import redirect_stderr
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

_READERS = ["lstm_edge", "zipfile", "pickletools", "json"]

with (
    Path(os.devnull).open("w") as nowhere,
    redirect_stderr(nowhere),  # a line for each module
    atheris.instrument_imports(include=_READERS),
):
    from fuzz.targets import MOST, TARGETS, seeds

warnings.simplefilter("ignore")  # to show one opens the source that it comes from


def main() -> None:
    """Run one target on a fresh corpus."""
    target = sys.argv.pop(1)
    with tempfile.TemporaryDirectory() as corpus:
        for seed in seeds(target):
            TARGETS[target](seed)
            name = hashlib.sha256(seed).hexdigest()
            (Path(corpus) / name).write_bytes(seed)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 + 256
        limits = [f"-max_len={2 * MOST}", "-timeout=25", f"-rss_limit_mb={memory}"]
        atheris.Setup([sys.argv[0], *limits, *sys.argv[1:], corpus], TARGETS[target])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
