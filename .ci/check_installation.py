"""Installs an archive or a wheel where no C compiler works, and has it do the job of `make run`.

`python .ci/check_installation.py FILE uncompiled` runs in the environment of the checkout and compares the tables with
those of the checkout. The environment that it makes holds the runtime alone, and is removed.
"""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAMPLES = [str(ROOT / "sample_data" / name) for name in ("access.log.gz", "webhooks.jsonl")]
OPTIONS = ["--account", "acme-7Qx2", "--integration", "shop-checkout", "--default-currency", "EUR"]

#: No compiler, whatever the machine has, and no way to import what stands in the checkout.
ALONE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
ALONE |= dict.fromkeys(("CC", "CXX"), "no-compiler-here")
IN_CHECKOUT = {**os.environ, "PYTHONPATH": str(ROOT)}


def run(*command: object, cwd: Path, environment: dict[str, str] = ALONE) -> str:
    """Runs a command, and gives what it wrote to standard error.

    Raises:
        SystemExit: It failed.
    """
    words = [str(word) for word in command]
    finished = subprocess.run(words, check=False, cwd=cwd, env=environment, stderr=subprocess.PIPE, text=True)
    if finished.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{finished.stderr}")
    return finished.stderr


def tables(python: object, out: Path, environment: dict[str, str]) -> list[str]:
    """Has an environment's command write the tables; gives the lines that say it is slow."""
    lines = run(
        python, "-m", "etl", "run", *SAMPLES, "--out", out, *OPTIONS, cwd=out.parent, environment=environment
    ).splitlines()
    return [line for line in lines if "slower" in line]


def differences(expected: Path, written: Path) -> list[str]:
    """The files of two folders that are not the same bytes in both."""
    names = {str(path.relative_to(top)) for top in (expected, written) for path in top.rglob("*") if path.is_file()}
    _, different, missing = filecmp.cmpfiles(expected, written, sorted(names), shallow=False)
    return different + missing


def check(file: Path, *, is_compiled: bool, python: str = sys.executable) -> None:
    """Installs a file into a clean environment and looks at what it does there.

    Raises:
        SystemExit: It does not do what it should.
    """
    with tempfile.TemporaryDirectory(prefix="postback-etl-") as folder:
        top = Path(folder)
        run(python, "-m", "venv", top / "venv", cwd=top)
        clean = top / "venv" / "bin" / "python"
        install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile")
        run(clean, *install, "--constraint", ROOT / "constraints.txt", file, cwd=top)
        if tables(sys.executable, top / "expected", IN_CHECKOUT):
            raise SystemExit("The checkout's own loops are not compiled, so there is nothing to compare with.")
        warnings = tables(clean, top / "written", ALONE)
        if len(warnings) != (0 if is_compiled else 1):
            raise SystemExit(f"{file.name}: said {len(warnings)} times that it is slow: {warnings}")
        if different := differences(top / "expected", top / "written"):
            raise SystemExit(f"{file.name}: other bytes than the checkout writes: {', '.join(different)}")
    print(f"{file.name}: installed without a compiler, {'compiled' if is_compiled else 'slow'}, and the same tables")


if __name__ == "__main__":
    check(Path(sys.argv[1]).resolve(), is_compiled=sys.argv[2] != "uncompiled")
