"""The job in plain Python, one process: `re`, `urllib.parse`, `json`, and `pyarrow` to write Parquet.

    python bench/peers/plain_python.py INPUT OUT [--hashes]

INPUT is a combined access log or a dump of envelopes in JSON lines (`.jsonl`), plain or `.gz`. Memory holds one
batch of rows and the transaction keys. What is decided once is remembered: what a parameter's name fills, what a path
routes to, what a second of the log is. A name is looked up as it is spelled, in a dict that works out unknown ones.
"""

from __future__ import annotations

import gc
import gzip
import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from plain_hashes import COLUMNS, hashes
from plain_page import EVENTS
from plain_params import SLOTS, Meaning, Meanings, body_params, item_texts, query_params
from plain_tables import Writers
from plain_texts import (
    EPOCH,
    MACRO,
    MICROSECOND,
    WORDS_FOR_NOTHING,
    amount,
    is_positive,
    json_fault,
    line_fault,
    log_instant,
    occurred_at,
    scalar,
    split_name,
)

LINE: Final = re.compile(
    r"(\S+) \S+ \S+ \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    r'"([A-Z]+) ([^ ?"]*)(?:\?([^ "]*))? HTTP/[\d.]+" (\d{3}) (?:\d+|-)(?: "[^"]*" "([^"]*)")?'
)
ROUTE: Final = re.compile(r"/(?:[^/]+/)*?([^/]+)/collect/([^/]+)/?")
SEPARATORS: Final = (",", ":")

NOBODY: Final = (0, None, None)
NOTHING: Final = [NOBODY] * len(SLOTS)


class Request(NamedTuple):
    """A postback as its record tells it; times are microseconds since 1970."""

    record_no: int
    received_at: int | None
    method: str | None
    status: int | None
    client_ip: str | None
    user_agent: str | None
    raw: str


@lru_cache(maxsize=65_536)
def route(path: str) -> tuple[str, str] | None:
    """Account and integration of a collect path."""
    match = ROUTE.fullmatch(path)
    return (match[1], match[2]) if match else None


