"""Runs the steps of the transform in order: requests in, four tables out.

route -> parse bodies -> params -> fields -> verdicts -> rejections, conversions -> items, passthroughs -> issues
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from etl.options import Options
from etl.privacy.redaction import redact_raws
from etl.rules import page
from etl.rules.ruleset import Ruleset
from etl.schema import CONVERSIONS, ITEMS, PASSTHROUGHS, REJECTIONS
from etl.steps.address_columns import ShownRows, hide_in_columns, hide_in_names
from etl.steps.conversions import build_conversions, judge_postbacks, protect_match_key
from etl.steps.deduplication import dedup_keys
from etl.steps.field_resolution import Fields, resolve_aliases
from etl.steps.issues import find_issues, list_issues
from etl.steps.items import build_items
from etl.steps.met_conditions import leave_out
from etl.steps.parameters import explode_params, parse_bodies
from etl.steps.passthroughs import build_passthroughs
from etl.steps.record_ids import record_ids
from etl.steps.rejections import REFUSAL_REASONS, reject_postbacks, reject_records
from etl.steps.unread_postbacks import REQUESTLESS, find_unread


class Tables(NamedTuple):
    """The result of a batch of requests. Every request is in exactly one of conversions, rejections and skipped.

    Attributes:
        conversions: Rows of `schema.CONVERSIONS`.
        items: Rows of `schema.ITEMS`.
        passthroughs: Rows of `schema.PASSTHROUGHS`.
        rejections: Rows of `schema.REJECTIONS`.
        keys: Rows of `schema.KEYS`, for deduplication.
        skipped: Number of skipped requests by input and reason: source_digest String, reason String, count Int64.
        unrecognised: Number of unread parameters by input and name: source_digest String, name String, count Int64.
    """

    conversions: ShownRows
    items: ShownRows
    passthroughs: ShownRows
    rejections: ShownRows
    keys: pl.DataFrame
    skipped: pl.DataFrame
    unrecognised: ShownRows


class Judged(NamedTuple):
    """The tables of a batch, and the intermediate frames of `transform`.

    Attributes:
        routed: All requests: rows of `schema.REQUESTS` with account and integration; `fault` is set where a request is
            no postback or cannot be read.
        postbacks: The requests without a fault. Column `row` of other frames is the index in this frame.
        fields: Fields of the postbacks.
        verdicts: Output of `judge_postbacks` for the postbacks; `match_key` as sent.
        tables: The tables.
    """

    routed: pl.DataFrame
    postbacks: pl.DataFrame
    fields: Fields
    verdicts: pl.DataFrame
    tables: Tables


_SKIPS = [reason.code for reason in page.SKIPS]
_LINEAGE = ("source", "source_digest", "record_no", "byte_offset")
_REQUEST_COLUMNS = (
    "http_method",
    "http_status",
    "client_ip",
    "user_agent",
    "account_id",
    "integration",
    *_LINEAGE,
)


def transform(requests: pl.DataFrame, ruleset: Ruleset | None = None, options: Options | None = None) -> Tables:
    """Transforms a batch of requests into the four tables.

    No data raises an exception. Batches are independent: the tables of a whole input are the tables of its parts, one
    after another. Rows keep the order of the requests. Duplicates are found later, across all batches.

    Args:
        requests: Rows of `schema.REQUESTS`.
        ruleset: The rules; the page's by default.
        options: Default currency, account, integration, treatment of personal values, period and statuses.

    Returns:
        The tables of this batch.
    """
    return judge(requests, ruleset, options).tables


def judge(requests: pl.DataFrame, ruleset: Ruleset | None = None, options: Options | None = None) -> Judged:
    """Transforms a batch of requests like `transform`, and also returns the intermediate frames.

    Args:
        requests: Rows of `schema.REQUESTS`.
        ruleset: The rules; the page's by default.
        options: The options of `transform`.
    """
    ruleset, options = ruleset or Ruleset(), options or Options()
    routed = parse_bodies(route_requests(requests, ruleset, options))
    postbacks = routed.filter(routed["fault"].is_null())
    params = explode_params(postbacks, ruleset.parameter_order, ruleset.followed_paths, ruleset.body_charset)
    if ruleset.left_out:
        routed, params = leave_out(routed, params, ruleset)
        postbacks = routed.filter(routed["fault"].is_null())
    is_skipped = routed["fault"].is_in(_SKIPS).fill_null(False)
    unreadable = reject_records(routed.filter(routed["fault"].is_not_null() & ~is_skipped), ruleset)
    fields = resolve_aliases(params, postbacks.height, ruleset)
    verdicts = _mark_unread(judge_postbacks(fields, ruleset, options), postbacks, ruleset)
    refused = reject_postbacks(postbacks, verdicts, fields, ruleset)

    is_accepted = ~verdicts.select(pl.any_horizontal(REFUSAL_REASONS)).to_series()
    accepted, filled = postbacks.filter(is_accepted), fields.filter(is_accepted)
    conversions = build_conversions(accepted, verdicts.filter(is_accepted), filled, ruleset, options)
    items, items_findings = build_items(fields, conversions, ruleset)
    passthroughs, passthroughs_findings = build_passthroughs(fields, conversions)
    found = [*find_issues(conversions, filled, ruleset), *items_findings, *passthroughs_findings]
    whole = conversions.with_columns(
        list_issues(found, postbacks.height).filter(is_accepted),
        _counts(items, postbacks.height).filter(is_accepted).alias("item_count"),
        _counts(passthroughs, postbacks.height).filter(is_accepted).alias("passthrough_count"),
        *accepted.select(_REQUEST_COLUMNS),
    )
    whole = _with_ids(whole, "conversion_id")
    ids = whole.select("row", "conversion_id")
    if options.pii != "keep":
        whole = whole.with_columns(client_ip=pl.lit(None, pl.String))
    rejected = _with_ids(pl.concat([unreadable, refused]).sort("source_digest", "record_no"), "rejection_id")
    rejections = protect_match_key(rejected, options)
    unread = rejections["reason"].is_in(("malformed_record", "unread_postback"))
    raws = redact_raws(rejections["raw"], options.pii, ruleset, rejections["layout"], unread)
    sent = {
        "conversions": protect_match_key(whole, options).select(CONVERSIONS.names),
        "items": items.join(ids, on="row", maintain_order="left").select(ITEMS.names),
        "passthroughs": passthroughs.join(ids, on="row", maintain_order="left").select(PASSTHROUGHS.names),
        "rejections": rejections.with_columns(raws).select(REJECTIONS.names),
    }
    hidden = {name: hide_in_columns(rows, options.pii, ruleset) for name, rows in sent.items()}
    tables = Tables(
        **hidden,
        keys=dedup_keys(hidden["conversions"], whole, ruleset),
        skipped=routed.filter(is_skipped)
        .group_by("source_digest", reason="fault")
        .agg(pl.len().cast(pl.Int64).alias("count")),
        unrecognised=hide_in_names(fields.count_unread(postbacks["source_digest"]), options.pii, ruleset),
    )
    return Judged(routed, postbacks, fields, verdicts, tables)


def _mark_unread(verdicts: pl.DataFrame, postbacks: pl.DataFrame, ruleset: Ruleset) -> pl.DataFrame:
    """Adds the reason `unread_postback`: a bare payload without identity, whose text holds the collect path."""
    is_bare = postbacks["path"].is_null() & verdicts["missing_identity"]
    is_unread = find_unread(postbacks, is_bare, ruleset)
    return verdicts.with_columns(
        unread_postback=is_unread, **{name: verdicts[name] & ~is_unread for name in REFUSAL_REASONS[1:]}
    )


def route_requests(requests: pl.DataFrame, ruleset: Ruleset, options: Options) -> pl.DataFrame:
    """Decides which requests are postbacks, and reads account and integration from their paths.

    Args:
        requests: Rows of `schema.REQUESTS`.
        ruleset: Gives the collect path.
        options: Account and integration of bare payloads, which have no path; the period and the statuses that count.

    Returns:
        The same rows with `account_id` and `integration`. `fault` says why a request is skipped, that its body was not
        logged, or that a record without a request holds the collect path. The fault of a reader stays otherwise, but a
        skip replaces `malformed_body`.

    Source: rules 1.1, 1.3d, 1.7; a request counts from `--since` on and before `--until`, by received_at.
    """
    is_requestless = requests["fault"].is_in(REQUESTLESS) & requests["path"].is_null()
    is_unread = find_unread(requests, is_requestless, ruleset)
    requests = requests.with_columns(requests["fault"].set(is_unread, "unread_postback"))
    paths = requests["path"].unique()
    parts = paths.str.extract_groups(ruleset.collect_pattern)
    routes = (
        pl.DataFrame({"path": paths, "parts": parts}).unnest("parts").rename({"account": "account_id"}, strict=False)
    )
    unsaid = {name: pl.lit(None, pl.String) for name in ("account_id", "integration") if name not in routes.columns}
    routes = routes.with_columns(**unsaid)
    routed = requests.join(routes, on="path", how="left", nulls_equal=True, maintain_order="left")
    has_path = pl.col("path").is_not_null()
    is_postback = (~has_path | pl.col("route").is_not_null()) & (
        pl.col("http_method").is_null() | pl.col("http_method").is_in(page.COLLECT_METHODS)
    )
    is_bodiless = (
        (pl.col("http_method") == "POST")
        & ~pl.col("is_body_logged")
        & (pl.col("query").str.len_bytes().fill_null(0) == 0)
        & pl.all_horizontal(pl.col("body", "fields", "query_fields").is_null())
    )
    routed = routed.with_columns(
        fault=pl.when(pl.col("fault").is_not_null() & (pl.col("fault") != "malformed_body"))
        .then("fault")
        .when(~is_postback)
        .then(pl.lit("not_a_postback"))
        .when(~_is_in_period(options))
        .then(
            pl.when(pl.col("received_at").is_null()).then(pl.lit("no_received_at")).otherwise(pl.lit("outside_period"))
        )
        .when(~_has_status(options))
        .then(pl.lit("other_status"))
        .when(pl.col("fault").is_null() & is_bodiless)
        .then(pl.lit("body_not_logged"))
        .otherwise("fault")
    )
    is_said = (
        pl.when(has_path)
        .then(pl.col("route").is_not_null())
        .otherwise(~pl.col("fault").is_in(("malformed_record", "unread_postback")).fill_null(False))
    )
    account, integration = (
        pl.coalesce(name, pl.when(is_said).then(pl.lit(option, pl.String)))
        for name, option in (("account_id", options.account), ("integration", options.integration))
    )
    return routed.with_columns(account_id=account, integration=integration).drop("route")


def _is_in_period(options: Options) -> pl.Expr:
    """Returns the condition that received_at lies in the period of --since and --until."""
    is_in = pl.lit(value=True)
    if options.since:
        is_in = is_in & (pl.col("received_at") >= options.since)
    if options.until:
        is_in = is_in & (pl.col("received_at") < options.until)
    return is_in.fill_null(False)


def _has_status(options: Options) -> pl.Expr:
    """Returns the condition that --status includes the HTTP status."""
    if not options.statuses:
        return pl.lit(value=True)
    in_ranges = [pl.col("http_status").is_between(span.start, span.stop, closed="left") for span in options.statuses]
    return pl.any_horizontal(in_ranges).fill_null(False)


def _with_ids(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """Adds a column with the ids of records."""
    return rows.with_columns(record_ids(rows["source_digest"], rows["record_no"]).alias(name))


def _counts(rows: pl.DataFrame, height: int) -> pl.Series:
    """Returns the number of rows of each of `height` postbacks."""
    counts = rows.group_by("row").agg(pl.len().cast(pl.Int32).alias("count"))
    return pl.zeros(height, pl.Int32, eager=True).scatter(counts["row"], counts["count"])
