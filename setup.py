"""Compiles the loops over bytes, and prepares the README for the page of a package index.

Every module is compiled that a `.pxd` file beside it gives types to. An extension that cannot be compiled is left out,
and its module runs as plain Python, slowly: on a machine without a C compiler the installation succeeds all the same.
"""

import re
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


def index_page() -> str:
    """The README for a page where its neighbours are not: without relative images, and of relative links the text."""
    text = Path("README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n*", "", text)
    return re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text)


setup(
    ext_modules=extensions(),
    long_description=index_page(),
    long_description_content_type="text/markdown",
    data_files=[("share/man/man1", ["man/postback-etl.1"])],
    options={"build_ext": {"parallel": 2}},  # each extension takes the compiler many seconds
)
