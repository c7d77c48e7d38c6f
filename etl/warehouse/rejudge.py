"""Applies the present rules to rejections again, from the raw record that each rejection keeps.

Personal values in a raw record are replaced. A value of which only a hash is left fills the column of that hash and no
other column: Google's form of an e-mail address and the E.164 form of a phone number are null, and so are the hashes of
a first and last name that were sent as one name. Other replaced texts cannot be restored (the address of a client, or
an e-mail address in a parameter that is not for one). A record that would carry such a text into a table stays as it
is.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from etl.columnar import json_codec
from etl.columnar.string_buffers import Truths
from etl.options import Options
from etl.privacy import trait_hashes
from etl.privacy.addresses import DROPPED, HASHED
from etl.privacy.redaction import redact_again
from etl.rules import page
from etl.rules.ruleset import Ruleset
from etl.schema import REJECTIONS, REQUESTS
from etl.sources.body_arrays import element_of
from etl.sources.reread import Origin, read_again
from etl.steps.address_columns import hide_in_columns
from etl.steps.field_resolution import IDENTITY_EMAIL
from etl.steps.pipeline import Judged, Tables, judge
from etl.steps.record_ids import record_ids
from etl.steps.rejections import REFUSAL_REASONS
from etl.warehouse.table_layout import with_received_date


class Outcome(NamedTuple):
    """What a rejection becomes: a name, and an explanation for people."""

    name: str
    why: str


PASSED: Final = Outcome("passed", "it is a conversion now")
CHANGED: Final = Outcome("changed", "it is still rejected, but its row changes")
SKIPPED: Final = Outcome("skipped", "its path is no longer the path of a postback")
SAME: Final = Outcome("same", "it stays as it is")
UNREAD: Final = Outcome("unread", "its record could not be read, which no ruleset changes")
HIDDEN: Final = Outcome("hidden", "--pii has replaced a value that the result depends on")
NEEDS_INPUT: Final = Outcome(
    "needs_input", "the raw record alone cannot be read again; `load --reload` reads the input"
)
REMOVED: Final = Outcome("removed", "its raw record was removed by `forget-person` or `loads retention`")

#: Outcomes of rejections that were not judged; the report explains them.
NOT_JUDGED: Final = (UNREAD, HIDDEN, NEEDS_INPUT, REMOVED)

#: Reasons of records to which no rules were applied.
UNJUDGED: Final = ("malformed_record", "malformed_body", "body_not_logged", "unread_postback")

#: One row is a rejection: its former reason, its outcome, and its present reason if it is still rejected or skipped.
OUTCOMES: Final = pl.Schema(
    {
        "rejection_id": pl.String(),
        "source_digest": pl.String(),
        "received_date": pl.Date(),
        "reason": pl.String(),
        "outcome": pl.String(),
        "now": pl.String(),
    }
)

_KEPT_OF_ROW: Final = ("received_at", "http_method", "http_status", "user_agent")
_LINEAGE: Final = ("source", "source_digest", "record_no", "byte_offset")
_DIGEST: Final = f"^{HASHED}([0-9a-f]{{32,64}})$"
_LONGEST: Final = 64

#: Traces of a replaced value: a hash, the word for a dropped value, or a dash in the place of an address, but not
#: between words.
_TRACE: Final = rf"{HASHED}[0-9a-f]{{32}}|(^|\W){DROPPED}(\W|$)|(^|[^\w./\- ])-($|[^\w.\- ])"

#: Issues that the hash of a value would have, though only usable values are hashed.
_OF_VALUES: Final = ("unusable_email", "unusable_phone")

#: `-0` in a raw record: parsing and rewriting JSON may have made it from `-0.0`.
_ALTERED: Final = r"[:\[,]-0[,}\]]"

_SHARED: Final = ("account_id", "integration", "match_key", "event", "conversion_type", "transaction_id", "currency")
#: The columns of each table with texts from the record: name of the table, column of ids, columns.
_TEXT_COLUMNS: Final = (
    ("conversions", "conversion_id", (*_SHARED, "click_id", "ref_id", "brand_name", "country")),
    ("rejections", "rejection_id", _SHARED),
    ("items", "conversion_id", ("item_id", "name", "variant")),
    ("passthroughs", "conversion_id", ("name", "value")),
)
_NAMES: Final = ("first_name", "last_name")
#: Traits for which a blank value and a value without a hash give the same row.
_HARMLESS: Final = ("phone", "birthdate", "city", "state", "zipcode")


class Rejudged(NamedTuple):
    """The results for some rejections.

    Attributes:
        tables: Rows of rejections that change: conversions, items, passthroughs, rejections, keys and raws.
        outcomes: Rows of OUTCOMES for all rejections.
    """

    tables: dict[str, pl.DataFrame]
    outcomes: pl.DataFrame


def rejudge(rows: pl.DataFrame, origin: Origin, ruleset: Ruleset, options: Options) -> Rejudged:
    """Applies the present rules to rejections.

    Args:
        rows: Rows of `schema.REJECTIONS` without duplicates, of inputs that were read by the same settings.
        origin: These settings.
        ruleset: The rules.
        options: The options of the load that wrote the rejections.
    """
    is_removed = rows["raw"].is_null()
    if is_removed.any():
        found = rejudge(rows.filter(~is_removed), origin, ruleset, options)
        return found._replace(outcomes=pl.concat([found.outcomes, _removed_outcomes(rows.filter(is_removed))]))
    origin = origin._replace(settings=origin.settings._replace(collect_path=ruleset.collect_path))
    before = with_received_date(rows).sort("source_digest", "record_no")
    before = before.with_columns(
        _redacted_again(before["raw"], origin, ruleset, options).alias("raw_now"),
        is_unjudged=pl.col("reason").is_in(UNJUDGED),
    )
    is_unjudged = pl.col("is_unjudged")
    if not origin.is_self_contained:
        outcome = pl.when(is_unjudged).then(pl.lit(UNREAD.name)).otherwise(pl.lit(NEEDS_INPUT.name))
        unread = before.with_columns(outcome=outcome, now=pl.lit(None, pl.String))
        return _rejudged(unread, judge(REQUESTS.empty()).tables, before.clear())
    judged = judge(_reread_requests(before, origin), ruleset, options)
    is_payload = (before["reason"] == "unread_postback") & judged.routed["fault"].is_null()
    before = before.with_columns(is_unjudged & ~is_payload)  # an alias may find its identity
    tables = _with_known_hashes(judged, options)
    now = _changed_rejections(before, tables.rejections)
    hidden = [] if options.pii == "keep" else _hidden_ids(before, judged, tables, (ruleset, options))
    fault = judged.routed["fault"]
    read = before.with_columns(fault, is_skipped=fault == "not_a_postback").with_columns(
        is_passed=pl.col("rejection_id").is_in(tables.conversions["conversion_id"].implode()),
        is_same=~pl.col("rejection_id").is_in(now["rejection_id"].implode()),
        is_hidden=pl.col("rejection_id").is_in(pl.Series(hidden, dtype=pl.String).implode()),
    )
    outcomes = (
        (SKIPPED, pl.col("is_skipped").fill_null(False)),
        (UNREAD, is_unjudged & pl.col("is_same")),
        (CHANGED, is_unjudged),
        (NEEDS_INPUT, pl.col("fault").is_not_null()),
        (SAME, ~pl.col("is_passed") & pl.col("is_same")),
        (HIDDEN, pl.col("is_hidden")),
        (PASSED, pl.col("is_passed")),
        (CHANGED, pl.lit(value=True)),
    )
    outcome = pl.coalesce(pl.when(truth).then(pl.lit(outcome.name)) for outcome, truth in outcomes)
    reasons = now.select("rejection_id", now="reason")
    judged_rows = read.with_columns(outcome=outcome).join(reasons, on="rejection_id", how="left", maintain_order="left")
    return _rejudged(judged_rows.with_columns(now=pl.when("is_skipped").then("fault").otherwise("now")), tables, now)


def _removed_outcomes(rows: pl.DataFrame) -> pl.DataFrame:
    """Returns the outcomes of rejections without a raw record: they stay as they are."""
    outcome = {"outcome": pl.lit(REMOVED.name), "now": pl.lit(None, pl.String)}
    return with_received_date(rows).with_columns(**outcome).select(OUTCOMES.names())


def _redacted_again(raws: pl.Series, origin: Origin, ruleset: Ruleset, options: Options) -> pl.Series:
    """Returns raw records by the traits that the rules add; an element of an array is no row, even in a table."""
    found = redact_again(raws, options.pii, ruleset, origin.layout)
    if origin.layout is None or not origin.settings.has_array_bodies:
        return found
    is_element = pl.Series([element_of(raw) is not None for raw in raws], dtype=pl.Boolean)
    return redact_again(raws, options.pii, ruleset).zip_with(is_element, found)


def _reread_requests(rows: pl.DataFrame, origin: Origin) -> pl.DataFrame:
    """Reads the raw records again: rows of `schema.REQUESTS` without raw text."""
    is_malformed = pl.col("reason").is_in(("malformed_record", "malformed_body"))
    read = pl.DataFrame(read_again(origin, rows["raw"].to_list()))
    is_unread = (rows["reason"] == "unread_postback") & read["fault"].is_not_null()
    known = rows.select(
        *(*_LINEAGE, *_KEPT_OF_ROW),
        known_fault=pl.when(is_malformed | is_unread).then("reason"),
        fault_message=pl.when(is_malformed).then("message"),
        is_body_logged=pl.lit(origin.row.is_body_logged),
        raw=pl.when(pl.col("reason") == "unread_postback").then("raw").otherwise(pl.lit("")),
    )
    whole = pl.concat([known, read.drop(known.columns, strict=False)], how="horizontal")
    found = {name: pl.col(name) if name in whole.columns else pl.lit(None) for name in REQUESTS.schema}
    return whole.select(
        pl.coalesce("known_fault", found[name]).alias(name) if name == "fault" else found[name].cast(dtype).alias(name)
        for name, dtype in REQUESTS.schema.items()
    )


def _changed_rejections(before: pl.DataFrame, rejections: pl.DataFrame) -> pl.DataFrame:
    """Returns the new rejections that differ from the former rows; unjudged ones can differ only in `raw`."""
    raws = before.select("rejection_id", raw=pl.col("raw_now"))
    judged = rejections.drop("raw").join(raws, on="rejection_id", maintain_order="left")
    unjudged = before.filter("is_unjudged").with_columns(raw=pl.col("raw_now"))
    names = REJECTIONS.schema.names()
    now = pl.concat([judged.join(unjudged, on="rejection_id", how="anti").select(names), unjudged.select(names)])
    both = now.join(before.select(names), on="rejection_id", suffix="_before", maintain_order="left")
    is_other = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"{name}_before")) for name in names if name != "rejection_id"
    )
    return now.filter(both.select(is_other).to_series())


def _with_known_hashes(judged: Judged, options: Options) -> Tables:
    """Puts the hashes from raw records into the tables, in the place of hashes made from hashes."""
    tables = judged.tables
    if options.pii != "hash":
        return tables
    is_refused = judged.verdicts.select(pl.any_horizontal(REFUSAL_REASONS)).to_series()
    texts = judged.fields.texts.filter(~is_refused)
    known = {name: texts[name].str.extract(_DIGEST, 1) for name in (IDENTITY_EMAIL, *page.PERSONAL_TRAITS)}
    conversions = tables.conversions.with_columns(
        *(
            _known_hash(row, known, tables.conversions).set((texts[row.trait] == DROPPED).fill_null(False), None)
            for row in trait_hashes.HASHES
            if row.trait in known
        ),
        match_key=_known_key(tables.conversions, known[IDENTITY_EMAIL]),
        issues=pl.col("issues").list.filter(~pl.element().struct.field("code").is_in(_OF_VALUES)),
    )
    ids = pl.select(rejection_id=record_ids(judged.postbacks["source_digest"], judged.postbacks["record_no"]))
    keys = ids.with_columns(judged.fields.texts[IDENTITY_EMAIL].str.extract(_DIGEST, 1).alias("known"))
    refused = tables.rejections.join(keys, on="rejection_id", how="left", maintain_order="left")
    rejections = refused.with_columns(match_key=_known_key(refused, refused["known"])).drop("known")
    return tables._replace(
        conversions=hide_in_columns(conversions, options.pii), rejections=hide_in_columns(rejections, options.pii)
    )


def _known_hash(row: trait_hashes.TraitHash, known: dict[str, pl.Series], conversions: pl.DataFrame) -> pl.Series:
    """Returns a hash column.

    A record with a hash gets that hash, or null if it is the hash of another normal form. A record with a value gets
    the hash of the value.
    """
    hashed = known[row.trait]
    if row.trait in _NAMES:
        is_whole = (conversions["name_rule"] == "full_name") & known["full_name"].is_not_null()
        return (
            pl.select(
                pl.when(is_whole.fill_null(False)).then(None).otherwise(pl.coalesce(hashed, conversions[row.column]))
            )
            .to_series()
            .alias(row.column)
        )
    is_sent = hashed.str.len_bytes() < _LONGEST
    hashes = hashed if trait_hashes.HASH_OF[row.trait] is row else hashed.set(~is_sent.fill_null(False), None)
    return hashes.zip_with(hashed.is_not_null(), conversions[row.column]).alias(row.column)


def _known_key(rows: pl.DataFrame, known: pl.Series) -> pl.Series:
    """Returns match_key, with the hash in the raw record if the key is an e-mail address."""
    is_known = ((rows["match_type"] == "email") & known.is_not_null()).fill_null(False)
    return known.zip_with(is_known, rows["match_key"])


def _hidden_ids(before: pl.DataFrame, judged: Judged, tables: Tables, rules: tuple[Ruleset, Options]) -> list[str]:
    """Returns the ids of records whose new rows would hold a replaced text, or would depend on a lost value."""
    found = [
        before.filter(pl.col("raw").str.contains(_ALTERED))["rejection_id"],
        _ids_with_lost_values(before, judged, *rules),
    ]
    for name, key, texts in _TEXT_COLUMNS:
        rows = getattr(tables, name)
        found.append(rows.filter(pl.any_horizontal(pl.col(texts).str.contains(_TRACE).fill_null(False)))[key])
    found.append(_ids_with_other_address(before, tables))
    issues = tables.conversions.select("conversion_id", "issues").explode("issues", empty_as_null=False)
    details = issues.filter(pl.col("issues").struct.field("detail").str.contains(_TRACE).fill_null(False))
    return pl.concat([*found, details["conversion_id"]]).to_list()


def _ids_with_other_address(before: pl.DataFrame, tables: Tables) -> pl.Series:
    """Returns the ids of records whose e-mail address has another hash in the raw text than in `match_key`."""
    columns = ("match_type", "match_key")
    ids = pl.col("conversion_id").alias("rejection_id")
    now = pl.concat([tables.conversions.select(ids, *columns), tables.rejections.select("rejection_id", *columns)])
    both = before.select("rejection_id", *columns).join(now, on="rejection_id", suffix="_now")
    is_address = (pl.col("match_type") == "email") & (pl.col("match_type_now") == "email")
    return both.filter(is_address & (pl.col("match_key") != pl.col("match_key_now")))["rejection_id"]


def _ids_with_lost_values(before: pl.DataFrame, judged: Judged, ruleset: Ruleset, options: Options) -> pl.Series:
    """Returns the ids of records with a value that differs from the sent value, though no table shows it."""
    params, texts = judged.fields.params, judged.fields.texts
    raws = before["raw"].filter(judged.routed["fault"].is_null())
    is_rewritten = raws.str.contains(r"^\s*[{\[]").to_numpy()[params.rows] & _is_json_text(judged)
    is_lost = is_rewritten | _is_undecidable(judged, ruleset, options)
    personal = {name: pl.col(name).fill_null("") for name in (IDENTITY_EMAIL, *page.PERSONAL_TRAITS)}
    harmless = rf"{_DIGEST}|^{DROPPED}$"
    is_mixed = pl.any_horizontal(
        text.str.contains(_TRACE)
        & ~text.str.contains(harmless if name in _HARMLESS and options.pii == "hash" else _DIGEST)
        for name, text in personal.items()
    )
    rows = np.append(params.rows[is_lost], texts.select(is_mixed).to_series().arg_true())
    postbacks = judged.postbacks[np.unique(rows)]
    return record_ids(postbacks["source_digest"], postbacks["record_no"])


def _is_json_text(judged: Judged) -> Truths:
    """Marks parameters whose value is JSON as text and is kept as text: redaction changes its blanks."""
    fields, params = judged.fields, judged.fields.params
    is_kept = fields.meaning("is_passthrough") | (fields.meaning("core") >= 0) | (fields.meaning("exact") >= 0)
    is_candidate: Truths = is_kept & ~params.is_structure & params.values.str.contains(r"^\s*[{\[]").to_numpy()
    places = np.flatnonzero(is_candidate)
    is_candidate[places] = [json_codec.is_json(text.encode()) for text in params.values.gather(places)]
    return is_candidate


def _is_undecidable(judged: Judged, ruleset: Ruleset, options: Options) -> Truths:
    """Returns, for each parameter, whether its value was replaced by `redacted` and could change the row.

    With `--pii hash`, the traits in `_HARMLESS` are not marked. A name that nothing reads changes no row.
    """
    params, meanings = judged.fields.params, judged.fields.meanings
    harmless = {
        name
        for field in ruleset.exact_fields
        if field.name in _HARMLESS and options.pii == "hash"
        for name in field.accepted
    }
    is_read = meanings["is_recognised"] | meanings["near_miss"].is_not_null()
    is_harmful = (is_read & ~params.names.is_in(list(harmless))).to_numpy()
    is_dropped: Truths = (params.values == DROPPED).to_numpy() & is_harmful[params.numbers]
    return is_dropped


def _rejudged(judged_rows: pl.DataFrame, tables: Tables, now: pl.DataFrame) -> Rejudged:
    """Collects the outcomes, and the rows of the rejections that change."""
    passed = judged_rows.filter(pl.col("outcome") == PASSED.name)["rejection_id"]
    changed = judged_rows.filter(pl.col("outcome") == CHANGED.name)["rejection_id"]
    rows = {
        name: getattr(tables, name).filter(pl.col("conversion_id").is_in(passed.implode()))
        for name in ("conversions", "items", "passthroughs", "keys")
    }
    raws = judged_rows.select(conversion_id="rejection_id", raw="raw_now")
    return Rejudged(
        tables={
            **rows,
            "rejections": now.select(REJECTIONS.schema.names()).filter(pl.col("rejection_id").is_in(changed.implode())),
            "raws": raws.filter(pl.col("conversion_id").is_in(rows["keys"]["conversion_id"].implode())),
        },
        outcomes=judged_rows.select(OUTCOMES.names()),
    )
