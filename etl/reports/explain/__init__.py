"""Explains rule by rule what one record becomes.

It runs the pipeline on the record and reads the pipeline's frames; it decides no rule itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from etl.options import Options, Pii
from etl.privacy.addresses import ShownText, hide_text
from etl.privacy.shown_texts import shown_text
from etl.reports.explain.explanation import Explanation, Line, ParameterUse, Step
from etl.reports.explain.parameter_steps import list_uses
from etl.reports.explain.steps import list_steps, plain
from etl.reports.explain.targets import Target, find_target
from etl.reports.explain.wording import ORIGINS
from etl.rules import page
from etl.rules.ruleset import RULES_VERSION, Ruleset
from etl.rules.vendors.recognition import recognise
from etl.sources.body_arrays import element_of
from etl.sources.planning import ReadOptions, describe_times
from etl.steps.pipeline import Judged, judge

_REASON: Final = {reason.code: reason for reason in (*page.REJECTIONS, *page.SKIPS)}

#: Columns of a written row that are not compared: they depend on `--pii`, or repeat the record.
_UNCOMPARED: Final = frozenset((*page.PERSONAL_TRAITS, "client_ip", "match_key", "raw"))

__all__ = ["Explanation", "explain"]


def explain(what: str, reading: ReadOptions, ruleset: Ruleset, options: Options) -> Explanation:
    """Explains what one record becomes, and why.

    Args:
        what: A URL, query string, JSON payload or line of a log; `-`; `FILE:LINE`; `STORE:CONVERSION_ID`.
        reading: How the record is read.
        ruleset: The rules.
        options: Options of the transform. Personal values are masked unless `pii` is `keep`.

    Raises:
        EtlError: The record does not exist or cannot be read.
    """
    target = find_target(what, reading)
    options = _with_run_options(options, target.written or {})
    judged = judge(target.requests, ruleset, options)
    uses = list_uses(judged, ruleset, options) if judged.postbacks.height else ()
    steps = list_steps(judged, uses, ruleset, options) if judged.postbacks.height else ()
    outcome, tables = _outcome(judged, target)
    record = _record_step(judged, target, ruleset, reading)
    ended = Step("outcome", tuple(_outcome_lines(outcome, judged, tables)))
    return Explanation(
        record=_shown_step(record, options),
        ruleset={"name": ruleset.name, "digest": ruleset.digest},
        parameters=tuple(_shown_use(use, ruleset, options) for use in uses),
        steps=tuple(_shown_step(step, options) for step in (*steps, ended)),
        outcome=outcome,
        tables=tables,
        notes=(
            *target.notes,
            *_difference_notes(target, outcome, tables, ruleset),
            *_recognition_notes(judged, ruleset),
        ),
    )


def _shown_step(step: Step[str], options: Options) -> Step[ShownText]:
    """Replaces the e-mail addresses in statements as the tables do (rules 9.1); `source` is the user's own."""
    lines = (_hidden(line, "keep" if line.what == "source" else options.pii) for line in step.lines)
    return Step(step.name, tuple(Line(*line) for line in lines))


def _shown_use(use: ParameterUse[str], ruleset: Ruleset, options: Options) -> ParameterUse[ShownText]:
    """Replaces the addresses in the use of a parameter, and in its value also what names announce."""
    return ParameterUse(*_hidden(use._replace(value=shown_text(use.value, options.pii, ruleset)), options.pii))


def _hidden(texts: Iterable[Any], pii: Pii) -> list[Any]:
    """Returns texts without e-mail addresses."""
    return [hide_text(text, pii) for text in texts]


def _with_run_options(options: Options, row: dict[str, Any]) -> Options:
    """Fills options that were not given with what a written row shows of its run's options."""
    defaulted = row.get("currency") if row.get("currency_defaulted") else None
    return replace(
        options,
        account=options.account or row.get("account_id"),
        integration=options.integration or row.get("integration"),
        default_currency=options.default_currency or defaulted,
    )


def _record_step(judged: Judged, target: Target, ruleset: Ruleset, reading: ReadOptions) -> Step[str]:
    """Explains how the record was read: its source, format, time, request and integration."""
    (row,) = judged.routed.to_dicts()
    form = target.detected.row
    at = f", byte {row['byte_offset']:,}" if row["byte_offset"] is not None else ""
    lines = [
        Line("source", row["source"], f"record {row['record_no']:,}{at}; {target.codec}", "rules 10.1"),
        Line("format", form.name, form.what, form.link or "--log-format"),
    ]
    if target.detected.carriers:
        carriers = ", ".join(target.detected.carriers)
        lines.insert(1, Line("carrier", carriers, "what holds the record, from the outside in", "rules 1.3b"))
    if reading.settings.has_array_bodies and (element := element_of(row["raw"])):
        lines.append(Line("element", element, "of the array in the body; each is a record of its own", "rules 1.3"))
    if target.detected.columns:
        columns = ", ".join(f"{role}={name}" for role, name in target.detected.columns)
        lines.append(Line("columns", columns, "guessed by name, or given by --columns", "--columns"))
    if row["fault"] != "malformed_record":
        lines += _request_lines(row, describe_times(target.detected, reading.settings.timezone), form.moment, ruleset)
    if row["fault"] is not None:
        reason = _REASON[row["fault"]]
        return Step(
            "record", (*lines, Line("fault", reason.code, row["fault_message"] or reason.message, reason.source))
        )
    origins = " and ".join(origin.words for origin in ORIGINS if row[origin.code])
    why = f"from {origins}, {ruleset.parameter_order.replace('_', ' ')}" if origins else "no parameter was sent"
    lines.append(Line("parameters", str(len(judged.fields.params.rows)), why, "rules 1.2, 1.3, 1.4"))
    return Step("record", tuple(lines))


