"""The rows of `loads`: for each input its names, its rules and the number of its rows."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson
import polars as pl

from etl.errors import AccountingError, UsageError
from etl.privacy.addresses import hide_text
from etl.rules.ruleset import RULES_VERSION
from etl.runner.parquet import write_table
from etl.runner.stage_inputs import PlannedInput, RunRequest
from etl.runner.surveyed_records import records_of
from etl.runner.tasks import TaskReport
from etl.sources.reread import describe_origin, origin_json
from etl.sources.storage.store_paths import Folder
from etl.warehouse.file_writer import EMPTIED, InputCounts, WrittenPart, counts_of_parts
from etl.warehouse.load_decisions import Decision
from etl.warehouse.snapshots import Warehouse, open_for_reading
from etl.warehouse.table_layout import LOADS, id_of, prefix_of

#: How many names of parameters that nothing reads are kept of an input.
_MOST_NAMES: Final = 100

#: Names that hold an address, a hash or a telephone number are not kept: forgetting a person would have to find them.
_MAY_BE_PERSONAL: Final = re.compile(r"@|%40|[0-9a-fA-F]{32}|[0-9]{7}")

#: Tables in the counts of an input; all other counts are rejections by reason.
_BROUGHT: Final = ("conversions", "items", "passthroughs")


class Run(NamedTuple):
    """A load: its run id and its request."""

    run_id: str
    request: RunRequest


def rules_versions(request: RunRequest) -> dict[str, int]:
    """Returns each digest that the rules of a request have or had, with its version of the rulings."""
    return {rules_digest(request, version): version for version in range(1, RULES_VERSION + 1)}


def rules_digest(request: RunRequest, version: int = RULES_VERSION) -> str:
    """Returns the digest of everything that decides what records become, under a version of the rulings."""
    options, reading = request.options, request.reading
    parts = [
        *(
            request.ruleset.digest_under(version),
            options.default_currency,
            options.account,
            options.integration,
            options.pii,
        ),
        *(options.since, options.until, [(span.start, span.stop) for span in options.statuses]),
        *(reading.format, reading.log_format, reading.settings.timezone, sorted(reading.settings.columns)),
        *(repr(reading.settings.formats), reading.max_record_bytes),
    ]
    return hashlib.sha256(orjson.dumps(parts, default=str)).hexdigest()


def new_entries(
    run: Run,
    read: list[Decision],
    planned: list[PlannedInput],
    reports: list[TaskReport],
    parts: list[WrittenPart],
) -> pl.DataFrame:
    """Returns the rows of `loads` for the inputs that were read, and checks that all records of each are accounted for.

    Args:
        run: The load.
        read: The decision on each input.
        planned: The inputs, in the same order.
        reports: The reports of the tasks.
        parts: The written parts.

    Raises:
        AccountingError: Records of an input are not accounted for.
    """
    records = records_of(reports)
    skipped: dict[str, Counter[str]] = {}
    unread: dict[str, Counter[str]] = {}
    for digest, found in (item for report in reports for item in report.counts.items()):
        skipped[digest] = skipped.get(digest, Counter()) + found.skipped
        unread.setdefault(digest, Counter()).update(found.unrecognised)
    counts = counts_of_parts(parts)
    now = datetime.now(UTC)
    rows = []
    for decision, plan in zip(read, planned, strict=True):
        brought = counts.get(prefix_of(decision.digest), InputCounts(Counter(), None, None))
        passed = skipped.get(decision.digest, Counter())
        rejected = Counter({reason: n for reason, n in brought.rows.items() if reason not in _BROUGHT})
        if records[decision.digest] != brought.rows["conversions"] + rejected.total() + passed.total():
            raise AccountingError(
                f"{plan.input.source} has {records[decision.digest]} records, but another number is accounted for.",
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
                **{name: brought.rows[name] for name in _BROUGHT},
                "rejections": as_counts(rejected),
                "skipped": as_counts(passed),
                "ruleset": run.request.ruleset.name,
                "ruleset_digest": run.request.ruleset.digest,
                "rules_digest": rules_digest(run.request),
                "run_id": run.run_id,
                "loaded_at": now,
                "first_received_at": brought.first,
                "last_received_at": brought.last,
                "grew_from": sorted(decision.grew_from),
                "ladder": plan.survey.ladder,
                "reading": _reading(plan, run.request),
                "replays": [],
                "rules_version": RULES_VERSION,
                "unrecognised": _most_frequent(unread.get(decision.digest, Counter())),
            }
        )
    return pl.DataFrame(rows, schema=LOADS.schema)


def _reading(plan: PlannedInput, request: RunRequest) -> str:
    """Returns the settings by which the kept records of an input can be read and judged again, as JSON."""
    origin = describe_origin(plan.detected, request.reading, b"".join(plan.survey.samples[:1]))
    options = {name: getattr(request.options, name) for name in ("default_currency", "account", "integration", "pii")}
    return origin_json({**origin, "header": hide_text(origin["header"], request.options.pii), "options": options})


def _most_frequent(unread: Counter[str]) -> list[dict[str, Any]]:
    """Returns the most frequent parameters that nothing reads, with their counts; none whose name may be a person's."""
    kept = ((name, count) for name, count in unread.items() if not _MAY_BE_PERSONAL.search(name))
    ranked = sorted(kept, key=lambda item: (-item[1], item[0]))
    return [{"name": name, "count": count} for name, count in ranked[:_MOST_NAMES]]


