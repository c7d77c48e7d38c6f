"""Logs with planted gaps, for the audit and the reconciliation: what was planted is known, the rest is regular.

Four weeks of a combined log in two rotated files, 24 requests an hour of five senders. Every gap is a constant here.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

START: Final = datetime(2024, 4, 29, tzinfo=UTC)  # a Monday
DAYS: Final = 28

#: The shop sends nothing on this day.
SILENT_DAY: Final = datetime(2024, 5, 15, tzinfo=UTC)
#: Between the two files nobody's requests were logged.
HOLE: Final = (datetime(2024, 5, 8, 3, tzinfo=UTC), datetime(2024, 5, 8, 9, tzinfo=UTC))
#: The tracker's timestamps are so far ahead.
OFFSET: Final = timedelta(hours=2)
#: Every so-manieth key of the network is cut to so many characters, after it was sent whole.
CUT: Final = (40, 16)
HOSTILE: Final = '<script>document.title="owned"</script><img src=x onerror=alert(1)>\x1b[31m[bold]'

LINE: Final = (
    '192.0.2.{host} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET /acme/collect/{slug}?{query} HTTP/1.1" {status} 2 "-"'
    ' "{agent}"\n'
)

AGENTS: Final = {
    "shop": "WordPress/6.5; https://shop.example.com",
    "network": "GuzzleHttp/7",
    "tracker": "Go-http-client/1.1",
    "leads": "Mozilla/5.0 (compatible; LeadForm/3.2; +https://leads.example.com)",
    "legacy": "Java/17.0.11",
}
#: Requests an hour.
RATES: Final = {"shop": 12, "network": 5, "tracker": 4, "leads": 2, "legacy": 1}


def key_of(sender: str, number: int) -> str:
    """A click id of 21 hex digits, the same at every run."""
    return f"{(number * 2_654_435_761 + len(sender)) % 2**84:021x}"[::-1]


def write_logs(folder: Path) -> list[Path]:
    """Two files, `access.log.1` and `access.log`, in the order of their time."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "access.log.1", folder / "access.log"]
    lines = sorted(_lines(), key=lambda line: line[0])
    for path, is_old in zip(paths, (True, False), strict=True):
        text = "".join(line for at, line in lines if (at < HOLE[0]) == is_old)
        path.write_text(text, encoding="utf-8")
    return paths


def _lines() -> Iterator[tuple[datetime, str]]:
    number = 0
    for hour in range(DAYS * 24):
        for sender, rate in RATES.items():
            for turn in range(rate):
                number += 1
                at = START + timedelta(hours=hour, seconds=turn * 3600 // rate + 7)
                is_in_hole = HOLE[0] <= at < HOLE[1]
                is_silent = sender == "shop" and at.date() == SILENT_DAY.date()
                if not is_in_hole and not is_silent:
                    yield from _requests(sender, number, at)


def _requests(sender: str, number: int, at: datetime) -> Iterator[tuple[datetime, str]]:
    """A postback and its retries."""
    params = _params(sender, number, at)
    status = 200
    if sender == "network" and number % 50 == 0:
        status = 500
        yield at + timedelta(seconds=20), _line(sender, at + timedelta(seconds=20), params, 200)
    elif sender == "legacy" and number % 7 == 2:
        status = 503
    yield at, _line(sender, at, params, status)
    if sender == "network" and number % CUT[0] == 1:
        later = at + timedelta(minutes=1)
        cut = params | {"click_id": params["click_id"][: CUT[1]], "transaction_id": f"cut-{number}"}
        yield later, _line(sender, later, cut, 200)


def _params(sender: str, number: int, at: datetime) -> dict[str, str]:
    key, money = key_of(sender, number), f"{number % 90 + 10}.50"
    if sender == "shop":
        params = {"click_id": key, "conversion_type": "purchase", "value": money, "currency": "EUR"}
        params |= {"transaction_id": f"order-{number}", "email": f"u{number}@example.com", "brand": "Acme"}
        return params | ({"brand": HOSTILE, "firstname": "x"} if number % 400 == 0 else {})
    if sender == "network":
        params = {"clickid": key, "commission": money, "cur": "USD", "transaction_id": f"net-{number}"}
        params["click_id"] = params.pop("clickid")
        return params
    if sender == "tracker":
        ahead = int((at + OFFSET).timestamp()) - 5
        params = {"click_id": key, "conversion_type": "sale", "amount": money, "currency": "USD"}
        return params | {"timestamp": str(ahead), "transaction_id": f"t-{number}"}
    if sender == "leads":
        kind = {0: "sales", 1: HOSTILE}.get(number % 70, "lead")
        return {"ref_id": str(100_000 + number), "conversion_type": kind, "event_id": "1"}
    params = {"click_id": "{clickid}" if number % 7 == 1 else key, "value": money, "currency": "EUR"}
    return params | ({"transaction_id": "1"} if number % 5 == 0 else {})


def _line(sender: str, at: datetime, params: dict[str, str], status: int) -> str:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in params.items())
    host = list(RATES).index(sender) + 1
    return LINE.format(host=host, at=at, slug=sender, query=query, status=status, agent=AGENTS[sender])
