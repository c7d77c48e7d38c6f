"""Drafts what is sent again: judges lost records anew, corrects them, and judges what would be sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple

import polars as pl

from etl.options import Options
from etl.reports.audit.tables import has_key_issue
from etl.reports.resend.corrected_postbacks import Parameters, as_requests, correct, path_of
from etl.reports.resend.lost_records import LossFinding
from etl.rules import page
from etl.rules.ruleset import Ruleset
from etl.runner.published_tables import Published
from etl.sources.planning import ReadOptions
from etl.steps.pipeline import Judged, Tables, judge, transform
from etl.steps.rejections import REFUSAL_REASONS

_JUNK: Final = ("unresolved_macro", "placeholder_word", "null_word", "test_value")
_TRAITS: Final = [name for name in page.PERSONAL_TRAITS if name != "full_name"]
_HASHES: Final = [f"{name}_sha256" for name in _TRAITS]
#: Columns of text of a conversion in which `--pii` hides what is personal.
_TEXTS: Final = ("match_key", "click_id", "ref_id", "event", "transaction_id", "brand_name", "country", "currency")
#: What the row of a record and the record read again must share.
_COMPARED: Final = ("match_type", "value")

#: The columns of a lost record that a plan keeps, and those of the conversion that it will be.
_KEPT: Final = ("record_id", "findings", "source", "record_no", "table", "http_status", "event", "match_type")
SHOWN: Final = ("event", "match_key", "value", "currency", "transaction_id", "occurred_at")


class ResendRefusal(NamedTuple):
    """A reason not to send a record again: its code, its meaning, and what to do, if anything."""

    code: str
    meaning: str
    way_out: str


#: All reasons, in the order in which they are tried.
REFUSALS: Final = (
    ResendRefusal("source_gone", "Its input cannot be read any more", "Bring the input back under its name"),
    ResendRefusal("source_changed", "Its input has changed since it was read", "Name the tables of a new run"),
    ResendRefusal(
        "read_otherwise", "It is read otherwise than when its row was written", "Give the options of its run"
    ),
    ResendRefusal("emptied", "The store keeps no personal values of it", "They were forgotten or dropped"),
    ResendRefusal("test_order", "It is a test of its sender", ""),
    ResendRefusal("not_chosen", "It was unread, and is of another account or integration", ""),
    ResendRefusal("no_address", "Its account or integration is not known", "Give --account and --integration"),
    ResendRefusal("no_cure", "No rule says what was meant", "`postback-etl explain STORE:ID` shows what it lacks"),
    ResendRefusal("unusable_identity", "Its match key is a macro, a placeholder or a test value", ""),
    ResendRefusal("personal_values", "It needs personal values, which would be hashed", "Give --pii keep"),
    ResendRefusal("already_recorded", "Such a conversion is recorded", ""),
    ResendRefusal("repeated", "An earlier record that is sent again has the same key", ""),
    ResendRefusal("without_id", "Without a transaction_id a second sending would count twice", "Give --without-id"),
)


@dataclass(frozen=True)
class ResendRequest:
    """What to send again.

    Attributes:
        published: The tables, of all time.
        lost_in: The tables of the period in which lost records are looked for.
        findings: The findings.
        ruleset: The rules that the tables were made by.
        reading: How inputs are read.
        now: The time of the second sending.
        options: Account and integration; what happens to personal values.
        is_without_id: Records without a transaction_id are sent, too.
        notes: What limits the plan.
    """

    published: Published
    lost_in: Published
    findings: Sequence[LossFinding]
    ruleset: Ruleset
    reading: ReadOptions
    now: datetime
    options: Options
    is_without_id: bool = False
    notes: tuple[str, ...] = ()


class ResendDraft(NamedTuple):
    """A lost record, and what would be sent for it.

    Attributes:
        lost: Some columns of its row of `find_lost`.
        refusal: The code of the reason why nothing is sent; None if something may be.
        owner: Account and integration.
        path: The collect path of the integration.
        parameters: What is sent.
        row: The columns `SHOWN` of the conversion that it will be.
        hidden: The same without personal values.
    """

    lost: dict[str, Any]
    refusal: str | None
    owner: tuple[str | None, str | None] = (None, None)
    path: str = ""
    parameters: Parameters = {}  # noqa: RUF012 - never changed
    row: dict[str, Any] = {}  # noqa: RUF012 - never changed
    hidden: dict[str, Any] = {}  # noqa: RUF012 - never changed


def draft(lost: pl.DataFrame, requests: pl.DataFrame, request: ResendRequest) -> list[ResendDraft]:
    """Corrects lost records, and judges what would be sent as the endpoint would.

    Args:
        lost: Rows of `find_lost`.
        requests: The same records, read again, in the same order.
        request: The findings and rules.
    """
    kept = Options(account=request.options.account, integration=request.options.integration, pii="keep")
    judged = judge(requests, request.ruleset, kept)
    rows = lost.rows(named=True)
    numbers = judged.postbacks.select("source_digest", "record_no").rows()
    places = {number: place for place, number in enumerate(numbers)}
    of_rows = [places.get((row["source_digest"], row["record_no"])) for row in rows]
    chosen = [row["findings"] for row, place in zip(rows, of_rows, strict=True) if place is not None]
    written = list(correct(judged, chosen, request.ruleset))
    owners = judged.postbacks.select("account_id", "integration").rows()
    refusals = _first_refusals(rows, of_rows, judged)
    chosen_owner = request.options.account, request.options.integration
    drafts = []
    for row, place, refusal in zip(rows, of_rows, refusals, strict=True):
        kept_row = {name: row[name] for name in _KEPT}
        if refusal or place is None:
            drafts.append(ResendDraft(kept_row, refusal))
            continue
        owner, path = owners[place], path_of(owners[place], request.ruleset)
        is_chosen = all(wanted in (None, found) for wanted, found in zip(chosen_owner, owner, strict=True))
        if "value" in written[place] and row["currency"]:
            written[place].setdefault("currency", row["currency"])
        late = None if is_chosen and path else "no_address" if is_chosen else "not_chosen"
        drafts.append(ResendDraft(kept_row, late, owner, path or "", written[place]))
    return _judge_drafts(drafts, request)


def _first_refusals(rows: list[dict[str, Any]], places: list[int | None], judged: Judged) -> Iterator[str | None]:
    """Yields for each lost record why nothing can be sent for it, by its row and by the record read again."""
    verdicts = judged.verdicts.select(*_COMPARED, *REFUSAL_REASONS).rows(named=True)
    conversions = judged.tables.conversions
    has_hashes = pl.any_horizontal(pl.col(_HASHES).is_not_null())
    persons = set(conversions.filter(has_hashes)["conversion_id"])
    for row, place in zip(rows, places, strict=True):
        verdict = {} if place is None else verdicts[place]
        reasons = [reason for reason in REFUSAL_REASONS if verdict.get(reason)]
        is_same = reasons == row["reasons"] and all(verdict.get(name) == row[name] for name in _COMPARED)
        if row["is_emptied"] or (row["record_id"] in persons and not row["has_hashes"]):
            yield "emptied"
        elif row["is_test"]:
            yield "test_order"
        elif place is None:
            yield "no_cure" if row["reasons"] else "read_otherwise"
        elif "unread_postback" in row["reasons"]:
            yield "no_cure" if reasons == ["unread_postback"] else None
        else:
            yield None if is_same else "read_otherwise"


def _judge_drafts(drafts: list[ResendDraft], request: ResendRequest) -> list[ResendDraft]:
    """Corrects what is read under its right name now, judges the outcome by the page, and refuses what is no use."""
    rules = replace(Ruleset(), collect_path=request.ruleset.collect_path)
    going = [one for one in drafts if one.refusal is None]
    paths = [one.path for one in going]
    written = [one.parameters for one in going]
    if any(row.name == "near_miss" for row in request.findings):  # values that nothing has read yet
        again = judge(as_requests(written, paths), rules, Options(pii="keep"))
        written = list(correct(again, [one.lost["findings"] for one in going], rules))
    if request.options.pii == "drop":
        personal = {*page.PERSONAL_TRAITS, "Email"}
        written = [{name: text for name, text in one.items() if name not in personal} for one in written]
    sent = as_requests(written, paths)
    whole, hidden = (transform(sent, rules, Options(pii=pii)) for pii in ("keep", "hash"))
    needing = _personal_records(whole, hidden)
    junk = set(whole.conversions.lazy().filter(has_key_issue(*_JUNK)).collect()["record_no"])
    rows, others = (
        {row.pop("record_no"): row for row in tables.conversions.select("record_no", *SHOWN).iter_rows(named=True)}
        for tables in (whole, hidden)
    )

    def judged(number: int, one: ResendDraft, parameters: Parameters) -> ResendDraft:
        is_refused = request.options.pii != "keep" and number in needing
        if number not in rows:
            needs_email = request.options.pii == "drop" and one.lost["match_type"] == "email"
            return one._replace(refusal="personal_values" if needs_email else "no_cure")
        refusal = "unusable_identity" if number in junk else "personal_values" if is_refused else None
        row = rows[number]
        other = row if others[number] == row else others[number]
        return one._replace(refusal=refusal, parameters=parameters, row=row, hidden=other)

    found = iter([judged(number, *pair) for number, pair in enumerate(zip(going, written, strict=True), 1)])
    return [one if one.refusal else next(found) for one in drafts]


def _personal_records(whole: Tables, hidden: Tables) -> set[int]:
    """Finds the records with personal values, which are hidden in one of two sets of tables: their numbers."""
    ids = whole.conversions["conversion_id"]
    differs = pl.any_horizontal(whole.conversions[name].ne_missing(hidden.conversions[name]) for name in _TEXTS)
    has_traits = pl.any_horizontal(pl.col(_TRAITS).is_not_null())
    found = set(ids.filter(whole.conversions.select(differs | has_traits).to_series()))
    for name in ("items", "passthroughs"):
        rows, others = getattr(whole, name), getattr(hidden, name)
        differs = pl.any_horizontal(rows[column].ne_missing(others[column]) for column in rows.columns)
        found |= set(rows["conversion_id"].filter(rows.select(differs).to_series()))
    return set(whole.conversions.filter(ids.is_in(list(found)))["record_no"])