def stage_emptied(warehouse: Warehouse, read: list[Decision], folder: Folder) -> pl.DataFrame:
    """Stages the ids of records that `forget-person` has emptied in an earlier load of the inputs.

    Returns:
        For each of these inputs its digest, and the numbers of these records: `digest`, `emptied`.
    """
    known = warehouse.scan("loads").select("digest", "emptied").drop_nulls().collect()
    rows = []
    for decision in read:
        of_input = known.filter(pl.col("digest").is_in([decision.digest, *decision.replaces]))
        rows.append((decision.digest, sorted(set(of_input["emptied"].explode())) or None))
    numbers = pl.DataFrame(rows, {"digest": pl.String, "emptied": pl.List(pl.Int64)}, orient="row")
    ids = [id_of(digest, number) for digest, of_input in rows for number in of_input or ()]
    write_table(pl.DataFrame({"id": ids}, {"id": pl.String}), folder / EMPTIED)
    return numbers


def as_counts(counts: Counter[str]) -> list[dict[str, Any]]:
    """Turns a counter into the counts by reason of `loads`."""
    return [{"reason": reason, "count": count} for reason, count in sorted(counts.items())]


def updated_entries(known: pl.DataFrame, seen: list[Decision]) -> pl.DataFrame:
    """Returns the rows of `loads` of known inputs, with the names under which they were found now."""
    rows = {row["digest"]: row for row in known.iter_rows(named=True)}
    changed = [
        {
            **rows[decision.digest],
            "source": decision.names[0],
            "names": list(decision.names),
            "grew_from": sorted(decision.grew_from),
        }
        for decision in seen
    ]
    return pl.DataFrame(changed, schema=LOADS.schema)


def list_loads(address: str) -> list[dict[str, Any]]:
    """Lists the loaded inputs, without internal columns, by the time of their first record, then by name.

    Raises:
        UsageError: There is no such warehouse.
    """
    rows = _known_loads(open_for_reading(address)).drop("ladder", "reading")
    return rows.sort("first_received_at", "source", nulls_last=True).to_dicts()


def _known_loads(warehouse: Warehouse) -> pl.DataFrame:
    """Reads the rows of `loads`; rows without a version are of version 1, which recorded none."""
    return warehouse.scan("loads").collect().with_columns(pl.col("rules_version").fill_null(1))


def describe_load(address: str, named: str) -> dict[str, Any]:
    """Returns the row of `loads` of an input, without internal columns.

    Raises:
        UsageError: There is no such warehouse, or no such input.
    """
    row = find_load(open_for_reading(address), named)
    del row["ladder"], row["reading"]
    return row


def find_load(warehouse: Warehouse, named: str) -> dict[str, Any]:
    """Returns the row of `loads` that a name, the beginning of a digest, or a part of one name only identifies.

    Raises:
        UsageError: No input matches, or several match.
    """
    rows = _known_loads(warehouse)
    found = rows.filter(pl.col("names").list.contains(named))
    if not found.height and len(named) >= 4:
        found = rows.filter(pl.col("digest").str.starts_with(named))
    for is_meant in (pl.element().str.ends_with(f"/{named}"), pl.element().str.contains(named, literal=True)):
        if not found.height and named:
            found = rows.filter(pl.col("names").list.eval(is_meant).list.any())
    if found.height != 1:
        hint = "`loads list` shows what is loaded."
        if found.height:
            hint = f"Give the beginning of a digest: {', '.join(digest[:12] for digest in sorted(found['digest']))}."
        raise UsageError(f"{named!r} names {found.height or 'no'} loaded inputs.", hint)
    return found.row(0, named=True)
