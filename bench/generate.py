"""Write any number of invented postbacks, for speed and memory tests: the same bytes for the same arguments.

    python bench/generate.py --lines 1000000 --seed 1 --format log --out big.log

Of a hundred lines about 90 are postbacks, 3 rejections, 2 duplicates and 5 other traffic. Fragments
(names, items, passthroughs, user agents) come from pools drawn once; click ids, transaction ids and
mailboxes are new in every line. Lines are written in blocks, so memory does not grow with their number.
"""

import argparse
import gzip
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import BinaryIO, Final, NamedTuple, TypeVar
from urllib.parse import quote

EPOCH: Final = 1_715_644_800  # 2024-05-14 00:00:00 UTC
SECONDS_A_LINE: Final = 2 * 86_400 / 1_000_000
BLOCK_LINES: Final = 5_000
SENDERS: Final = 60
POOL: Final = 3_000
RECENT: Final = 4_096  # how many conversions a duplicate may repeat

OTHER, NO_BODY, MALFORMED, DUPLICATE, UNNAMED, UNKNOWN, HEALTHY = range(7)
KINDS: Final = tuple(  # what one line in a thousand is
    [OTHER] * 50 + [NO_BODY] * 8 + [MALFORMED] * 4 + [DUPLICATE] * 20 + [UNNAMED] * 10 + [UNKNOWN] * 8 + [HEALTHY] * 900
)

ACCOUNTS: Final = ("acme-7Qx2", "nordwind-3Kp9", "fjord-9Tz4", "kite-2Lm8", "delta-5Hs1", "lumen-8Vc6")
SLUGS: Final = ("shareasale-postback", "shop-checkout", "leadform", "tracker-s2s", "cpa-network")
AGENTS: Final = (
    "GuzzleHttp/7",
    "Go-http-client/1.1",
    "Java/17.0.11",
    "Apache-HttpClient/4.5.14 (Java/11.0.23)",
    "okhttp/4.12.0",
    "python-requests/2.31.0",
    "axios/1.6.8",
    "PostbackDispatcher/5.1 (network.example.net; worker=eu-central-1b; retries=3)",
    "WordPress/6.5.3; https://shop.example.com",
    "Mozilla/5.0 (compatible; ExamplePostback/3.2; +https://network.example.org/s2s)",
)
BROWSERS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0",
    "Mozilla/5.0 (compatible; ExampleBot/2.1; +https://bot.example.org/)",
)
PAGES: Final = (
    "/",
    "/robots.txt",
    "/healthz",
    "/assets/app.3f9c1.js",
    "/assets/app.77aa0.css",
    "/blog/?p=12",
)
MATCH_NAMES: Final = (
    *("click_id", "click_id", "clickid", "clickId", "click-id", "CLICK_ID", "click", "Click_ID"),
    *("ref_id", "refid", "ref"),
)
VALUE_NAMES: Final = (
    *("value", "amount", "commission", "revenue", "total", "total_value", "event_value"),
    *("Value", "totalValue", "Amount", "event-value"),
)
CURRENCY_NAMES: Final = ("currency", "cur", "curr", "Currency")
ORDER_NAMES: Final = ("transaction_id", "transactionid", "transaction", "transactionId", "Transaction-ID")
TIME_NAMES: Final = ("timestamp", "time", "created_at", "date")
BRAND_NAMES: Final = ("brand_name", "brand", "brandName")
EXTRA_NAMES: Final = ("offer_id", "aff_sub", "campaign", "sub1", "goal", "geo", "device", "payout_model")
ITEMS_NAMES: Final = ("items", "items", "line_items", "products")
PASSTHROUGH_NAMES: Final = ("xat_plan", "xat_source", "xat_variant", "xat_page", "xat_coupon", "xat_level")
EVENTS: Final = (
    *(("conversion_type", word) for word in ("sale", "purchase", "lead", "cpa", "registration", "Purchase", "cpl")),
    *(("event_name", word) for word in ("Deposit", "TrialStarted", "Upgrade")),
)
CURRENCIES: Final = ("USD", "USD", "EUR", "GBP", "NOK", "PLN")
FIRST_NAMES: Final = (
    "Maren",
    "Tomás",
    "Zoë",
    "Björn",
    "Łucja",
    "Nguyễn",
    "美咲",
    "Ola",
    "Renée",
    "Ivo",
    "Finn",
)
LAST_NAMES: Final = ("Muster", "Ejemplo", "Sample", "Exempel", "Przykład", "見本", "O'Sample", "Beispiel")
PLACES: Final = (  # country, city, state, zip code
    ("US", "Springfield", "IL", "62701"),
    ("US", "San José", "CA", "95110"),
    ("DE", "Köln", "NW", "50667"),
    ("PL", "Łódź", "LD", "90-001"),
    ("GB", "Leeds", "LDS", "LS1 4AP"),
)
PRODUCTS: Final = ("ZX Series Headphones", "Audio Connector", "Teekanne, grün", 'Cable 6" 2m', "Desk lamp")
PLANS: Final = ("gold", "basic", "pro", "autumn fair", "früh", "a/b test")

