"""The rows of `loads`: what each input was, by what rules it was read, and how many rows it brought."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson
import polars as pl

from etl.errors import AccountingError, UsageError
from etl.runner.stage_inputs import Planned, RunRequest
from etl.runner.tasks import Report, Task
from etl.sources.reread import as_text, describe_origin
from etl.warehouse.file_writer import Counts, Part, counts_of_parts
from etl.warehouse.load_decisions import Decision
from etl.warehouse.snapshots import Warehouse, viewed
from etl.warehouse.table_layout import LOADS, prefix_of

#: Tables whose rows an input brings; the rest of what is counted are reasons of rejections.
_BROUGHT: Final = ("conversions", "items", "passthroughs")


class Run(NamedTuple):
    """A load: its name, and what it was asked."""

    run_id: str
    request: RunRequest


def rules_digest(request: RunRequest) -> str:
    """The digest of all that decides what an input's records become."""
    options, reading = request.options, request.reading
    parts = [
        *(request.ruleset.digest, options.default_currency, options.account, options.integration, options.pii),
        *(options.since, options.until, [(span.start, span.stop) for span in options.statuses]),
        *(reading.format, reading.log_format, reading.settings.timezone, sorted(reading.settings.columns)),
        *(repr(reading.settings.formats), reading.max_record_bytes),
    ]
    return hashlib.sha256(orjson.dumps(parts, default=str)).hexdigest()


def new_entries(
    run: Run,
    read: list[Decision],
    planned: list[Planned],
    transformed: tuple[list[Task], list[Report]],
    parts: list[Part],
) -> pl.DataFrame:
    """Rows of `loads` of what was read, after the proof that all records of each input are accounted for.

    Raises:
        AccountingError: They are not.
    """
    records: Counter[str] = Counter()
    skipped: dict[str, Counter[str]] = {}
    for task, report in zip(*transformed, strict=True):
        records[task.split.source_digest] += report.records
        skipped[task.split.source_digest] = skipped.get(task.split.source_digest, Counter()) + report.skipped
    counts = counts_of_parts(parts)
    now = datetime.now(UTC)
    rows = []
    for decision, plan in zip(read, planned, strict=True):
        found = counts.get(prefix_of(decision.digest), Counts(Counter(), None, None))
        passed = skipped.get(decision.digest, Counter())
        rejected = Counter({reason: n for reason, n in found.rows.items() if reason not in _BROUGHT})
        if records[decision.digest] != found.rows["conversions"] + rejected.total() + passed.total():
            raise AccountingError(
                f"{plan.input.source} has {records[decision.digest]} records, but not as many are accounted for.",
                "Report this with the input.",
            )
        rows.append(
            {
                "digest": decision.digest,
                "source": decision.names[0],
                "names": list(decision.names),
                "format": plan.detected.row.name,
                "bytes": plan.survey.plain_bytes,
                "records": records[decision.digest],
                **{name: found.rows[name] for name in _BROUGHT},
                "rejections": as_counts(rejected),
                "skipped": as_counts(passed),
                "ruleset": run.request.ruleset.name,
                "ruleset_digest": run.request.ruleset.digest,
                "rules_digest": rules_digest(run.request),
                "run_id": run.run_id,
                "loaded_at": now,
                "first_received_at": found.first,
                "last_received_at": found.last,
                "grew_from": sorted(decision.grew_from),
                "ladder": plan.survey.ladder,
                "reading": _reading(plan, run.request),
                "replays": [],
            }
        )
    return pl.DataFrame(rows, schema=LOADS.schema)


def _reading(plan: Planned, request: RunRequest) -> str:
    """What the records of an input need to be read and judged again."""
    origin = describe_origin(plan.detected, request.reading, plan.survey.samples[0])
    options = {name: getattr(request.options, name) for name in ("default_currency", "account", "integration", "pii")}
    return as_text({**origin, "options": options})


def as_counts(counts: Counter[str]) -> list[dict[str, Any]]:
    """Counts by reason, as `loads` has them."""
    return [{"reason": reason, "count": count} for reason, count in sorted(counts.items())]


def seen_entries(known: pl.DataFrame, seen: list[Decision]) -> pl.DataFrame:
    """Rows of `loads` of inputs that are known, with the names under which they were seen now."""
    rows = {row["digest"]: row for row in known.iter_rows(named=True)}
    changed = [
        {
            **rows[one.digest],
            "source": one.names[0],
            "names": list(one.names),
            "grew_from": sorted(one.grew_from),
        }
        for one in seen
    ]
    return pl.DataFrame(changed, schema=LOADS.schema)


def listed(address: str) -> list[dict[str, Any]]:
    """The loaded inputs, without what only this tool needs, by the time of their first record, then by name.

    Raises:
        UsageError: There is no such warehouse.
    """
    rows = viewed(address).scan("loads").drop("ladder", "reading").collect()
    return rows.sort("first_received_at", "source", nulls_last=True).to_dicts()


def shown(address: str, named: str) -> dict[str, Any]:
    """All that is known of an input.

    Raises:
        UsageError: There is no such warehouse, or no such input.
    """
    row = chosen(viewed(address), named)
    del row["ladder"], row["reading"]
    return row


def chosen(warehouse: Warehouse, named: str) -> dict[str, Any]:
    """The row of `loads` that a name or the beginning of a digest means.

    Raises:
        UsageError: There is none, or there are several.
    """
    rows = warehouse.scan("loads").collect()
    found = rows.filter(pl.col("names").list.contains(named))
    if not found.height and len(named) >= 4:
        found = rows.filter(pl.col("digest").str.starts_with(named))
    if found.height != 1:
        hint = "`loads list` shows what is loaded."
        if found.height:
            hint = f"Give the beginning of a digest: {', '.join(digest[:12] for digest in sorted(found['digest']))}."
        raise UsageError(f"{named!r} names {found.height or 'no'} loaded inputs.", hint)
    return found.row(0, named=True)
