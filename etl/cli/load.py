"""`load`: loads inputs into a warehouse, each once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from etl.cli import engines, limits, messages, options, terminal
from etl.cli.expectation import Expect, Expectation, ExpectFail
from etl.cli.summary import balance
from etl.errors import plural

#: What a load that exceeds a limit has done.
LOADED: Final = "The warehouse holds the loaded rows nevertheless."
Into = Annotated[str, typer.Option(metavar="WAREHOUSE", help="Folder or s3:// address of the warehouse.")]


@options.with_options(*options.RUN)
def load(
    inputs: options.Inputs,
    into: Into,
    dry_run: options.DryRun = False,
    reload: Annotated[bool, typer.Option("--reload", help="Read known inputs again, by the present rules.")] = False,
    *,
    typed: options.Typed,
    max_rejected: limits.MaxRejected = None,
    max_unread: limits.MaxUnread = "0",
    expect: Expect = None,
    expect_fail: ExpectFail = False,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as JSON; - is standard output.")
    ] = None,
    engine: engines.Engine = engines.EngineName.LOCAL,
    spark_master: engines.SparkMaster = None,
    spark_remote: engines.SparkRemote = None,
    metrics: options.Metrics = None,
    openlineage: options.OpenLineage = None,
    events: options.Events = options.EventsMode.TEXT,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Load logs or dumps into a warehouse, each once, even after a killed or repeated load."""
    from etl.cli.run_context import Telling, watched
    from etl.cli.summary import write_summary
    from etl.warehouse.load import load as load_into

    with (
        watched("load", into, Telling(quiet, metrics, openlineage, dry_run)) as watch,
        engines.working_on(engine, spark_master, spark_remote) as on_engine,
    ):
        allowed = limits.Limits.of(max_rejected, max_unread)
        expectation = Expectation.of(expect, is_required=expect_fail)
        request = on_engine(typed.request(inputs, Path()))
        with watch.at_work() as progress:
            watch.outcome = report = load_into(request, into, is_reload=reload, is_dry_run=dry_run, progress=progress)
        is_too_little = expectation.check(into, report)
        if dry_run:
            for item in report["inputs"]:
                terminal.write_line(_line(item))
            for need in report["disk"]:
                terminal.write_line(f"needs {need['needs']}")
        options.warn_of_memory(report, request.max_memory)
        if summary is not None:
            write_summary(report, summary)
        _say(report, is_quiet=quiet or dry_run)
        judged = report["records"] - report["skipped"]
        allowed.enforce(report["rejections"], judged, report["inputs"], LOADED)
        if is_too_little:
            raise typer.Exit(3)


def _say(report: dict[str, Any], *, is_quiet: bool) -> None:
    for item in report["inputs"]:
        messages.say("input", **item)
    counts = {name: value for name, value in report.items() if name != "inputs"}
    messages.say("done", *([] if is_quiet else _shown(report)), **counts)


def _line(item: dict[str, Any]) -> str:
    piped = f", {plural(item['bytes'], 'byte')} through a pipe" if item.get("is_spooled") else ""
    return f"{item['action']:<6}  {item['path']}: {item['why']}{piped}"


def _shown(report: dict[str, Any]) -> list[str]:
    """Lists what was done with each input, and the counts."""
    many = len(report["inputs"]) - 20
    lines = [_line(item) for item in report["inputs"][:20]] + (
        [f"and {plural(many, 'more input')}"] if many > 0 else []
    )
    lines.append(balance(report["records"], report["conversions"], report["rejections"], report["skipped"]))
    if report["demoted"] or report["promoted"]:
        lines.append(
            f"  of earlier rows, {report['demoted']:,} now a duplicate and {report['promoted']:,} now a conversion"
        )
    return lines