def _request_lines(row: dict[str, Any], time: str, moment: str, ruleset: Ruleset) -> list[Line[str]]:
    """Explains a request's time of receipt, its method and path, and its integration."""
    how = {"none": "the time in the record", "zoned": f"the {moment} of the request, in the record's time zone"}
    why = "the record has no time" if row["received_at"] is None else how.get(time, f"read as {time}")
    lines = [Line("received_at", plain(row["received_at"]), why, "rules 6.1")]
    if row["http_method"] is not None or row["path"] is not None:
        status = f"answered {row['http_status']}" if row["http_status"] is not None else ""
        request = " ".join(text for text in (row["http_method"], row["path"]) if text is not None)
        lines.append(Line("request", request, status, "rules 1.1"))
    if row["account_id"] is not None or row["integration"] is not None:
        owner = f"{row['account_id'] or '-'} / {row['integration'] or '-'}"
        is_in_path = row["path"] is not None
        why = f"from the path {ruleset.collect_path}" if is_in_path else "from the options: a payload has no path"
        lines.append(Line("account / integration", owner, why, "rules 1.1"))
    return lines


def _outcome(judged: Judged, target: Target) -> tuple[str, dict[str, list[dict[str, Any]]]]:
    """Finds the outcome of the record and its rows in the tables.

    `explain` sees one record, so it cannot detect duplicates: a duplicate is shown as the row that was written.
    """
    written = target.written or {}
    if judged.tables.skipped.height:
        return "skipped", {}
    if judged.tables.rejections.height:
        return "rejection", {"rejections": judged.tables.rejections.to_dicts()}
    if written.get("reason") == "duplicate_transaction":
        return "rejection", {"rejections": [written]}
    tables = {name: getattr(judged.tables, name).to_dicts() for name in ("conversions", "items", "passthroughs")}
    return "conversion", {name: rows for name, rows in tables.items() if rows}


def _outcome_lines(outcome: str, judged: Judged, tables: dict[str, list[dict[str, Any]]]) -> list[Line[str]]:
    """Explains the outcome: the conversion, each reason of a rejection, or the reason to skip the record."""
    if outcome == "skipped":
        reason = _REASON[judged.tables.skipped["reason"][0]]
        return [Line("skipped", reason.code, reason.message, reason.source)]
    if outcome == "conversion":
        (row,) = tables["conversions"]
        counts = f"with {row['item_count']} items and {row['passthrough_count']} passthroughs"
        return [Line("conversion", row["event"], counts, "rules 10.2")]
    (row,) = tables["rejections"]
    lines = [Line("rejection", code, _REASON[code].message, _REASON[code].source) for code in row["reasons"]]
    lines[0] = lines[0]._replace(why=row["message"])
    if row["suggestion"]:
        lines.append(Line("suggestion", row["suggestion"], "how to fix the request", "rules 2.6, 5.2"))
    if row["duplicate_of"]:
        lines.append(
            Line(
                "duplicate_of",
                row["duplicate_of"],
                f"{row['duplicate_kind']}: the conversion that was kept",
                "rules 6.3",
            )
        )
    return lines


def _recognition_notes(judged: Judged, ruleset: Ruleset) -> list[str]:
    """Notes which shipped ruleset would read more of the record, if one is recognised (rules 11.2)."""
    found = recognise(judged.fields.params.names.to_list(), ruleset)
    return [f"The record {found.advice}."] if found else []


def _difference_notes(
    target: Target, outcome: str, tables: dict[str, list[dict[str, Any]]], ruleset: Ruleset
) -> list[str]:
    """Notes how the written row differs from what the record becomes now, and if its ruleset was another."""
    if target.written is None:
        return []
    notes = []
    versions = {ruleset.digest_under(version): version for version in range(1, RULES_VERSION)}
    if target.ruleset and (version := versions.get(target.ruleset["digest"])):
        notes.append(f"The row was written under rules {version}; this explains rules {RULES_VERSION}.")
    elif target.ruleset and target.ruleset["digest"] != ruleset.digest:
        notes.append(f"The row was written with the ruleset {target.ruleset['name']}; this explains {ruleset.name}.")
    now = tables.get(target.table or "", [])
    if not now:
        return [*notes, f"The row is in {target.table}; with these rules and options the record becomes: {outcome}."]
    uncompared = _UNCOMPARED | (
        {"currency"} if target.table == "rejections" else set()
    )  # rejections do not show whether it is the default
    differing = [name for name in target.written if name not in uncompared and target.written[name] != now[0].get(name)]
    if differing:
        notes.append(f"The written row differs in {', '.join(differing)}: give the options of its run.")
    return notes
