"""Write `access.log.gz` and `webhooks.jsonl` beside this file: invented, seeded, the same bytes at every run.

What is written stands in `templates.toml` (senders, odd queries, bodies); this file draws and mixes it.
Addresses, mail and phone numbers come from the ranges that are reserved for examples.
"""

import gzip
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import quote, quote_plus

HERE: Final = Path(__file__).resolve().parent
SEED: Final = 20240514
BEGIN: Final = datetime(2024, 5, 14, tzinfo=UTC)
DAYS: Final = 3
POSTBACKS: Final = 2950
OTHERS: Final = 780
WEBHOOKS: Final = 545
CUT_BYTES: Final = 70  # how much of the last log line is missing
HOUR_WEIGHTS: Final = (3, 2, 2, 1, 1, 2, 3, 5, 7, 9, 10, 10, 9, 10, 11, 11, 10, 10, 11, 12, 12, 10, 7, 5)

PEOPLE: Final = (
    ("Maren", "Muster"),
    ("Tomás", "Ejemplo"),
    ("Zoë", "Sample"),
    ("Björn", "Exempel"),
    ("Łucja", "Przykład"),
    ("Nguyễn", "Ví Dụ"),
    ("美咲", "見本"),
    ("Ola", "O'Sample"),
    ("Renée", "d'Exemple"),
    ("Ivo", "Mustermann-Beispiel"),
)
PLACES: Final = (  # city, state, zip code, country, currency
    ("Springfield", "IL", "62701", "US", "USD"),
    ("San José", "CA", "95110-2301", "US", "USD"),
    ("Köln", "NW", "50667", "DE", "EUR"),
    ("Łódź", "LD", "90-001", "PL", "PLN"),
    ("Leeds", "", "LS1 4AP", "GB", "GBP"),
)
PRODUCTS: Final = (
    ("20291", "ZX Series Headphones"),
    ("49292", "Audio Connector"),
    ("T-77", "Teekanne, grün"),
    ("B-05", 'Cable 6" 2m'),
)
ITEM_NAMES: Final = ("id", "name", "quantity", "price")
LINE_NAMES: Final = ("product_id", "title", "qty", "item_price")
NETWORKS: Final = ("192.0.2.{}", "198.51.100.{}", "203.0.113.{}", "2001:db8::{:x}")
HOOK_AGENTS: Final = ("Shop-Hook/2.4", "axios/1.6.8", "GuzzleHttp/7")

Row = dict[str, Any]  # a table of templates.toml, or everything that one conversion could say about itself
Timed = tuple[datetime, str]


def compact(value: Any) -> str:
    """JSON text without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def query_encoder(space: str) -> Callable[[Any], str]:
    """How a drawn value stands in a query: percent-encoded, items as JSON text."""
    encode = quote_plus if space == "+" else quote
    return lambda value: encode(value if isinstance(value, str) else compact(value))


def fill(template: str, values: Row, rng: Random, encode: Callable[[Any], str]) -> str:
    """The template with its slots drawn and encoded."""

    def replace(slot: re.Match[str]) -> str:
        return encode(rng.choice(slot[1].split("|")) if "|" in slot[1] else values[slot[1]])

    return re.sub("@([^@]+)@", replace, template)


def pick(rng: Random, rows: Sequence[Row]) -> Row:
    """One row, by weight."""
    return rng.choices(rows, [row["weight"] for row in rows])[0]


def draw_moment(rng: Random) -> datetime:
    """A second of the three days, busier in the day than at night."""
    hour = rng.choices(range(24), HOUR_WEIGHTS)[0]
    return BEGIN + timedelta(days=rng.randrange(DAYS), hours=hour, seconds=rng.randrange(3600))


def draw_person(rng: Random) -> Row:
    """The traits of one customer."""
    first, last = rng.choice(PEOPLE)
    city, state, zipcode, country, currency = rng.choice(PLACES)
    return {
        "first": first,
        "last": last,
        "full": f"{first} {last}",
        "email": f"user{rng.randrange(10**5)}@example.{rng.choice(('com', 'net', 'org'))}",
        "phone": f"+1 {rng.choice((202, 312, 415))}-555-01{rng.randrange(100):02d}",
        "birth": f"{rng.randint(1955, 2003)}-0{rng.randint(1, 9)}-17",
        "city": city,
        "state": state,
        "zip": zipcode,
        "country": country,
        "currency": currency,
    }


def draw_order(rng: Random) -> Row:
    """One to three products and their exact total, beside an amount of its own for orders without items."""
    basket = [
        (*rng.choice(PRODUCTS), rng.choice((1, 1, 1, 2, 3)), rng.randrange(500, 9900, 5))
        for _ in range(rng.randint(1, 3))
    ]
    total = sum(quantity * cents for *_, quantity, cents in basket)
    priced = [(*line, cents / 100) for *line, cents in basket]
    items = [dict(zip(ITEM_NAMES, line, strict=True)) for line in priced]
    cents = int(rng.lognormvariate(8.3, 0.8)) + 100
    return {
        "order": f"{rng.randrange(10**9):09d}",
        "money": f"{cents / 100:.2f}",
        "number": cents / 100,
        "fee": f"{cents / 1000:.2f}",
        "total": f"{total / 100:.2f}",
        "sum": total / 100,
        "items": items,
        "text": compact(items),
        "lines": [dict(zip(LINE_NAMES, line, strict=True)) for line in priced],
        "brand": rng.choice(("Acme", "Fjord & Co")),
    }


def draw_values(rng: Random, at: datetime) -> Row:
    """Everything one conversion could say about itself."""
    epoch = int(at.timestamp()) - rng.choice((0, 0, 1, 2, 5, 60))
    return {
        **draw_person(rng),
        **draw_order(rng),
        "click": f"{rng.getrandbits(84):021x}",
        "ref": f"r-{rng.randrange(10**7)}",
        "hex": f"{rng.getrandbits(32):08x}",
        "md5": f"{rng.getrandbits(128):032x}",
        "sha256": f"{rng.getrandbits(256):064x}",
        "offer": str(rng.randint(100, 140)),
        "stamp": epoch,
        "epoch": str(epoch),
        "milli": f"{epoch}000",
        "micro": f"{epoch}000000",
        "later": str(epoch + 3 * 86400),
        "iso": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "day": f"{at:%Y-%m-%d}",
    }


def render_line(layout: Row, at: datetime, request: str, status: str, client: Sequence[str]) -> str:
    """One log line."""
    zone = timezone(timedelta(hours=layout["hours"]))
    return str(layout["line"]).format(
        address=client[0],
        agent=client[1],
        time=f"{at.astimezone(zone):%d/%b/%Y:%H:%M:%S %z}",
        request=request,
        status=status,
        size="0" if status in {"204", "499"} else "43",
    )


def draw_attempts(rng: Random, tables: Row, sender: Row, template: str) -> Iterator[Timed]:
    """One postback, and the times that its sender tried again (rarely with another value)."""
    at = draw_moment(rng)
    values = draw_values(rng, at)
    query = fill(template, values, rng, query_encoder("+" if "PHP" in sender["client"][1] else "%20"))
    status = rng.choices(list(tables["statuses"]), list(tables["statuses"].values()))[0]
    queries = [query]
    if status in {"499", "500"} or rng.random() < 0.01:
        queries.append(query)
    if rng.random() < 0.005:
        queries.append(query.replace(values["money"], values["fee"]))
    for attempt, text in enumerate(queries):
        request = f"{sender.get('method', 'GET')} {sender['path']}{'?' if text else ''}{text} HTTP/1.1"
        layout = pick(rng, tables["layout"])
        yield at, render_line(layout, at, request, "200" if attempt else status, sender["client"])
        at += timedelta(seconds=rng.choice((2, 30, 300, 3600)))


def draw_other(rng: Random, tables: Row) -> Timed:
    """A request that is no postback."""
    at = draw_moment(rng)
    other = pick(rng, tables["other"])
    client = (rng.choice(NETWORKS).format(rng.randint(100, 254)), rng.choice(other["agents"]))
    request = fill(other["request"], draw_values(rng, at), rng, str)
    return at, render_line(pick(rng, tables["layout"]), at, request, other.get("status", "200"), client)


def odd_attempts(rng: Random, tables: Row) -> Iterator[Timed]:
    """Every odd query, under a healthy sender's path; the empty one as a POST whose body is not logged."""
    *senders, silent = tables["sender"]
    for row in tables["odd_query"]:
        for word in row["words"]:
            query = row["query"].replace("WORD", word)
            yield from draw_attempts(rng, tables, rng.choice(senders) if query else silent, query)