Pairs = list[tuple[str, str]]  # parameters in order: name, text; a text may hold slots, as `~click~`
Slots = dict[str, object]
Row = TypeVar("Row")


class Form(NamedTuple):
    """One of the two output forms: how parameters, a postback and any other request are written."""

    pair: Callable[[str, str], str]  # one parameter, name and text
    separator: str
    stamp: str  # of `time.strftime`
    methods: tuple[str, ...]
    postback: str
    other: str
    malformed: tuple[str, ...]


def query_pair(name: str, text: str) -> str:
    """One parameter of a query."""
    return f"{name}={quote(text, safe='')}"


def json_pair(name: str, text: str) -> str:
    """One member of a JSON object; items stay an array, amounts and times numbers."""
    is_native = text.startswith("[") or text in {"~money~", "~epoch~"}
    return f'"{name}":{text if is_native else json.dumps(text, ensure_ascii=False)}'


LOG_LINE: Final = '%(ip)s - - [%(at)s] "%(method)s %(path)s{} HTTP/1.1" {} "-" "%(agent)s"\n'
JSON_LINE: Final = (
    '{{"received_at":"%(at)s.%(ms)03dZ","method":"%(method)s","path":"%(path)s",'
    '"headers":{{"user-agent":"%(agent)s","x-forwarded-for":"%(ip)s"}},"body":{}}}\n'
)
FORMS: Final = {
    "log": Form(
        pair=query_pair,
        separator="&",
        stamp="%d/%b/%Y:%H:%M:%S +0000",
        methods=("GET",) * 9 + ("POST",),
        postback=LOG_LINE.format("?%(params)s", "%(status)s"),
        other=LOG_LINE.format("", "200 5120"),
        malformed=('%(ip)s - - [%(at)s] "GET %(path)s?click_id=\n', "upstream timed out, client: %(ip)s\n"),
    ),
    "jsonl": Form(
        pair=json_pair,
        separator=",",
        stamp="%Y-%m-%dT%H:%M:%S",
        methods=("POST",),
        postback=JSON_LINE.format("{%(params)s}"),
        other=JSON_LINE.format('""'),
        malformed=(JSON_LINE.format(r'"{\"click_id\":"'), '{"received_at":"%(at)sZ","path":"%(path)s","bo\n'),
    ),
}


class Sender(NamedTuple):
    """One system that reports conversions. The three queries (or bodies) are `%` templates."""

    head: Slots  # address, method, path, user agent
    healthy: str
    unnamed: str  # no match key
    unknown: str  # a conversion_type that is not in the table


class Tail(NamedTuple):
    """Further parameters of a conversion, encoded; `total` is what its items cost, or empty."""

    text: str
    total: str


class Repeatable(NamedTuple):
    """A conversion that a later line may report again."""

    sender: Sender
    values: Slots
    tail: str


class Pools(NamedTuple):
    """What lines are put together from, encoded once for the form."""

    form: Form
    senders: list[Sender]
    traits: list[str]  # `%` templates
    tails: list[Tail]
    recent: list[Repeatable]


def as_template(pairs: Pairs, form: Form) -> str:
    """The parameters, encoded, as a `%` template: `~click~` becomes `%(click)s`."""
    encoded = form.separator.join(form.pair(name, text) for name, text in pairs)
    return re.sub(r"~(\w+)~", r"%(\1)s", encoded.replace("%", "%%"))


