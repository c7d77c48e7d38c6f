"""Conversion postbacks in access logs and webhook dumps, as four tables that people can trust.

The same code path as the command::

    import etl

    summary = etl.run("logs/", "tables", default_currency="EUR")
    report = etl.audit("tables", since="2024-05-01")
    for batch in etl.requests("logs/"):
        tables = etl.transform(batch)
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # checkers of types know the name; importing `typing` would delay the handlers of signals
if TYPE_CHECKING:
    from typing import Any

    from etl.api import (
        audit,
        backfill,
        explain,
        export,
        inspect,
        load,
        reconcile,
        replay,
        requests,
        resend,
        run,
        transform,
        what_if,
    )
    from etl.errors import EtlError
    from etl.options import Options
    from etl.rules.ruleset import Ruleset
    from etl.rules.ruleset_file import parse_ruleset
    from etl.rules.vendors import shipped_ruleset
    from etl.steps.pipeline import Tables
    from etl.warehouse.snapshots import scan

    __version__: str

__all__ = [
    "EtlError",
    "Options",
    "Ruleset",
    "Tables",
    "__version__",
    "audit",
    "backfill",
    "explain",
    "export",
    "inspect",
    "load",
    "parse_ruleset",
    "reconcile",
    "replay",
    "requests",
    "resend",
    "run",
    "scan",
    "schema",
    "shipped_ruleset",
    "transform",
    "what_if",
]

#: Where each name comes from, if not from `etl.api`. A name is imported when it is first asked for, so that `--help`
#: need not wait for polars.
_HOMES = {
    "EtlError": "etl.errors",
    "Options": "etl.options",
    "Ruleset": "etl.rules.ruleset",
    "Tables": "etl.steps.pipeline",
    "parse_ruleset": "etl.rules.ruleset_file",
    "scan": "etl.warehouse.snapshots",
    "shipped_ruleset": "etl.rules.vendors",
}


def __getattr__(name: str) -> Any:
    if name in ("schema", "spark"):
        return import_module(f"etl.{name}")
    if name == "__version__":  # pyproject.toml says it, and the installation has it from there
        return import_module("importlib.metadata").version("postback-etl")
    if name in __all__:
        return getattr(import_module(_HOMES.get(name, "etl.api")), name)
    raise AttributeError(f"module 'etl' has no attribute {name!r}")
