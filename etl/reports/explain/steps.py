"""Explains the rules that follow the parameters, from the pipeline's frames; it decides no rule itself.

The steps are, in order: aliases, identity, event, value, time, traits, items, passthroughs, duplicates, issues.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from etl.options import Options
from etl.privacy.shown_texts import shown_text
from etl.privacy.trait_hashes import HASHES
from etl.reports.explain.explanation import Line, ParameterUse, Step
from etl.reports.explain.wording import CURRENCY_FAULT, EVENT, NAME, TIME
from etl.rules import page
from etl.rules.ruleset import Ruleset, fold
from etl.rules.value_parsing import read_amount
from etl.schema import CONVERSIONS
from etl.steps.conversions import build_conversions, protect_match_key
from etl.steps.issues import ISSUES
from etl.steps.pipeline import Judged

_ISSUE: Final = {issue.code: issue for issue in ISSUES}
_MEANING: Final = {column.name: column.meaning for column in CONVERSIONS.columns}


class JudgedPostback(NamedTuple):
    """One postback with everything that its explanation needs.

    Attributes:
        judged: The pipeline's frames of the postback.
        row: The row of conversions that its parameters give, even if it is rejected; the match key is protected.
        uses: How its parameters are used.
        ruleset: The rules.
        options: The options of the transform.
    """

    judged: Judged
    row: dict[str, Any]
    uses: tuple[ParameterUse[str], ...]
    ruleset: Ruleset
    options: Options


def list_steps(
    judged: Judged, uses: tuple[ParameterUse[str], ...], ruleset: Ruleset, options: Options
) -> tuple[Step[str], ...]:
    """Explains one postback step by step; a rejection has no steps for items, passthroughs, duplicates and issues.

    Args:
        judged: The pipeline's frames of the postback.
        uses: How its parameters are used, with personal values masked.
        ruleset: The rules.
        options: The options of the transform.
    """
    filled = build_conversions(judged.postbacks, judged.verdicts, judged.fields, ruleset, options)
    (row,) = protect_match_key(filled, options).to_dicts()
    for name in ("value_text", "timestamp_text"):  # no table shows these texts
        row[name] = row[name] and shown_text(row[name], options.pii, ruleset)
    postback = JudgedPostback(judged, row, uses, ruleset, options)
    steps = _STEPS if judged.tables.conversions.height else _STEPS[: -len(_OF_CONVERSIONS)]
    return tuple(Step(name, tuple(list_lines(postback))) for name, list_lines in steps)


def plain(value: Any) -> str | None:
    """Formats a cell of a table as text.

    Examples:
        >>> plain(Decimal("12.500000000")), plain(Decimal("100")), plain(True), plain(None)
        ('12.5', '100', 'true', None)
    """
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


def _aliases(postback: JudgedPostback) -> list[Line[str]]:
    """Explains which parameter fills a field that several parameters could fill (rules 2.2, 2.3)."""
    conflicts = set(postback.judged.fields.conflicts["field"])
    fields = dict.fromkeys(use.field for use in postback.uses if use.use == "lost" and use.field)
    lines = []
    for field in fields:
        uses = [use for use in postback.uses if use.field == field]
        winner = next(use for use in uses if use.use == "fills")
        losers = dict.fromkeys(use.parameter for use in uses if use.use == "lost")
        comparison = "their texts differ" if field.removesuffix(" (identity)") in conflicts else "their texts are equal"
        why = f"{winner.parameter} wins over {', '.join(losers)} in {postback.ruleset.alias_order} order; {comparison}"
        lines.append(Line(field, winner.value, why, f"{winner.source}, 2.3"))
    return lines


def _identity(postback: JudgedPostback) -> list[Line[str]]:
    """Explains the match key, or why there is none (rules 3.1)."""
    row = postback.row
    if row["match_key"] is None:
        instead = [
            f"{use.parameter} is not read, but {use.instead} is" for use in postback.uses if use.use == "near_miss"
        ]
        why = "; ".join(["no click_id, ref_id or email was sent", *instead])
        return [Line("match_key", None, why, "Identity Parameters; rules 3.1")]
    why = f"{row['match_param']}: the first of click_id, ref_id and email that was sent"
    if row["match_type"] == "email" and postback.options.pii != "keep":
        why += "; shown as a hash" if postback.options.pii == "hash" else "; not shown"
    return [
        Line("match_type", row["match_type"], "", "Identity Parameters; rules 3.1"),
        Line("match_key", row["match_key"], why, "Identity Parameters; rules 3.1"),
    ]


def _event(postback: JudgedPostback) -> list[Line[str]]:
    """Explains the event and the rule that chose it (rules 5)."""
    row = postback.row
    rule = EVENT[row["event_rule"] if row["event"] is not None else ""]
    why = rule.words
    if rule.code in ("conversion_type", ""):
        why = f"conversion_type {row['conversion_type']!r}: {why}"
    return [Line("event", row["event"], why, rule.source), Line("event_rule", row["event_rule"], "", rule.source)]


def _value(postback: JudgedPostback) -> list[Line[str]]:
    """Explains the value and the currency (rules 4)."""
    row = postback.row
    is_minor = fold(row["value_param"] or "") in postback.ruleset.minor_unit_names
    if row["value_text"] is None:
        why = "no value was sent"
    elif row["value"] is None and is_minor and read_amount(row["value_text"]) is not None:
        why = f"{row['value_param']}={row['value_text']!r} counts in minor units of a currency that is not known"
    elif row["value"] is None:
        why = f"{row['value_param']}={row['value_text']!r} is not a plain number, and no other alias is tried"
    else:
        why = f"from {row['value_param']}" + (", which counts in minor units; rules 4.1a" if is_minor else "")
    lines = [Line("value", plain(row["value"]), why, "Conversion Value; rules 4.1")]
    if row["value_repaired"] is not None:
        why = "the value that was clearly meant; the column value stays null"
        lines.append(Line("value_repaired", plain(row["value_repaired"]), why, "rules 4.1"))
    if row["currency_repaired"] is not None:
        why = "the currency that the value's text says; the column currency does not change"
        lines.append(Line("currency_repaired", row["currency_repaired"], why, "rules 4.1"))
    if row["currency_defaulted"]:
        default = "the default currency is used" if row["currency"] else "there is no default currency"
        why = f"no currency was sent, and {default}"
        return [*lines, Line("currency", row["currency"], why, "Limits and Defaults; rules 4.3")]
    fault = CURRENCY_FAULT.get(row["currency_fault"])
    why = f"from {row['currency_param']}" + (f"; {fault.words}" if fault else "")
    return [*lines, Line("currency", row["currency"], why, "Conversion Value; rules 4.3")]


def _time(postback: JudgedPostback) -> list[Line[str]]:
    """Explains when the conversion occurred (rules 6.2)."""
    row = postback.row
    rule = TIME[row["occurred_at_rule"]]
    why = rule.words
    if row["timestamp_fault"]:
        meaning = _ISSUE[row["timestamp_fault"]].meaning.partition(";")[0]
        why = f"{row['timestamp_param']}={row['timestamp_text']!r}: {meaning}, so the time received is used"
    if row["occurred_at_rule"] == "received" and row["occurred_at"] is None:
        why += ", but the record has no time"
    lines = [Line("occurred_at", plain(row["occurred_at"]), why, rule.source)]
    if row["occurred_at_repaired"] is not None:
        why = "the time that was clearly meant; occurred_at does not change"
        lines.append(Line("occurred_at_repaired", plain(row["occurred_at_repaired"]), why, "rules 6.2"))
    return lines


def _traits(postback: JudgedPostback) -> list[Line[str]]:
    """Explains the customer traits, the parts of a full name, and the hashes (rules 7.1, 7.2, 9.2)."""
    row = postback.row
    names = {field.name for field in page.EXACT_FIELDS if field.source == "Customer Traits"}
    sent = {use.field: use for use in postback.uses if use.use == "fills" and use.field in names}
    lines = [Line(use.field or "", use.value, f"from {use.parameter}", use.source) for use in sent.values()]
    if row["name_rule"]:
        lines.append(Line("name_rule", row["name_rule"], NAME[row["name_rule"]].words, NAME[row["name_rule"]].source))
    lines += [
        Line(name, row[name], "from full_name", NAME["full_name"].source)
        for name in ("first_name", "last_name")
        if row["name_rule"] == "full_name" and row[name] is not None
    ]
    return lines + [
        Line(trait.column, row[trait.column], _MEANING[trait.column], "rules 9.2")
        for trait in HASHES
        if row[trait.column] is not None
    ]


def _items(postback: JudgedPostback) -> list[Line[str]]:
    """Lists the items (rules 8.1, 8.2)."""
    lines = []
    for item in postback.judged.tables.items.to_dicts():
        texts = (
            f"{name} {plain(item[name])}"
            for name in ("item_id", "name", "variant", "price", "quantity")
            if item[name] is not None
        )
        lines.append(Line(f"items[{item['position']}]", ", ".join(texts), "", "Items Array; rules 8.1, 8.2"))
    return lines


def _passthroughs(postback: JudgedPostback) -> list[Line[str]]:
    """Lists the passthroughs, and whether each is stored (rules 7.4)."""
    return [
        Line(
            row["name"],
            row["value"],
            "stored" if row["stored"] else f"dropped: only the first {page.PASSTHROUGH_LIMIT} are stored",
            "Passthrough Parameters; rules 7.4",
        )
        for row in postback.judged.tables.passthroughs.to_dicts()
    ]


def _duplicates(postback: JudgedPostback) -> list[Line[str]]:
    """Explains within which scope the transaction id counts once (rules 6.3)."""
    if not postback.judged.tables.keys.height:
        why = "a conversion without a usable transaction_id is never a duplicate"
        if postback.ruleset.dedup_scope == "off":
            why = "the ruleset turns deduplication off"
        return [Line("transaction_id", postback.row["transaction_id"], why, "rules 6.3")]
    (key,) = postback.judged.tables.keys.to_dicts()
    within = [f"{name} {key[name]}" for name in ("account_id", "integration", "event") if key[name] is not None]
    why = f"counts once within {', '.join(within)}; explain sees one record, so it cannot detect duplicates"
    return [Line("transaction_id", key["transaction_key"], why, "Transaction and Timing; rules 6.3")]


def _issues(postback: JudgedPostback) -> list[Line[str]]:
    """Lists the issues of the conversion."""
    return [
        Line(
            issue["code"],
            ": ".join(text for text in (issue["parameter"], issue["detail"]) if text is not None) or None,
            _ISSUE[issue["code"]].meaning,
            f"rules {_ISSUE[issue['code']].source}",
        )
        for issues in postback.judged.tables.conversions["issues"]
        for issue in issues
    ]


_Steps = tuple[tuple[str, Callable[[JudgedPostback], list[Line[str]]]], ...]

#: Steps that a rejection lacks: it keeps its raw record instead (rules 8.5).
_OF_CONVERSIONS: Final[_Steps] = (
    ("items", _items),
    ("passthroughs", _passthroughs),
    ("duplicates", _duplicates),
    ("issues", _issues),
)
_STEPS: Final[_Steps] = (
    ("aliases", _aliases),
    ("identity", _identity),
    ("event", _event),
    ("value", _value),
    ("time", _time),
    ("traits", _traits),
    *_OF_CONVERSIONS,
)