def draw_details(rng: Random) -> Pairs:
    """What a sender adds to every conversion: time, brand, and parameters that nothing reads."""
    pairs: Pairs = []
    if rng.random() < 0.4:
        pairs.append((rng.choice(TIME_NAMES), "~epoch~"))
    if rng.random() < 0.3:
        pairs.append((rng.choice(BRAND_NAMES), rng.choice(("Acme", "Fjord & Co", "Café Lumen"))))
    names = rng.sample(EXTRA_NAMES, rng.choice((0, 0, 1, 2)))
    return pairs + [(name, rng.choice((str(rng.randrange(9999)), rng.choice(PLANS)))) for name in names]


def draw_sender(rng: Random, form: Form) -> Sender:
    """A sender with its own address, path and spelling."""
    network = rng.choice(("192.0.2.%d", "198.51.100.%d", "203.0.113.%d", "2001:db8:40::%x"))
    match = (rng.choice(MATCH_NAMES), "~click~")
    value = (rng.choice(VALUE_NAMES), "~money~")
    event = [] if value[0] == "commission" else [rng.choice(EVENTS)]  # else it follows from the commission
    unknown = ("conversion_type", rng.choice(("refund", "sales", "ftd", "upsell")))
    rest = [value, (rng.choice(CURRENCY_NAMES), rng.choice(CURRENCIES)), (rng.choice(ORDER_NAMES), "~order~")]
    rest += draw_details(rng)
    return Sender(
        head={
            "ip": network % rng.randint(2, 250),
            "method": rng.choice(form.methods),
            "path": f"/{rng.choice(ACCOUNTS)}/collect/{rng.choice(SLUGS)}",
            "agent": rng.choice(AGENTS),
        },
        healthy=as_template([match, *event, *rest], form),
        unnamed=as_template([*event, *rest], form),
        unknown=as_template([match, unknown, *rest], form),
    )


def draw_traits(rng: Random, form: Form) -> str:
    """Three to nine traits; the mailbox is a slot, as it is new in every line."""
    first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
    names = [("first_name", first), ("last_name", last)]
    places = zip(("country", "city", "state", "zipcode"), rng.choice(PLACES), strict=True)
    birthdate = f"{rng.randint(1950, 2004)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    pairs = [
        ("email", f"user.~mailbox~@example.{rng.choice(('com', 'net', 'org'))}"),
        *(names if rng.random() < 0.6 else [("full_name", f"{first} {last}")]),
        ("phone", f"+1 {rng.choice((202, 312, 415))}-555-01{rng.randrange(100):02d}"),
        *places,
        ("birthdate", birthdate),
    ]
    return form.separator + as_template(pairs[: rng.choice((3, 4, 4, 5, 5, 6, 9))], form)


def draw_items(rng: Random) -> tuple[str, str]:
    """The JSON text of one to four items, and what they cost together."""
    names = rng.choice((("id", "name", "price", "quantity"), ("product_id", "title", "item_price", "qty")))
    items = []
    cents = 0
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
        price, quantity = rng.randrange(500, 9_900, 5), rng.randint(1, 3)
        row = (str(rng.randint(10_000, 99_999)), rng.choice(PRODUCTS), price / 100, quantity)
        cents += price * quantity
        items.append(dict(zip(names, row, strict=True)))
    return json.dumps(items, ensure_ascii=False, separators=(",", ":")), f"{cents / 100:.2f}"


def draw_tail(rng: Random, form: Form) -> Tail:
    """Items in one of ten, up to six passthroughs in about one of five, mostly nothing."""
    pairs: Pairs = []
    total = ""
    if rng.random() < 0.105:
        items, total = draw_items(rng)
        pairs.append((rng.choice(ITEMS_NAMES), items))
    if rng.random() < 0.18:
        count = rng.choice((1, 1, 2, 2, 3, 4, 5, 6))
        pairs += [(name, rng.choice(PLANS)) for name in PASSTHROUGH_NAMES[:count]]
    return Tail("".join(form.separator + form.pair(name, text) for name, text in pairs), total)


def draw_pools(rng: Random, form: Form) -> Pools:
    """The senders and a few thousand fragments."""
    return Pools(
        form=form,
        senders=[draw_sender(rng, form) for _ in range(SENDERS)],
        traits=[draw_traits(rng, form) for _ in range(POOL)],
        tails=[draw_tail(rng, form) for _ in range(POOL)],
        recent=[],
    )


def any_of(rng: Random, rows: Sequence[Row]) -> Row:
    """One of them; several times as fast as `rng.choice`."""
    return rows[int(rng.random() * len(rows))]


