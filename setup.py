"""Compiles the loops over bytes, which run as plain Python, and slowly, where there is no compiler."""

from Cython.Build import cythonize
from setuptools import Extension, setup

LOOPS = ("columnar/byte_loops", "columnar/json_tokenizer", "columnar/access_log_parser")
FLAGS = ["-O3", "-finline-limit=2000"]
LEAVE_OUT = ("annotation_typing", "boundscheck", "initializedcheck", "wraparound")

setup(
    ext_modules=cythonize(
        [
            Extension(f"etl.{name.replace('/', '.')}", [f"etl/{name}.py"], extra_compile_args=FLAGS, optional=True)
            for name in LOOPS
        ],
        build_dir="build",
        compiler_directives={"cdivision": True, "language_level": 3, **dict.fromkeys(LEAVE_OUT, False)},
    )
)