class Job:
    """One run: the meanings of names, the keys of transactions, the tables."""

    def __init__(self, out: Path, *, has_hashes: bool) -> None:
        self.meanings = Meanings()
        self.has_hashes = has_hashes
        self.kept: dict[tuple[str, ...], tuple[int, int, tuple[Any, ...]]] = {}
        self.tables = Writers(out, COLUMNS if has_hashes else "")

    def read_log(self, lines: Iterator[str]) -> None:
        """All lines of a combined log."""
        for record_no, line in enumerate(lines, 1):
            match = LINE.match(line)
            if not match:
                self.reject(Request(record_no, None, None, None, None, None, line[:-1]), line_fault(line))
                continue
            client_ip, clock, method, path, query, status, agent = match.groups()
            routed = route(path)
            if routed is None or method not in ("GET", "POST"):
                continue
            request = Request(
                record_no,
                log_instant(clock),
                method,
                int(status),
                client_ip,
                agent if agent != "-" else None,
                line[:-1],
            )
            if query:
                self.judge(request, routed, query_params(query))
            elif method == "POST":
                message = "A POST without a query, in a log that holds no bodies: its conversion cannot be seen"
                self.reject(request, message, ("body_not_logged",), routed)
            else:
                self.judge(request, routed, [])

    def read_dump(self, lines: Iterator[str]) -> None:
        """All lines of a dump of envelopes."""
        for record_no, line in enumerate(lines, 1):
            raw = line.rstrip("\n")
            try:
                envelope = json.loads(raw)
            except ValueError:
                self.reject(Request(record_no, None, None, None, None, None, raw), json_fault(raw))
                continue
            routed = route(envelope["path"])
            method = envelope.get("method")
            if routed is None or method not in ("GET", "POST", None):
                continue
            instant = datetime.fromisoformat(envelope["received_at"])
            agent = envelope["headers"].get("user-agent")
            request = Request(record_no, (instant - EPOCH) // MICROSECOND, method, None, None, agent, raw)
            params = body_params(envelope["body"])
            if isinstance(params, str):
                self.reject(request, params, ("malformed_body",), routed)
            else:
                self.judge(request, routed, params)

    def judge(self, request: Request, routed: tuple[str, str], params: list[tuple[str, Any]]) -> None:
        """One postback: its winners, then its event; a rejection, or a conversion with items and passthroughs."""
        winners, others = self.winners(params)
        match_type, (_, match_key, match_param) = "click_id", winners[0]
        if match_key is None:
            match_type, (_, match_key, match_param) = "ref_id", winners[1]
        if match_key is None:
            match_type, (_, match_key, match_param) = "email", winners[2]
        event, event_rule = decide_event(winners, others)
        reasons = ("missing_identity",) if match_key is None else ()
        if event is None:
            reasons += ("unknown_conversion_type",)
        if reasons:
            message = "Unknown conversion_type" if match_key else "Missing click_id, ref_id and email"
            self.reject(request, message, reasons, routed)
            return
        core = [text for _, text, _ in winners]
        value, currency = amount(core[3]), core[4]
        if currency is not None and len(code := currency.strip()) == 3 and code.isascii() and code.isalpha():
            currency = code.upper()
        key = transaction_key(routed, event, core[6])
        if key and self.is_repeated(key, request, routed, (value and Decimal(value), currency, match_key)):
            return
        at = occurred_at(core[8])
        first, last, full = core[11], core[12], core[13]
        name_rule = "parts" if first or last else None
        if full and not name_rule:
            first, last = split_name(full)
            name_rule = "full_name" if first or last else None
        passthroughs = self.passthroughs(request.record_no, others)
        hashed = hashes((core[10], core[14], first, last, *core[15:])) if self.has_hashes else ()
        self.tables.conversions.append((
            request.record_no, *routed, request.received_at, request.received_at if at is None else at,
            "received" if at is None else "parameter", match_type, match_key, match_param, core[0], core[1], event,
            event_rule, core[9], value, winners[3][2], currency, core[4] is None, core[6], core[7], core[10], core[14],
            first, last, *core[15:], name_rule, self.items(request.record_no, others), passthroughs, request.method,
            request.status, request.client_ip, request.user_agent, *hashed,
        ))  # fmt: skip
        self.tables.flush_full()

    def winners(self, params: list[tuple[str, Any]]) -> tuple[list[tuple[Any, ...]], list[tuple[Meaning, Any]]]:
        """(rank, text, name) of the best parameter of every slot, and the parameters that are more than fields."""
        winners = NOTHING.copy()
        others: list[tuple[Meaning, Any]] = []
        meanings = self.meanings
        for name, value in params:
            meaning = meanings[name]
            fills, _, _, _, is_other = meaning
            if fills and value.__class__ is not list and value.__class__ is not dict and value is not None:
                text = value if value.__class__ is str else scalar(value)
                for slot, rank in fills:
                    best = winners[slot]
                    if (best[1] is None or rank < best[0]) and text and not text.isspace():
                        winners[slot] = (rank, text, name)
            if is_other:
                others.append((meaning, value))
        return winners, others

    def is_repeated(
        self, key: tuple[str, ...], request: Request, routed: tuple[str, str], facts: tuple[Any, ...]
    ) -> bool:
        """Whether the transaction was seen; then it is rejected. Holds as long as repetitions come later in time."""
        received_at = request.received_at or 0
        kept = self.kept.setdefault(key, (received_at, request.record_no, facts))
        if kept[1] == request.record_no:
            return False
        if received_at < kept[0]:
            raise SystemExit(
                f"record {request.record_no} is older than record {kept[1]}, which it repeats: sort the input"
            )
        kind = "identical" if kept[2] == facts else "conflicting"
        self.reject(request, "Duplicate transaction_id", ("duplicate_transaction",), routed, (kept[1], kind))
        return True

    def items(self, record_no: int, others: list[tuple[Meaning, Any]]) -> int:
        """Writes the rows of the first items array that is one and not empty; how many there are."""
        if not others:
            return 0
        arrays = sorted(((meaning.container, i) for i, (meaning, _) in enumerate(others) if meaning.container >= 0))
        for _, i in arrays:
            elements = others[i][1]
            if isinstance(elements, str):
                try:
                    elements = json.loads(elements)
                except ValueError:
                    continue
            elements = [elements] if isinstance(elements, dict) else elements
            if isinstance(elements, list) and elements:
                rows = [(at, element) for at, element in enumerate(elements) if isinstance(element, dict)]
                self.tables.items += [(record_no, at, *item_texts(element)) for at, element in rows]
                return len(rows)
        return 0

    def passthroughs(self, record_no: int, others: list[tuple[Meaning, Any]]) -> int:
        """Writes one row a distinct name; how many there are."""
        if not others:
            return 0
        texts: dict[str, str] = {}
        for meaning, value in others:
            if meaning.passthrough and meaning.passthrough not in texts and value is not None:
                if isinstance(value, (dict, list)):
                    text = json.dumps(value, ensure_ascii=False, separators=SEPARATORS)
                else:
                    text = value if isinstance(value, str) else scalar(value)
                if text and not text.isspace():
                    texts[meaning.passthrough] = text
        self.tables.passthroughs += [(record_no, at, *pair, at < 5) for at, pair in enumerate(texts.items())]
        return len(texts)

    def reject(
        self,
        request: Request,
        message: str,
        reasons: tuple[str, ...] = ("malformed_record",),
        routed: tuple[str | None, str | None] = (None, None),
        duplicate: tuple[int | None, str | None] = (None, None),
    ) -> None:
        """One row of rejections."""
        seen = (request.received_at, request.raw, request.method, request.status)
        self.tables.rejections.append((request.record_no, reasons[0], reasons, message, *duplicate, *routed, *seen))


def decide_event(winners: list[tuple[Any, ...]], others: list[tuple[Meaning, Any]]) -> tuple[str | None, str | None]:
    """The event and the rule that gave it; no event where the type is unknown."""
    event_name, conversion_type = winners[5][1], winners[9][1]
    if event_name is not None:
        return event_name.strip(), "event_name"
    if conversion_type is not None:
        return EVENTS.get(conversion_type.lower()), "conversion_type"
    commissions = (value for meaning, value in others if meaning.is_commission and not isinstance(value, (dict, list)))
    if any(is_positive(value if isinstance(value, str) else scalar(value)) for value in commissions):
        return "Purchase", "automatic_commission"
    return "Lead", "automatic_lead"


def transaction_key(routed: tuple[str, str], event: str, transaction_id: str | None) -> tuple[str, ...] | None:
    """What a repetition has in common with what it repeats; None where nothing can."""
    trimmed = transaction_id.strip() if transaction_id else ""
    if not trimmed or trimmed.lower() in WORDS_FOR_NOTHING or MACRO.fullmatch(trimmed):
        return None
    return (*routed, event, trimmed)


def main(source: str, out: str, *, has_hashes: bool) -> None:
    """Reads one input and writes the four tables."""
    gc.disable()  # nothing here forms a cycle
    opened = gzip.open if source.endswith(".gz") else open
    job = Job(Path(out), has_hashes=has_hashes)
    with opened(source, "rt", encoding="utf-8", errors="replace", newline="\n") as lines:
        read = job.read_dump if ".jsonl" in Path(source).name else job.read_log
        read(lines)
    job.tables.close()


if __name__ == "__main__":
    main(*sys.argv[1:3], has_hashes="--hashes" in sys.argv)
