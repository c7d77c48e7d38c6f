"""Compiles the loops over bytes: every module that a `.pxd` file beside it gives types to.

An extension that cannot be compiled is left out, and its module runs as plain Python, slowly: on a machine without a C
compiler the installation succeeds all the same.
"""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

FLAGS = ["-O3", "-finline-limit=2000"]
LEAVE_OUT = ("annotation_typing", "boundscheck", "initializedcheck", "wraparound")


def extensions() -> list[Extension]:
    """The extensions, each optional; `cythonize` makes new ones and drops that, so it is set on what it returns."""
    sources = sorted(path.with_suffix(".py") for path in Path("etl").rglob("*.pxd"))
    made = cythonize(
        [Extension(".".join(path.with_suffix("").parts), [str(path)], extra_compile_args=FLAGS) for path in sources],
        build_dir="build",
        compiler_directives={"cdivision": True, "language_level": 3, **dict.fromkeys(LEAVE_OUT, False)},
    )
    for extension in made:
        extension.optional = True
    return made


setup(ext_modules=extensions())
