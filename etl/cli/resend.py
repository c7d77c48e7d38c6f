"""The command `resend`: writes what was lost or misread as the postbacks that it should have been."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from etl.cli import options

_OPTIONS = (*options.READING, "default_currency", "pii", "since", "until", "ruleset", "unknown", "min_matched", "jobs")


@options.with_options(*_OPTIONS)
def resend(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="One folder of tables or warehouse; or logs, which are run first."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")],
    finding: Annotated[
        list[str] | None,
        typer.Option("--finding", metavar="NAME", help="What was lost, such as lead_trap; repeatable."),
    ] = None,
    account: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this account; payloads without a path count as its.")
    ] = None,
    integration: Annotated[
        str | None, typer.Option(metavar="SLUG", help="Only this integration; payloads without a path count as its.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--as", metavar="FORMAT", help="urls, jsonl, curl or csv; by default the suffix of FILE decides."),
    ] = None,
    base_url: Annotated[
        str, typer.Option(metavar="URL", help="Where the postbacks would be sent.")
    ] = "https://example.com",
    without_id: Annotated[
        bool, typer.Option("--without-id", help="Also write what a second sending would count twice.")
    ] = False,
    now: Annotated[str | None, typer.Option(metavar="TIME", help="When they would be sent; by default now.")] = None,
    *,
    typed: options.Typed,
    as_json: options.AsJson = False,
    events: options.Events = options.EventsMode.TEXT,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write what was lost or misread as the postbacks that it should have been; nothing is sent.

    Each postback is read again from its input and corrected. What a second sending would harm is refused, by reason.
    """
    from etl.cli import terminal
    from etl.cli.progress import report_progress
    from etl.errors import InterruptedRunError
    from etl.options import instant_of
    from etl.reports.resend.second_sending import SecondSending, write_resends

    request = options.Typed(typed.texts | {"account": account, "integration": integration}).request(inputs, out)
    sending = SecondSending(finding or (), out, form, base_url, instant_of("--now", now), without_id)
    try:
        with report_progress(is_quiet=quiet) as progress:
            plan = write_resends(request, sending, progress)
    except KeyboardInterrupt as error:  # polars raises it in spite of the handler
        raise InterruptedRunError from error
    if as_json:
        terminal.write_json(plan.as_data())
    elif not quiet:
        for title, facts in _sections(plan.as_data()):
            terminal.print_facts(title, facts, {}, 22)
        terminal.write_line(f"written to {out}; nothing was sent")


def _sections(plan: dict[str, Any]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yields the sections of a report, each a title, and names with texts: balance, what is sent, what is refused."""
    from etl.reports.resend.resend_drafts import REFUSALS

    refused = plan["refused"]
    balance = [
        (name, f"{one['findings']:,} = {one['resent']:,} resent + {one['refused']:,} refused")
        for name, one in plan["by_finding"].items()
    ]
    whole = f"{plan['findings']:,} findings = {plan['resent']:,} resent + {refused['total']:,} refused"
    yield whole, balance + [("note", note) for note in plan["notes"]]
    if plan["resent"]:
        money = [
            (event, ", ".join(f"{currency or 'no currency'} {amount}" for currency, amount in sums.items()))
            for event, sums in plan["value_by_event"].items()
        ]
        taken = ", ".join(f"{platform} {count:,}" for platform, count in plan["still_taken_by"].items())
        doubtful = plan["resent_without_id"]
        yield (
            "resent",
            [
                *money,
                ("still taken by", taken),
                *([("may count twice", f"{doubtful:,}, without a transaction_id")] if doubtful else []),
            ],
        )
    if refused["total"]:
        yield (
            "refused",
            [
                (row.code, f"{count:,}. {'. '.join(filter(None, (row.meaning, row.way_out)))}.")
                for row in REFUSALS
                if (count := refused["by_reason"].get(row.code))
            ],
        )
