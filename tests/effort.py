"""How much the tests try: `make thorough` draws all random input and runs every test, `make test` a part of both.

Each test that `make test` leaves out or draws less for has a shorter one beside it, or fewer draws of the same kind.
"""

from __future__ import annotations

import os

import pytest

IS_THOROUGH = "THOROUGH" in os.environ

# As many threads as cores in each of two processes take an eighth more processor time: one of `make thorough` has them.
if not IS_THOROUGH or os.environ.get("PYTEST_XDIST_WORKER") == "gw0":
    os.environ.setdefault("POLARS_MAX_THREADS", "1")

#: A test, or one of its parameters, that only `make thorough` runs.
thorough = pytest.mark.thorough


def draws(quick: int, thorough: int) -> int:
    """How many examples a test draws."""
    return thorough if IS_THOROUGH else quick
