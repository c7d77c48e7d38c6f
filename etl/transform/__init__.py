"""Transforms requests into tables; each module is one step.

The package has the name of a function of the Python API. Python sets `etl.transform` to the package when it imports a
module of it, so the package itself can be called: `etl.transform(requests)` is `pipeline.transform(requests)`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """A package that passes calls on to its pipeline."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from etl.transform.pipeline import transform

        return transform(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
