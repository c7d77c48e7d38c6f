"""`make sanitize`: the compiled loops with checks of all bounds, under the tests that try them most.

A copy of the package in build/sanitize has its loops compiled with Cython's own checks of every index, and with the
AddressSanitizer and the UndefinedBehaviorSanitizer of gcc for what these checks do not see. The normal loops stay.
An index out of bounds ends the tests: as an exception, or with the sanitizer's report. That it does is tried first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BUILT: Final = ROOT / "build" / "sanitize"

FLAGS: Final = ("-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
#: As in setup.py, but with the checks; an index below 0 stays an error.
DIRECTIVES: Final = {
    "language_level": 3,
    "cdivision": True,
    "annotation_typing": False,
    "boundscheck": True,
    "initializedcheck": True,
    "wraparound": False,
}

#: Reads of a byte that the tests must not survive: one that Cython checks, and one that only the sanitizer sees.
PLANTED: Final = {
    "planted.py": """
import cython
import numpy as np

def _read(buffer: memoryview, place: int) -> int:
    return buffer[place]

@cython.boundscheck(False)
def _read_unchecked(buffer: memoryview, place: int) -> int:
    return buffer[place]

def read(buffer: memoryview, place: int) -> int:
    return _read(buffer, place)

def read_unchecked(buffer: memoryview, place: int) -> int:
    return _read_unchecked(buffer, place)
""",
    "planted.pxd": """
cdef int _read(const unsigned char[::1] buffer, Py_ssize_t place) noexcept
cdef int _read_unchecked(const unsigned char[::1] buffer, Py_ssize_t place) noexcept
cpdef read(const unsigned char[::1] buffer, Py_ssize_t place)
cpdef read_unchecked(const unsigned char[::1] buffer, Py_ssize_t place)
""",
}

#: What each process begins with: an exception in a function that cannot raise is only printed, but here it ends the
#: process.
BEGIN: Final = f"""
import os, sys
sys.path.insert(0, {str(BUILT)!r})
def end(unraisable):
    sys.__unraisablehook__(unraisable)
    os._exit(3)
sys.unraisablehook = end
"""
READ: Final = "import numpy, planted; planted.{}(numpy.zeros(64, numpy.uint8).data, {})"

#: What tries the loops most: the tests that bind them to plain Python and to the exact ways, and the fuzzer.
TESTS: Final = ("loops", "json_batches", "access_logs", "text_hash", "vectors")
FUZZ: Final = ("--jobs", "1", "--seed", "1", "--count", "60", "--kinds", "loops,texts")


def build() -> None:
    """Copies the package and compiles its loops with all checks."""
    from Cython.Build import cythonize
    from setuptools import Extension, setup

    shutil.rmtree(BUILT, ignore_errors=True)
    shutil.copytree(ROOT / "etl", BUILT / "etl", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name, text in {**PLANTED, "sitecustomize.py": BEGIN}.items():
        (BUILT / name).write_text(text, encoding="utf-8")
    os.chdir(BUILT)
    extensions = [
        Extension(
            ".".join(path.with_suffix("").parts),
            [str(path.with_suffix(".py"))],
            extra_compile_args=[*FLAGS],
            extra_link_args=[*FLAGS],
        )
        for path in sorted(path.relative_to(BUILT) for path in BUILT.rglob("*.pxd"))
    ]
    made = cythonize(extensions, build_dir="c", compiler_directives=DIRECTIVES, quiet=True)
    setup(name="sanitized", ext_modules=made, script_args=["--quiet", "build_ext", "--inplace", "--parallel=2"])
    os.chdir(ROOT)


def environment() -> dict[str, str]:
    """The environment in which Python finds that package, and the sanitizer all memory that is taken."""
    library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, check=True, text=True)
    return {
        **os.environ,
        "LD_PRELOAD": library.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONPATH": f"{BUILT}{os.pathsep}{ROOT}",
        "PYTHONMALLOC": "malloc",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "POLARS_MAX_THREADS": "1",
        "FUZZ_PATIENCE": "10",
    }


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Runs a text of Python in that environment."""
    return subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, check=False, text=True)


def check_planted() -> None:
    """Reads out of bounds are found; the same reads within bounds are none."""
    for function, place, said in (
        ("read", 63, ""),
        ("read_unchecked", 63, ""),
        ("read", 64, "IndexError"),
        ("read", -1, "IndexError"),
        ("read_unchecked", 64, "heap-buffer-overflow"),
        ("read_unchecked", -1, "heap-buffer-overflow"),
    ):
        ended = run(READ.format(function, place))
        if bool(ended.returncode) != bool(said) or said not in ended.stderr:
            sys.exit(f"planted.{function} at byte {place} of 64 ended with {ended.returncode}:\n{ended.stderr}")


def main() -> None:
    """Builds, tries planted reads, then the tests, what the fuzzer found, and the fuzzer."""
    build()
    check_planted()
    begin = BEGIN + "import etl.columnar.byte_loops as loops; assert 'sanitize' in loops.__file__, loops.__file__\n"
    tests = [str(ROOT / "tests" / f"test_{name}.py") for name in TESTS]
    tests.append(str(ROOT / "tests" / "test_fuzz.py::test_what_was_found_stays_mended"))
    pytest = begin + f"import pytest; sys.exit(pytest.main(['-p', 'no:cacheprovider', *{tests}]))"
    fuzz = begin + "from tests.fuzz.workers import main; sys.exit(main())"
    for code, words in ((pytest, ()), (fuzz, FUZZ)):
        ended = subprocess.run([sys.executable, "-c", code, *words], env=environment(), check=False, cwd=ROOT)
        if ended.returncode:
            sys.exit(f"The loops, or what tries them, failed in the build with checks: exit code {ended.returncode}.")


if __name__ == "__main__":
    main()