def draw_conversion(rng: Random, pools: Pools, kind: int, number: int, epoch: int) -> tuple[Sender, str]:
    """A sender and the parameters it sends; a healthy one may be repeated later."""
    sender, (tail, total) = any_of(rng, pools.senders), any_of(rng, pools.tails)
    values: Slots = {
        "click": f"{rng.getrandbits(84):021x}",
        "money": total or f"{rng.random() * rng.random() * 300 + 1:.2f}",
        "order": f"{number * 2_654_435_761 % 10_000_000_019:011d}",  # distinct: the modulus is a prime
        "epoch": epoch - int(rng.random() * 20),
    }
    if kind == UNNAMED:
        return sender, sender.unnamed % values + tail
    if kind == UNKNOWN:
        return sender, sender.unknown % values + tail
    if rng.random() < 0.34:
        tail = any_of(rng, pools.traits) % {"mailbox": rng.getrandbits(32)} + tail
    if len(pools.recent) < RECENT:
        pools.recent.append(Repeatable(sender, values, tail))
    else:
        pools.recent[int(rng.random() * RECENT)] = Repeatable(sender, values, tail)
    return sender, sender.healthy % values + tail


def repeat_conversion(rng: Random, pools: Pools) -> tuple[Sender, str]:
    """One of the recent conversions again, three times in ten with another value."""
    sender, values, tail = any_of(rng, pools.recent)
    if rng.random() < 0.3:
        values = values | {"money": f"{rng.random() * 200 + 1:.2f}"}
    return sender, sender.healthy % values + tail


def draw_line(rng: Random, pools: Pools, number: int, epoch: int, slots: Slots) -> str:
    """One line of some kind; `slots` holds its time."""
    form, kind = pools.form, any_of(rng, KINDS)
    if kind == OTHER:
        head = {"ip": f"203.0.113.{int(rng.random() * 250)}", "method": "GET"}
        return form.other % (slots | head | {"path": any_of(rng, PAGES), "agent": any_of(rng, BROWSERS)})
    if kind == NO_BODY:  # not logged, or empty
        return form.other % (slots | any_of(rng, pools.senders).head | {"method": "POST"})
    if kind == MALFORMED:
        return any_of(rng, form.malformed) % (slots | any_of(rng, pools.senders).head)
    if kind == DUPLICATE and pools.recent:
        sender, params = repeat_conversion(rng, pools)
    else:
        sender, params = draw_conversion(rng, pools, kind, number, epoch)
    status = "200 43" if rng.random() < 0.85 else "204 0"
    return form.postback % (slots | sender.head | {"status": status, "params": params})


def generate_lines(count: int, seed: int, form: Form) -> Iterator[str]:
    """The lines in time order."""
    rng = Random(seed)
    pools = draw_pools(rng, form)
    second, stamp = -1, ""
    for number in range(count):
        at = EPOCH + number * SECONDS_A_LINE
        if int(at) != second:
            second = int(at)
            stamp = time.strftime(form.stamp, time.gmtime(second))
        yield draw_line(rng, pools, number, second, {"at": stamp, "ms": int((at - second) * 1000)})


def write_blocks(lines: Iterator[str], out: BinaryIO) -> None:
    """The lines as UTF-8, a block at a time."""
    block: list[str] = []
    for line in lines:
        block.append(line)
        if len(block) == BLOCK_LINES:
            out.write("".join(block).encode())
            block.clear()
    out.write("".join(block).encode())


def parse_arguments() -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(description="Write invented postbacks for speed and memory tests.")
    parser.add_argument("--lines", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--format", choices=sorted(FORMS), default="log")
    parser.add_argument("--gzip", action="store_true", help="compress, without name and time")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    """Writes the file that was asked for."""
    arguments = parse_arguments()
    began = time.perf_counter()
    with ExitStack() as stack:
        out: BinaryIO = stack.enter_context(arguments.out.open("wb"))
        if arguments.gzip:
            out = stack.enter_context(gzip.GzipFile("", "wb", 6, out, mtime=0))  # type: ignore[assignment]
        write_blocks(generate_lines(arguments.lines, arguments.seed, FORMS[arguments.format]), out)
    took, size = time.perf_counter() - began, arguments.out.stat().st_size
    print(f"{arguments.out}: {arguments.lines} lines, {size} bytes, {took:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