def write_access_log(path: Path, tables: Row, rng: Random) -> None:
    """The log in time order, odd lines spread over it and its last line cut off."""
    timed = [draw_other(rng, tables) for _ in range(OTHERS)]
    for _ in range(POSTBACKS):
        sender = pick(rng, tables["sender"])
        timed.extend(draw_attempts(rng, tables, sender, sender["query"]))
    timed.extend(odd_attempts(rng, tables))
    timed.extend(odd_attempts(rng, tables))
    lines = [line for _, line in sorted(timed)]
    for line in tables["odd"]["log_lines"]:
        lines.insert(rng.randrange(len(lines)), line)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write("\n".join(lines).encode()[:-CUT_BYTES])


def draw_record(rng: Random, at: datetime, path: str, template: str) -> str:
    """One dump line: a bare payload, or an envelope with its body as object, JSON text or form text."""
    body = fill(template, draw_values(rng, at), rng, compact)
    shape = rng.choices(("bare", "object", "text", "form"), (30, 45, 15, 10))[0]
    if shape == "bare":
        return body
    if shape == "text":
        body = compact(body)
    elif shape == "form" and ":[" not in body and ":{" not in body:
        pairs = json.loads(body).items()
        body = compact("&".join(f"{name}={quote_plus(str(value))}" for name, value in pairs if value is not None))
    received_at = f"{at:%Y-%m-%dT%H:%M:%S}.{rng.randrange(1000):03d}Z"
    head = {"received_at": received_at, "method": "POST", "path": path}
    headers = compact({"user-agent": rng.choice(HOOK_AGENTS)})
    return f'{compact(head)[:-1]},"headers":{headers},"body":{body}}}'


def draw_dump(rng: Random, tables: Row) -> Iterator[Timed]:
    """Every line of the dump with its time, in no order."""
    for _ in range(WEBHOOKS):
        body, at = pick(rng, tables["body"]), draw_moment(rng)
        line = draw_record(rng, at, body["path"], body["json"])
        yield at, line
        if rng.random() < 0.02:
            yield at + timedelta(seconds=30), line
    for template in tables["odd"]["bodies"] * 2:
        at = draw_moment(rng)
        yield at, draw_record(rng, at, "/acme-7Qx2/collect/shop-checkout", template)
    for template in tables["odd"]["dump_lines"]:
        at = draw_moment(rng)
        yield at, fill(template, draw_values(rng, at), rng, compact)


def main() -> None:
    """Writes both files."""
    tables = tomllib.loads((HERE / "templates.toml").read_text(encoding="utf-8"))
    write_access_log(HERE / "access.log.gz", tables, Random(SEED))
    lines = [line for _, line in sorted(draw_dump(Random(SEED + 1), tables))]
    (HERE / "webhooks.jsonl").write_bytes("".join(f"{line}\n" for line in lines).encode())


if __name__ == "__main__":
    main()
