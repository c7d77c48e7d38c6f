"""The functions of the Python API: what the commands do, for programs and notebooks.

Options have the names of the fields of `RunOptions`. A time may be the text `2024-05-01`, a path a text, a ruleset
a name. One input needs no list.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from etl.databases.database_export import export_store
from etl.engines.local_pool import workers
from etl.errors import UsageError
from etl.given_options import (
    Day,
    Inputs,
    check_names,
    day_of,
    given_options,
    laid_out,
    make_request,
    names_of,
    ruleset_of,
    texts_of,
)
from etl.options import InputOptions, Options, RunOptions, Unknown, instant_of
from etl.reports.audit.report import Report, make_report
from etl.reports.display import Rows, Summary
from etl.reports.explain import Explanation
from etl.reports.explain import explain as explain_record
from etl.reports.inspect import inspect_inputs
from etl.reports.reconcile.matching import Tolerance
from etl.reports.reconcile.reconciliation import ReconcileRequest, Reconciliation
from etl.reports.reconcile.reconciliation import reconcile as reconcile_tables
from etl.reports.resend.resends import ResendPlan
from etl.reports.resend.second_sending import SecondSending, write_resends
from etl.reports.what_if import Comparison, compare_rulesets
from etl.rules.ruleset import Ruleset
from etl.runner.run import run_job
from etl.runner.stage_inputs import SILENT, plan_inputs, survey_inputs
from etl.schema import REQUESTS
from etl.sources.planning import plan_splits
from etl.sources.settings import check_zone
from etl.sources.splits import read_split
from etl.sources.storage.inputs import found_inputs
from etl.steps.pipeline import Tables
from etl.steps.pipeline import transform as transform_requests
from etl.warehouse.backfill import backfill as backfill_days
from etl.warehouse.backfill import days_between, fill_template
from etl.warehouse.load import load as load_into
from etl.warehouse.replay import replay as replay_rejections
from etl.warehouse.stores import Period, expand_stores


def run(
    inputs: Inputs,
    out: str | Path,
    *,
    ruleset: str | Ruleset | None = None,
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
    partition_by: str = "none",
    records_per_file: int | None = None,
    tmp: str | Path | None = None,
    max_memory: int | None = None,
    **options: Any,
) -> Summary:
    """Reads logs and dumps and publishes the four tables: what `postback-etl run` does.

    Args:
        inputs: A file, folder, glob or address, or several; `-` is standard input.
        out: The folder, or the address in an object store, that will hold the tables; it is replaced whole, and only
            if this tool wrote it.
        ruleset: The rules, or the name or file of a ruleset; the endpoint's page by default.
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
        partition_by: `day` or `month`: each table has a folder for each day or month of received_at.
        records_per_file: Records whose rows share a file of each table, instead of 50,000: fewer files of many records.
        tmp: Folder of temporary files.
        max_memory: Bytes of memory to use, at least 500 MiB: fewer processes work if they would need more.
        **options: Fields of `Options`: default_currency, account, integration, pii, since, until, statuses.

    Returns:
        The summary of the contract: counts by reason, issues, inputs, and that records balance.

    Raises:
        EtlError: The run failed; what was published before is as it was.
    """
    given = given_options(locals(), "inputs", "out", "partition_by", "records_per_file")
    request = make_request(inputs, given, names_of(RunOptions), out)
    return Summary(run_job(laid_out(request, partition_by, records_per_file)))


def load(
    inputs: Inputs,
    into: str | Path,
    *,
    ruleset: str | Ruleset | None = None,
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
    tmp: str | Path | None = None,
    max_memory: int | None = None,
    reload: bool = False,
    dry_run: bool = False,
    **options: Any,
) -> Summary:
    """Loads logs and dumps into a warehouse, each once: what `postback-etl load` does.

    Args:
        inputs: A file, folder, glob or address, or several; `-` is standard input.
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
        tmp: Folder of temporary files.
        max_memory: Bytes of memory to use, at least 500 MiB: fewer processes work if they would need more.
        reload: Known inputs are read again, by the present rules.
        dry_run: Nothing is written; the report says what would be.
        **options: Fields of `Options`.

    Returns:
        The report: what was done with each input and why, and the counts of what was loaded.

    Raises:
        EtlError: The load failed; the warehouse is as it was.
    """
    given = given_options(locals(), "inputs", "into", "reload", "dry_run")
    request = make_request(inputs, given, names_of(RunOptions))
    return Summary(load_into(request, str(into), is_reload=reload, is_dry_run=dry_run))


def requests(inputs: Inputs, **options: Any) -> Iterator[pl.DataFrame]:
    """Reads the requests of logs and dumps, batch after batch, for `transform`.

    Args:
        inputs: A file, folder, glob or address, or several.
        **options: How they are read: format, log_format, timezone, collect_path, columns, formats, ruleset, unknown.

    Yields:
        Frames of `etl.schema.REQUESTS`. Inputs with the same bytes are read once.

    Raises:
        EtlError: An input cannot be read.
    """
    request = make_request(inputs, options, (*names_of(InputOptions), "ruleset", "unknown"))
    with found_inputs(list(request.inputs), Path(os.devnull)) as (found, _):
        with workers(1, SILENT.advance) as engine:
            plans = plan_inputs(survey_inputs(found, request, SILENT, engine), request)
        for plan in plans.planned:
            if not plan.same_as:
                for split in plan_splits(plan.input, plan.survey, plan.detected, request.reading):
                    yield from (frame for frame, _ in read_split(split))


def audit(
    store: str | Path,
    *,
    answers: Sequence[str] = (),
    ruleset: str | None = None,
    timezone: str = "UTC",
    since: str | date | None = None,
    until: str | date | None = None,
) -> Report:
    """Finds where attribution is lost: what `postback-etl audit` does.

    Args:
        store: A folder that `run` or `export` wrote, or a warehouse.
        answers: Keys of answers, such as `lead_trap`; all by default.
        ruleset: Name or file of the ruleset that the tables were made with; by default the one that they name.
        timezone: IANA name of the zone of days and hours.
        since: Only postbacks received from this time on.
        until: Only postbacks received before this time.

    Raises:
        EtlError: The tables cannot be read, or there is no such answer, zone or ruleset.
    """
    period = Period(instant_of("since", since), instant_of("until", until))
    return make_report(store, ruleset, timezone, tuple(answers), period)


def reconcile(
    store: str | Path,
    export: str | Path,
    *,
    value_tolerance: Decimal | str = "0.01",
    time_tolerance: timedelta = timedelta(minutes=10),
    since: Day | None = None,
    until: Day | None = None,
    **options: Any,
) -> Reconciliation:
    """Compares tables with the export of a network, shop or ad platform: what `postback-etl reconcile` does.

    Args:
        store: A folder that `run` or `export` wrote, or a warehouse.
        export: CSV, Parquet or JSON lines.
        value_tolerance: Largest difference of equal amounts.
        time_tolerance: Largest time between matches without an id.
        since: Compare only days from this day on.
        until: Compare only days before this day.
        **options: Other fields of `ReconcileRequest`: columns, zone, their_zone, layout, currency, account,
            integration, events, our_time.

    Raises:
        EtlError: The tables or the export cannot be read, or they have nothing to compare.
    """
    check_names(options, [one.name for one in fields(ReconcileRequest) if one.name not in ("store", "against")])
    tolerance = Tolerance(Decimal(value_tolerance), time_tolerance)
    first, end = day_of("since", since), day_of("until", until)
    request = ReconcileRequest(store, Path(export), tolerance=tolerance, since=first, until=end, **options)
    return reconcile_tables(request)


def explain(what: str, **options: Any) -> Explanation:
    """Explains rule by rule what one record becomes: what `postback-etl explain` does.

    Args:
        what: A URL, query string, JSON payload or line of a log; `FILE:LINE`; `STORE:CONVERSION_ID`.
        **options: How it is read and judged: format, log_format, timezone, collect_path, columns, formats, ruleset,
            default_currency, account, integration, pii.

    Raises:
        EtlError: The record does not exist or cannot be read.
    """
    known = (*names_of(InputOptions), "ruleset", "default_currency", "account", "integration", "pii")
    request = make_request((), options, known)
    return explain_record(what, request.reading, request.ruleset, request.options)


def inspect(inputs: Inputs, *, full: bool = False, **options: Any) -> Rows:
    """Finds what inputs hold, without writing anything: what `postback-etl inspect` does.

    Args:
        inputs: A file, folder, glob, address or store, or several.
        full: Whether all of each input is read, not only a sample.
        **options: As for `requests`.

    Returns:
        A list of `Inspection`, and of `Failure` for what cannot be read.

    Raises:
        EtlError: An argument names nothing.
    """
    named = expand_stores(texts_of(inputs))
    request = make_request(named, options, (*names_of(InputOptions), "ruleset", "unknown"))
    return Rows(inspect_inputs(request, is_full=full))


def what_if(inputs: Inputs, ruleset: str | Ruleset, other: str | Ruleset | None = None, **options: Any) -> Comparison:
    """Finds which records change under another ruleset: what `postback-etl what-if` does.

    Args:
        inputs: A file, folder, glob, address or store, or several.
        ruleset: The present rules, if `other` is given; else the new rules, which are compared with the page's.
        other: The new rules.
        **options: Fields of `RunOptions`.

    Raises:
        EtlError: The inputs cannot be read, or the two rulesets are the same.
    """
    rulesets = (ruleset_of(ruleset), ruleset_of(other)) if other is not None else (Ruleset(), ruleset_of(ruleset))
    if rulesets[0].digest == rulesets[1].digest:
        raise UsageError(f"{rulesets[0].name} and {rulesets[1].name} are the same rules.", "Name two that differ.")
    with tempfile.TemporaryDirectory(prefix="postback-etl-") as folder:
        request = make_request(expand_stores(texts_of(inputs)), options, names_of(RunOptions), folder)
        return compare_rulesets(request, rulesets)


def resend(
    inputs: Inputs,
    out: str | Path,
    findings: Sequence[str],
    *,
    form: str | None = None,
    base_url: str = "https://example.com",
    now: Day | None = None,
    without_id: bool = False,
    **options: Any,
) -> ResendPlan:
    """Writes what was lost as the postbacks that it should have been, unsent: what `postback-etl resend` does.

    Args:
        inputs: A store; or a file, folder, glob or address, or several, which are run first.
        out: The file to write.
        findings: What was lost, such as `lead_trap`.
        form: `urls`, `jsonl`, `curl` or `csv`; by default the suffix of the file decides.
        base_url: Where the postbacks would be sent.
        now: When they would be sent; now by default.
        without_id: Also write what a second sending would count twice.
        **options: Fields of `RunOptions`; `account`, `integration`, `since` and `until` choose what is written.

    Raises:
        EtlError: There is no such finding, the inputs cannot be read, or the file cannot be written.
    """
    sending = SecondSending(tuple(findings), Path(out), form, base_url, instant_of("now", now), without_id)
    return write_resends(make_request(inputs, options, names_of(RunOptions)), sending)


def replay(into: str | Path, ruleset: str | Ruleset, *, reasons: Sequence[str] = (), dry_run: bool = False) -> Summary:
    """Judges a warehouse's rejections again, by other rules: what `postback-etl replay` does.

    Args:
        into: The warehouse.
        ruleset: The rules.
        reasons: Only rejections with these reasons.
        dry_run: Nothing is written; the report says what would be.

    Returns:
        The report of `warehouse.replay.replay`.

    Raises:
        EtlError: It failed; the warehouse is as it was.
    """
    return Summary(replay_rejections(str(into), ruleset_of(ruleset), tuple(reasons), is_dry_run=dry_run))


def export(
    store: str | Path, to: str | Path, *, since: Day | None = None, until: Day | None = None, schema: str | None = None
) -> Rows:
    """Writes tables into a database, or the changed days of a warehouse: what `postback-etl export` does.

    Args:
        store: A folder that `run` or `export` wrote, or a warehouse.
        to: `duckdb:FILE`, `postgresql://USER@HOST/DATABASE`, or the folder of an earlier export or a new folder.
        since: Only days from this day on.
        until: Only days before this day.
        schema: Schema of PostgreSQL; `postback_etl` by default.

    Returns:
        What was written, a row a table.

    Raises:
        EtlError: It failed; the destination is as it was.
    """
    return Rows(export_store(str(store), str(to), (day_of("since", since), day_of("until", until)), schema))


def backfill(
    template: str,
    into: str | Path,
    first: Day,
    last: Day,
    *,
    day_zone: str = "UTC",
    reload: bool = False,
    **options: Any,
) -> Rows:
    """Loads many days into a warehouse, each day as a load of its own: what `postback-etl backfill` does.

    Args:
        template: The inputs of a day, such as `logs/{date:%Y-%m-%d}/*.gz`.
        into: The warehouse.
        first: The first day.
        last: The last day.
        day_zone: IANA name of the zone whose days these are.
        reload: Known inputs are read again, by the present rules.
        **options: Fields of `RunOptions`.

    Returns:
        A list of `DayReport`; a failed day has an `error`, and does not stop later days.

    Raises:
        EtlError: The template has no date, or an option is wrong.
    """
    check_zone("day_zone", day_zone)
    began = day_of("first", first)
    fill_template(template, began, ZoneInfo("UTC"))
    make_request((), options, names_of(RunOptions))

    def load_day(argument: str) -> dict[str, Any]:
        return load_into(make_request(argument, options, names_of(RunOptions)), str(into), is_reload=reload)

    return Rows(backfill_days(template, days_between(began, day_of("last", last)), ZoneInfo(day_zone), load_day))


def transform(requests: pl.DataFrame, ruleset: str | Ruleset | None = None, options: Options | None = None) -> Tables:
    """Turns requests into the four tables; a whole gives what its parts give, joined.

    Args:
        requests: Rows of `etl.schema.REQUESTS`, such as `etl.requests` yields.
        ruleset: The rules, or the name or file of a ruleset; the endpoint's page by default.
        options: What is left out, defaulted and hidden.

    Returns:
        The tables, and counts of what is in none of them; see `Tables`. Duplicates stay: a batch does not know the
        others.

    Raises:
        UsageError: A column is missing, or has another type.
    """
    found = requests.schema
    wrong = next((name for name, dtype in REQUESTS.schema.items() if found.get(name) != dtype), None)
    if wrong is not None:
        given = f"has the type {found[wrong]}" if wrong in found else "is missing"
        raise UsageError(f"The column {wrong!r} {given}.", "Give a frame of etl.schema.REQUESTS.")
    return transform_requests(requests, ruleset_of(ruleset) if ruleset else Ruleset(), options or Options())
