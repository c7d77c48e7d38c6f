"""Conversion postbacks in access logs and webhook dumps, as four tables that people can trust.

The same code path as the command::

    import etl

    summary = etl.run(["logs/"], "tables", default_currency="EUR")
    tables = etl.transform(requests)   # a frame of etl.schema.REQUESTS
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # checkers of types know the name; importing `typing` would delay the handlers of signals
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from etl.errors import EtlError
    from etl.options import Options, Unknown
    from etl.rules.ruleset import Ruleset
    from etl.rules.ruleset_file import parse_ruleset
    from etl.rules.vendors import shipped_ruleset
    from etl.runner.stage_inputs import RunRequest
    from etl.steps.pipeline import Tables, transform
    from etl.warehouse.snapshots import scan

    __version__: str

__all__ = [
    "EtlError",
    "Options",
    "Ruleset",
    "Tables",
    "__version__",
    "load",
    "parse_ruleset",
    "run",
    "scan",
    "schema",
    "shipped_ruleset",
    "transform",
]

#: Where each name comes from. It is imported when it is first asked for, so that `--help` need not wait for polars.
_HOMES = {
    "EtlError": "etl.errors",
    "Options": "etl.options",
    "Ruleset": "etl.rules.ruleset",
    "Tables": "etl.steps.pipeline",
    "parse_ruleset": "etl.rules.ruleset_file",
    "scan": "etl.warehouse.snapshots",
    "shipped_ruleset": "etl.rules.vendors",
    "transform": "etl.steps.pipeline",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name == "schema":
        return import_module("etl.schema")
    if name == "__version__":  # pyproject.toml says it, and the installation has it from there
        return import_module("importlib.metadata").version("postback-etl")
    raise AttributeError(f"module 'etl' has no attribute {name!r}")


def run(
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    ruleset: Ruleset | None = None,
    jobs: int = 1,
    format: str = "auto",  # noqa: A002 - the option's name
    log_format: str | None = None,
    max_record_bytes: int | None = None,
    timezone: str = "UTC",
    collect_path: str | None = None,
    columns: Mapping[str, str] | None = None,
    formats: str | Path | None = None,
    unknown: Unknown | None = None,
    min_matched: float | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Reads logs and dumps and publishes the four tables: what `postback-etl run` does.

    Args:
        inputs: Files, folders, globs, or `-` for standard input.
        out: The folder that will hold the tables; it is replaced whole, and only if this tool wrote it.
        ruleset: The rules; the endpoint's page by default.
        jobs: Processes to work in. More than one needs the caller's module to be importable, as for any `spawn`.
        format: A format's name, or `auto`.
        log_format: An nginx `log_format` or Apache `LogFormat`.
        max_record_bytes: Longer records are rejected.
        timezone: IANA name of the zone of times that say none.
        collect_path: The path of postbacks, instead of the ruleset's; it may leave out account and integration.
        columns: What columns of tables and keys of JSON hold: `{"payload": "body", "received_at": "created"}`.
        formats: A TOML file with formats of one's own.
        unknown: What happens if an input is in no known format: `skip` or `fail`. By default `fail` for an input that
            is named, `skip` for one that is found in a folder.
        min_matched: Least share of an input's records that must be in its format, from 0 to 1.
        **options: Fields of `Options`: default_currency, account, integration, pii, since, until, statuses.

    Returns:
        The summary of the contract: counts by reason, issues, inputs, and that records balance.

    Raises:
        EtlError: The run failed; what was published before is as it was.
    """
    from etl.runner.run import run_job

    return run_job(
        _run_request(
            inputs,
            out,
            ruleset=ruleset,
            jobs=jobs,
            format=format,
            log_format=log_format,
            max_record_bytes=max_record_bytes,
            timezone=timezone,
            collect_path=collect_path,
            columns=columns,
            formats=None if formats is None else str(formats),
            unknown=unknown,
            min_matched=min_matched,
            **options,
        )
    )


def load(
    inputs: Sequence[str | Path],
    into: str | Path,
    *,
    ruleset: Ruleset | None = None,
    jobs: int = 1,
    format: str = "auto",  # noqa: A002 - the option's name
    log_format: str | None = None,
    max_record_bytes: int | None = None,
    timezone: str = "UTC",
    collect_path: str | None = None,
    columns: Mapping[str, str] | None = None,
    formats: str | Path | None = None,
    unknown: Unknown | None = None,
    min_matched: float | None = None,
    reload: bool = False,
    dry_run: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Loads logs and dumps into a warehouse, each once: what `postback-etl load` does.

    Args:
        inputs: Files, folders, globs, or `-` for standard input.
        into: The warehouse: a folder or an address of an object store.
        ruleset: As for `run`, and so are the others.
        jobs: Processes to work in.
        format: A format's name, or `auto`.
        log_format: An nginx `log_format` or Apache `LogFormat`.
        max_record_bytes: Longer records are rejected.
        timezone: IANA name of the zone of times that say none.
        collect_path: The path of postbacks, instead of the ruleset's; it may leave out account and integration.
        columns: What columns of tables and keys of JSON hold.
        formats: A TOML file with formats of one's own.
        unknown: What happens if an input is in no known format: `skip` or `fail`. By default `fail` for an input that
            is named, `skip` for one that is found in a folder.
        min_matched: Least share of an input's records that must be in its format, from 0 to 1.
        reload: Known inputs are read again, by the present rules.
        dry_run: Nothing is written; the report says what would be.
        **options: Fields of `Options`.

    Returns:
        The report: what was done with each input and why, and the counts of what was loaded.

    Raises:
        EtlError: The load failed; the warehouse is as it was.
    """
    from etl.warehouse.load import load as load_into

    request = _run_request(
        inputs,
        "",
        ruleset=ruleset,
        jobs=jobs,
        format=format,
        log_format=log_format,
        max_record_bytes=max_record_bytes,
        timezone=timezone,
        collect_path=collect_path,
        columns=columns,
        formats=None if formats is None else str(formats),
        unknown=unknown,
        min_matched=min_matched,
        **options,
    )
    return load_into(request, str(into), is_reload=reload, is_dry_run=dry_run)


def _run_request(inputs: Sequence[str | Path], out: str | Path, **options: Any) -> RunRequest:
    """The options that are not None, as fields of `RunOptions`, on this machine's processes."""
    from pathlib import Path

    from etl.engines.local_pool import workers
    from etl.options import RunOptions
    from etl.runner.stage_inputs import run_request

    given = {name: value for name, value in options.items() if value is not None}
    return run_request([str(item) for item in inputs], Path(out), RunOptions(**given), workers)
