"""Plans a second sending of what was lost: each lost record is sent again, corrected, or refused for a reason.

Nothing is sent here. What would be sent is judged as the endpoint would judge it, so that its rows are known before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, NamedTuple

import polars as pl

from etl.reports.display import as_html
from etl.reports.resend.corrected_postbacks import Parameters
from etl.reports.resend.lost_records import find_lost
from etl.reports.resend.platform_windows import WINDOWS, still_taken_by
from etl.reports.resend.recorded_keys import KEY_COLUMNS, add_ids, find_recorded
from etl.reports.resend.reread_records import reread
from etl.reports.resend.resend_drafts import REFUSALS, ResendDraft, ResendRequest, draft
from etl.rules.ruleset import Ruleset
from etl.runner.run import value_sums
from etl.schema import CONVERSIONS

_RECORDS_PER_BATCH: Final = 20_000
_SOURCE_KEY: Final = ("source", "source_digest", "record_no")
_KEYS: Final = {"place": pl.Int64} | {name: CONVERSIONS.schema[name] for name in KEY_COLUMNS}


class Resend(NamedTuple):
    """A postback to send again.

    Attributes:
        record_id: The conversion_id or rejection_id of the lost record.
        findings: Names of its findings.
        path: The collect path of its account and integration.
        parameters: What is sent.
        row: The columns `resend_drafts.SHOWN` of the conversion that it will be.
        is_harmless: A repetition is found by its transaction_id, and nothing is counted twice.
        still_taken_by: The platforms whose window is open.
    """

    record_id: str
    findings: list[str]
    path: str
    parameters: Parameters
    row: dict[str, Any]
    is_harmless: bool
    still_taken_by: list[str]


class Refused(NamedTuple):
    """A lost record that is not sent again, and the code of the reason."""

    record_id: str
    findings: list[str]
    source: str
    record_no: int
    reason: str


class ResendPlan(NamedTuple):
    """What is sent again, the harmless first, and what is refused; both in the order of receipt."""

    resends: list[Resend]
    refused: list[Refused]
    notes: list[str]

    def _repr_html_(self) -> str:
        summary = self.as_data()
        rows = [(name, *counts.values()) for name, counts in summary["by_finding"].items()]
        findings = pl.DataFrame(rows, schema=["finding", "findings", "resent", "refused"], orient="row")
        reasons = pl.DataFrame(
            list(summary["refused"]["by_reason"].items()), schema=["reason", "records"], orient="row"
        )
        title = f"{len(self.resends):,} postbacks to send again"
        return as_html(title, self.notes, (("Findings", findings), ("Refused", reasons)))

    def as_data(self) -> dict[str, Any]:
        """Summarises the plan as plain data, with every refusal."""
        by_finding: dict[str, dict[str, int]] = {}
        for findings, end in (
            *((one.findings, "resent") for one in self.resends),
            *((one.findings, "refused") for one in self.refused),
        ):
            counts = by_finding.setdefault(findings[0], {"findings": 0, "resent": 0, "refused": 0})
            counts["findings"] += 1
            counts[end] += 1
        values: dict[tuple[str, str], Decimal] = {}
        for resend in self.resends:
            key = resend.row["event"], resend.row["currency"] or ""
            values[key] = values.get(key, Decimal()) + (resend.row["value"] or 0)
        reasons = Counter(one.reason for one in self.refused)
        return {
            "findings": len(self.resends) + len(self.refused),
            "resent": len(self.resends),
            "resent_without_id": sum(not one.is_harmless for one in self.resends),
            "refused": {
                "total": len(self.refused),
                "by_reason": {row.code: reasons[row.code] for row in REFUSALS if row.code in reasons},
            },
            "by_finding": by_finding,
            "still_taken_by": {
                row.platform: sum(row.platform in one.still_taken_by for one in self.resends) for row in WINDOWS
            },
            "value_by_event": value_sums(values)["value_by_event"],
            "notes": self.notes,
            "refusals": [one._asdict() for one in self.refused],
        }


def plan_resends(request: ResendRequest) -> ResendPlan:
    """Decides for each lost record what is sent again, or why nothing is.

    Raises:
        EtlError: The tables cannot be read.
    """
    account, integration = request.options.account, request.options.integration
    lost = find_lost(request.lost_in, request.findings, account, integration)
    requests, unread, notes = reread(lost, request.published.manifest["inputs"], request.reading)
    found = lost.join(requests, on=_SOURCE_KEY, how="semi", maintain_order="left")
    aligned = found.select(_SOURCE_KEY).join(requests, on=_SOURCE_KEY, how="left", maintain_order="left")
    drafts: dict[str, ResendDraft] = {}
    for start in range(0, found.height, _RECORDS_PER_BATCH):
        part = slice(start, start + _RECORDS_PER_BATCH)
        batch = draft(found[part], aligned[part].select(requests.columns), request)
        drafts |= {one.lost["record_id"]: one for one in batch}
    for row in lost.iter_rows(named=True):
        drafts.setdefault(row["record_id"], ResendDraft(row, unread.get(row["source"], "read_otherwise")))
    return _settle([drafts[name] for name in lost["record_id"]], request, [*request.notes, *notes])


def _settle(drafts: list[ResendDraft], request: ResendRequest, notes: list[str]) -> ResendPlan:
    """Refuses what is recorded, what repeats an earlier draft, and what a second sending would count twice."""
    keys = add_ids(pl.DataFrame(list(_keys(drafts)), schema=_KEYS, orient="row"), request.ruleset)
    recorded = find_recorded(request.published, keys, request.ruleset)
    ids = dict(keys.select("place", "id").unique("place", keep="first", maintain_order=True).iter_rows())
    taken: set[tuple[object, ...]] = set()
    resends, refused = list[Resend](), list[Refused]()
    for place, one in enumerate(drafts):
        lost, row = one.lost, one.row
        is_harmless = ids.get(place) is not None and not _is_recorded_otherwise(one)
        key = _key(one, ids.get(place), request.ruleset)
        refusal = one.refusal
        if refusal is None and place in recorded:
            refusal = "already_recorded"
        elif refusal is None and key in taken:
            refusal = "repeated"
        elif refusal is None and not is_harmless and not request.is_without_id:
            refusal = "without_id"
        if refusal:
            refused.append(Refused(lost["record_id"], lost["findings"], lost["source"], lost["record_no"], refusal))
            continue
        taken.add(key)
        platforms = still_taken_by(row["occurred_at"], request.now)
        resends.append(
            Resend(lost["record_id"], lost["findings"], one.path, one.parameters, row, is_harmless, platforms)
        )
    return ResendPlan(sorted(resends, key=lambda one: not one.is_harmless), refused, notes)


def _key(one: ResendDraft, transaction_id: str | None, ruleset: Ruleset) -> tuple[object, ...]:
    """Returns what a draft shares with drafts that repeat it."""
    event = one.row.get("event")
    if transaction_id is None:
        return *one.owner, event, one.row.get("match_key"), one.row.get("value"), one.row.get("currency")
    return *one.owner, event if ruleset.dedup_scope == "event" else None, transaction_id


def _keys(drafts: list[ResendDraft]) -> Iterator[tuple[object, ...]]:
    """Yields the keys of drafts that are not refused, whole and as stores without personal values have them."""
    for place, one in enumerate(drafts):
        if one.refusal is None:
            for row in [one.row] if one.hidden is one.row else [one.row, one.hidden]:
                yield place, *one.owner, *(row[name] for name in KEY_COLUMNS[2:])


def _is_recorded_otherwise(one: ResendDraft) -> bool:
    """Whether the record itself was recorded with the same event: not under this id, or it would be refused."""
    is_recorded = one.lost["table"] == "conversions" and (one.lost["http_status"] or 0) < 400
    return is_recorded and one.lost["event"] in (one.row.get("event"), one.hidden.get("event"))
