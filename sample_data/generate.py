"""Write `access.log.gz` and `webhooks.jsonl` beside this file: invented, seeded, the same bytes at every run.

Templates hold `@slot@` (a drawn value) and `@a|b@` (one of the words); all else stands as it is logged.
Addresses, names, mail and phone numbers come from the ranges that are reserved for examples.
"""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple
from urllib.parse import quote, quote_plus

SEED: Final = 20240514
BEGIN: Final = datetime(2024, 5, 14, tzinfo=timezone.utc)
DAYS: Final = 3
POSTBACKS: Final = 3000
OTHERS: Final = 700
WEBHOOKS: Final = 530
HOUR_WEIGHTS: Final = (3, 2, 2, 1, 1, 2, 3, 5, 7, 9, 10, 10, 9, 10, 11, 11, 10, 10, 11, 12, 12, 10, 7, 5)
STATUSES: Final = {"200": 800, "204": 130, "302": 25, "404": 8, "499": 18, "500": 19}
TYPES: Final = (
    "@click|outbound_click|outboundclick|form_submit|formsubmit|lead|cpl|registration|complete_registration|"
    "completeregistration|acquisition|cpa|purchase|sale|cps|Sale|LEAD|Purchase@"
)

Values = dict[str, Any]


class Sender(NamedTuple):
    """One system that reports conversions, with its own spelling of the parameters."""

    weight: int
    method: str
    path: str
    address: str
    agent: str
    template: str


SENDERS: Final = (
    Sender(20, "GET", "/acme-7Qx2/collect/shareasale-postback", "198.51.100.21", "GuzzleHttp/7",
           "clickid=@click@&conversion_type=@sale|sale|cps@&amount=@money@&currency=USD&transaction_id=@order@"),
    Sender(12, "GET", "/acme-7Qx2/collect/shop-checkout", "198.51.100.40", "Go-http-client/2.0",
           "click_id=@click@&conversion_type=purchase&value=@money@&currency=@currency@&transaction_id=@order@"
           "&email=@email@&first_name=@first@&last_name=@last@&phone=@phone@&country=@country@"),
    Sender(9, "GET", "/acme-7Qx2/collect/leadform", "203.0.113.9", "WordPress/6.5.3; https://shop.example.com",
           "email=@email@&full_name=@full@&phone=@phone@&country=@country@&xat_form=@quote|callback|demo call@"),
    Sender(16, "GET", "/nordwind-3Kp9/collect/tracker-s2s/", "203.0.113.77", "Java/17.0.11",
           f"clickId=@click@&conversion_type={TYPES}&revenue=@money@&cur=@currency@&transactionId=@order@"
           "&timestamp=@epoch@&offer_id=@offer@"),
    Sender(8, "GET", "/nordwind-3Kp9/collect/shop-checkout", "192.0.2.61", "Apache-HttpClient/4.5.14 (Java/11.0.23)",
           "click-id=@click@&conversion_type=purchase&total_value=@total@&curr=EUR&transaction=@order@"
           "&@items|line_items|products@=@items@"),
    Sender(8, "GET", "/nordwind-3Kp9/collect/leadform", "192.0.2.62", "python-requests/2.31.0",
           "ref=@ref@&conversion_type=@registration|cpa|acquisition@&email=@email@&firstName=@first@"
           "&lastName=@last@&birthdate=@birth@&city=@city@&state=@state@&zipcode=@zip@&country=@country@"
           "&xat_plan=@gold|basic|pro@&xat_source=@newsletter|autumn fair|partner@"),
    Sender(9, "GET", "/t1/fjord-9Tz4/collect/tracker-s2s", "2001:db8:40::1f", "okhttp/4.12.0",
           "ref_id=@ref@&event=@TrialStarted|Deposit|Subscription Renewed@&Event-Value=@money@&currency=NOK"
           "&TransactionID=@order@&time=@epoch@"),
    Sender(9, "GET", "/fjord-9Tz4/collect/shareasale-postback", "198.51.100.90", "PHP/8.1.28",
           "CLICK_ID=@click@&commission=@money@&Currency=@currency@&transaction_id=@order@&brand=@brand@"),
    Sender(5, "POST", "/kite-2Lm8/collect/leadform", "2001:db8:7:2::80", "axios/1.6.8",
           "click=@click@&conversion_type=@form_submit|lead|cpl@&email=@email@&name=@full@&transaction_id=@order@"),
    Sender(2, "GET", "/kite-2Lm8/collect/tracker-s2s", "203.0.113.140", "curl/7.88.1",
           "clickid=@click@&total=@money@&currency=@currency@&transaction_id=@order@"),
    Sender(1, "POST", "/kite-2Lm8/collect/shop-checkout", "203.0.113.141", "Ruby", ""),  # its body is not logged
)  # fmt: skip

MACROS: Final = (
    "{clickid}", "%7Bclick_id%7D", "{{click.id}}", "[cid]", "[[aff_sub]]", "${CLICK_ID}", "%CLICKID%", "%%cid%%",
    "%3Cclickid%3E", "__CLICKID__", "!!!cid!!!", "--CLICK-ID--", "%23reqid%23", "%23%23CID%23%23", "%257Bclickid%257D",
)  # fmt: skip
ODD_QUERIES: Final = (
    *(f"click_id={macro}&conversion_type=lead&transaction_id=@order@" for macro in MACROS),
    *(f"click_id={word}&conversion_type=lead" for word in ("null", "undefined", "%5Bobject%20Object%5D", "N%2FA")),
    *(f"click_id={word}&conversion_type=sale&value=1" for word in ("test", "demo", "TEST123", "a%252Fb%253D@click@")),
    *(f"click_id=@click@&conversion_type=sale&amount={text}&transaction_id=@order@"
      for text in ("$12", "1,234.50", "12,50", "EUR+49.00", "free", "1_000", "-25.00", "%E2%82%AC%2089", "1e2", ".5")),
    *(f"click_id=@click@&conversion_type=sale&value=@money@&currency={code}"
      for code in ("US%24", "Euro", "XBT", "DEM", "usd", "%7Bcurrency%7D", "+eur+")),
    *(f"click_id=@click@&conversion_type=lead&timestamp={text}"
      for text in ("@milli@", "@micro@", "@iso@", "@day@", "yesterday", "14/05/2024", "@later@", "")),
    "click_id=@click@&conversion_type=sale&value=@money@&commission=@fee@&transaction_id=@order@",  # alias_conflict
    "click_id=@click@&clickid=@ref@&event_name=Upgrade&conversion_type=upgrade",
    "click_id=@click@&click_id=&conversion_type=lead&conversion_type=sale",
    "click_id=@click@&Conversion-Type=sale&value=@money@&transaction_id=@order@",  # near_miss_name
    "click_id=@click@&conversion_type=sale&ammount=@money@&firstname=@first@&XAT_plan=gold",
    "click_id=@click@&conversion_type=registration&email=@sha256@&phone=@md5@",  # prehashed_trait
    "click_id=@click@&conversion_type=lead&xat_a=1&xat_b=&xat_c=3&xat_d=4&xat_e=5&xat_f=6&xat_g=7&xat_a=8",
    "click_id=@click@&conversion_type=sale&value=12&items=%5B%7B%22id%22%3A%22A-1%22",  # malformed_items, cut
    r"click_id=@click@&conversion_type=sale&value=12&items=[{\x22id\x22:\x22A-1\x22,\x22price\x22:12,\x22qty\x22:1}]",
    "click_id=@click@&conversion_type=sale&value=99&items[0][id]=A-1&items[0][price]=49.50&items[0][qty]=2",
    "click_id=@click@&conversion_type=sale&value=9&items[][id]=A-1&items[][price]=nine&items[][id]=A-2&items[][qty]=x",
    "click_id=@click@&conversion_type=purchase&value=@fee@&items=@items@&transaction_id=@order@",  # total mismatch
    "E-Mail=@email@&conversion_type=lead&city=@city@",
    r"click_id=@click@&conversion_type=lead&full_name=J\xC3\xBCrgen\xC2\xA0Beispiel&city=K%F6ln",
    "click_id=@click@&event_name=+Free+Trial+&value=0&transaction_id=null",
    "conversion_type=sale&value=@money@&transaction_id=@order@",  # missing_identity
    "click_id=&conversion_type=lead&clicked=@click@",
    "value=@money@&conversion_type=refund",  # both reasons
    *(f"click_id=@click@&conversion_type={word}&value=@money@" for word in ("purchase%20", "sales", "ftd", "upsell")),
    "",
)  # fmt: skip

BROWSERS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/604.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0",
)
OTHER_REQUESTS: Final = (  # weight, request, status, user agents
    (10, "GET /healthz HTTP/1.1", "200", ("kube-probe/1.29",)),
    (7, "GET /assets/app.@hex@.@js|css@ HTTP/2.0", "200", BROWSERS),
    (6, "GET /@|docs|pricing|blog/?p=12|login@ HTTP/1.1", "200", BROWSERS),
    (4, "GET /robots.txt HTTP/1.1", "200", ("Mozilla/5.0 (compatible; ExampleBot/2.1; +https://bot.example.org/)",)),
    (2, "GET /favicon.ico HTTP/1.1", "404", BROWSERS),
    (2, "GET /wp-login.php HTTP/1.1", "404", ("Mozilla/5.0 zgrab/0.x", "-")),
    (1, "HEAD /acme-7Qx2/collect/shop-checkout HTTP/1.1", "200", ("ExampleUptime/1.0",)),
    (1, "OPTIONS /kite-2Lm8/collect/leadform?click_id=@click@ HTTP/1.1", "204", BROWSERS),
    (1, "-", "408", ("-",)),
    (1, "", "400", ("-",)),
    (1, r"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03@hex@\xE2\x9F", "400", ("-",)),
)
COMBINED: Final = '{address} - - [{time}] "{request}" {status} {size} "{referer}" "{agent}"'
LAYOUTS: Final = (  # weight, hours from UTC, line
    (880, 0, COMBINED),
    (80, 2, COMBINED),
    (12, 2, "t2.example.net:443 " + COMBINED),
    (12, 0, COMBINED + ' "-" 0.0{size} 0.012'),
    (12, 0, '{address} - - [{time}] "{request}" {status} {size}'),
)
ODD_LINES: Final = (
    "", "", "# rotated 2024-05-15T00:00:01Z", "# host t1 restarted", "   ", "<<<<<<< disk full, resumed >>>>>>>",
    "2024/05/15 03:12:09 [error] 811#811: *5513 upstream timed out (110: Connection timed out), client: 192.0.2.14",
    '198.51.100.21 - - [15/May/2024:07:41:0', 'qQ0&transaction_id=77120 HTTP/1.1" 200 43 "-" "GuzzleHttp/7"',
)  # fmt: skip

BODIES: Final = (  # weight, path, JSON text
    (10, "/acme-7Qx2/collect/shop-checkout", '{"click_id":@click@,"conversion_type":"purchase","value":@sum@,"currency":'
     '@currency@,"transaction_id":@order@,"email":@email@,"items":@items@}'),
    (7, "/nordwind-3Kp9/collect/shop-checkout", '{"clickId":@click@,"conversion_type":@purchase|sale@,"total":@total@,'
     '"currency":@currency@,"transaction":@order@,"line_items":@lines@,"full_name":@full@,"country":@country@}'),
    (3, "/kite-2Lm8/collect/shop-checkout", '{"ref_id":@ref@,"conversion_type":"Purchase","revenue":@sum@,"cur":"USD",'
     '"transaction_id":@order@,"products":@text@,"xat_coupon":@SPRING|WELCOME5|@}'),
    (12, "/acme-7Qx2/collect/leadform", '{"email":@email@,"conversion_type":@lead|form_submit@,"name":@full@,"phone":'
     '@phone@,"city":@city@,"country":@country@,"xat_plan":@gold|basic@,"xat_page":@/quote|/preise|/オファー@}'),
    (7, "/nordwind-3Kp9/collect/leadform", '{"click_id":@click@,"conversion_type":"registration","email":@email@,'
     '"first_name":@first@,"last_name":@last@,"birthdate":@birth@,"state":@state@,"zipcode":@zip@,"country":@country@}'),
    (8, "/fjord-9Tz4/collect/tracker-s2s", '{"click_id":@click@,"event_name":@Deposit|TrialStarted@,"value":@number@,'
     '"currency":"NOK","transaction_id":@order@,"created_at":@epoch@,"is_new":true,"xat_level":3}'),
    (5, "/fjord-9Tz4/collect/shareasale-postback", '{"click_id":@click@,"commission":@number@,"transaction_id":@order@}'),
)  # fmt: skip
ODD_BODIES: Final = (
    '{"click_id":@click@,"conversion_type":"sale","value":{"amount":@number@,"currency":"EUR"}}',  # not_scalar
    '{"click_id":[@click@],"email":@email@,"conversion_type":"lead","tags":[],"brand_name":["Acme"]}',
    '{"click_id":@click@,"conversion_type":"purchase","value":120.00,"value":1e2,"transaction_id":24356562534585}',
    '{"click_id":@click@,"conversion_type":"sale","value":30,"items":[{"id":"A-1","price":"ten","qty":1},"gift",{"id":7}]}',
    '{"click_id":@click@,"conversion_type":"sale","value":30,"items":[{"sku":1,"price":15,"quantity":"two"}]}',
    '{"click_id":@click@,"conversion_type":"sale","value":30,"items":{"id":"A-1","price":30,"quantity":1}}',
    '{"click_id":@click@,"conversion_type":"sale","value":@sum@,"items":"none","products":@items@}',
    '{"click_id":@click@,"conversion_type":"sale","value":19.99,"items":@items@}',  # items_total_mismatch
    '{"click_id":@click@,"conversion_type":"lead","xat_utm":{"source":"mail","ids":[1,2.50]},"xat_":"x","xat_a":null}',
    '{"click_id":@click@,"conversion_type":"lead","xat_1":"a","xat_2":"b","xat_3":"c","xat_4":"d","xat_5":"e","xat_6":"f"}',
    '{"click_id":null,"ref_id":"undefined","conversion_type":"lead","first_name":@first@,"full_name":@full@}',
    '{"email":"{{contact.email}}","conversion_type":"lead","phone":"null","name":@last@}',
    '{"click_id":@click@,"conversion_type":"lead","timestamp":@milli@,"email":@sha256@}',
    '{"click_id":@click@,"conversion_type":"lead","date":@iso@,"Event_Name":"  ","full_name":"Muster,  Ana Lucía"}',
    '{"click_id":@click@,"value":"1.234,50 €","currency":"EURO","transaction_id":@order@}',
    '{"conversion_type":"purchase","value":@number@,"transaction_id":@order@}',
    '{"click_id":@click@,"conversion_type":"Purchased","value":@number@}',
)
ODD_DUMP_LINES: Final = (
    '{"click_id":@click@,"conversion_type":"lead"', "2024-05-14 10:00:01 webhook worker restarted", '"lead"', "",
    *(f'{{"received_at":@iso@,"method":"POST","path":"/acme-7Qx2/collect/leadform","headers":{{}},"body":{body}}}'
      for body in (r'"{\"click_id\":"', r'"[{\"click_id\":\"x\"}]"', '["click_id"]', '""', '{}', 'null')),
    '{"received_at":@epoch@,"method":"GET","path":"/healthz","headers":{"user-agent":"kube-probe/1.29"},"body":""}',
    '{"received_at":@iso@,"method":"POST","url":"https://t1.example.net/acme-7Qx2/collect/leadform?click_id=@hex@",'
    '"headers":{},"body":{"conversion_type":"lead","email":@email@}}',
)  # fmt: skip

PEOPLE: Final = (
    ("Maren", "Muster"), ("Tomás", "Ejemplo"), ("Zoë", "Sample"), ("Björn", "Exempel"), ("Łucja", "Przykład"),
    ("Nguyễn", "Ví Dụ"), ("美咲", "見本"), ("Ola", "O'Sample"), ("Renée", "d'Exemple"), ("Ivo", "Mustermann-Beispiel"),
)  # fmt: skip
PLACES: Final = (  # city, state, zip code, country, currency
    ("Springfield", "IL", "62701", "US", "USD"), ("San José", "CA", "95110-2301", "US", "USD"),
    ("Köln", "NW", "50667", "DE", "EUR"), ("Łódź", "LD", "90-001", "PL", "PLN"), ("Leeds", "", "LS1 4AP", "GB", "GBP"),
)  # fmt: skip
PRODUCTS: Final = (
    ("20291", "ZX Series Headphones"), ("49292", "Audio Connector"), ("T-77", "Teekanne, grün"), ("B-05", 'Cable 6" 2m'),
)  # fmt: skip
ITEM_NAMES: Final = ("id", "name", "quantity", "price")
LINE_NAMES: Final = ("product_id", "title", "qty", "item_price")


def compact(value: Any) -> str:
    """JSON text without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def encode_text(encode: Callable[[str], str]) -> Callable[[Any], str]:
    """How a drawn value stands in a query: texts encoded, items as JSON text."""
    return lambda value: encode(value if isinstance(value, str) else compact(value))


def fill(template: str, values: Values, rng: Random, encode: Callable[[Any], str]) -> str:
    """The template with its slots drawn and encoded."""
    return re.sub(
        "@([^@]+)@", lambda m: encode(rng.choice(m[1].split("|")) if "|" in m[1] else values[m[1]]), template
    )


def draw_basket(rng: Random) -> tuple[float, list[tuple[Any, ...]]]:
    """One to three products, and what they cost together."""
    lines = [
        (*rng.choice(PRODUCTS), rng.choice((1, 1, 1, 2, 3)), rng.randrange(500, 9900, 5))
        for _ in range(rng.randint(1, 3))
    ]
    total = sum(quantity * cents for *_, quantity, cents in lines)
    return total / 100, [(*line, cents / 100) for *line, cents in lines]


def draw_values(rng: Random, at: datetime) -> Values:
    """Everything one conversion could say about itself."""
    first, last = rng.choice(PEOPLE)
    city, state, zipcode, country, currency = rng.choice(PLACES)
    total, basket = draw_basket(rng)
    cents = int(rng.lognormvariate(8.3, 0.8)) + 100
    epoch = int(at.timestamp()) - rng.choice((0, 0, 1, 2, 5, 60))
    items = [dict(zip(ITEM_NAMES, line, strict=True)) for line in basket]
    mailbox = f"user{rng.randrange(10**5)}@example.{rng.choice(('com', 'net', 'org'))}"
    return {
        "click": f"{rng.getrandbits(84):021x}", "ref": f"r-{rng.randrange(10**7)}", "hex": f"{rng.getrandbits(32):08x}",
        "order": f"{rng.randrange(10**9):09d}", "offer": str(rng.randint(100, 140)), "email": mailbox,
        "sha256": f"{rng.getrandbits(256):064x}", "md5": f"{rng.getrandbits(128):032x}",
        "money": f"{cents / 100:.2f}", "number": cents / 100, "fee": f"{cents / 1000:.2f}",
        "total": f"{total:.2f}", "sum": total, "items": items, "text": compact(items),
        "lines": [dict(zip(LINE_NAMES, line, strict=True)) for line in basket],
        "first": first, "last": last, "full": f"{first} {last}", "birth": f"{rng.randint(1955, 2003)}-0{rng.randint(1, 9)}-17",
        "phone": f"+1 {rng.choice((202, 312, 415))}-555-01{rng.randrange(100):02d}", "brand": rng.choice(("Acme", "Fjord & Co")),
        "city": city, "state": state, "zip": zipcode, "country": country, "currency": currency,
        "epoch": str(epoch), "milli": f"{epoch}000", "micro": f"{epoch}000000", "later": str(epoch + 3 * 86400),
        "iso": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "day": at.strftime("%Y-%m-%d"),
    }  # fmt: skip


def draw_moment(rng: Random) -> datetime:
    """A second of the three days, busier in the day than at night."""
    hour = rng.choices(range(24), HOUR_WEIGHTS)[0]
    return BEGIN + timedelta(days=rng.randrange(DAYS), hours=hour, seconds=rng.randrange(3600))


def render_line(rng: Random, at: datetime, request: str, status: str, client: tuple[str, str]) -> str:
    """One log line in the usual layout, or now and then in another."""
    _, hours, layout = rng.choices(LAYOUTS, [weight for weight, *_ in LAYOUTS])[0]
    time = at.astimezone(timezone(timedelta(hours=hours))).strftime("%d/%b/%Y:%H:%M:%S %z")
    size = {"204": "0", "499": "0"}.get(status, "43")
    address, agent = client
    return layout.format(
        address=address, agent=agent, time=time, request=request, status=status, size=size, referer="-"
    )


def draw_attempts(rng: Random, at: datetime, sender: Sender, template: str) -> Iterator[tuple[datetime, str]]:
    """One postback, and the times that its sender tried again."""
    values = draw_values(rng, at)
    query = fill(template, values, rng, encode_text(quote_plus if "PHP" in sender.agent else quote))
    client = (sender.address, sender.agent)
    status = rng.choices(list(STATUSES), list(STATUSES.values()))[0]
    queries = [query]
    if status in {"499", "500"} or rng.random() < 0.01:
        queries.append(query)
    if rng.random() < 0.005:
        queries.append(query.replace(values["money"], values["fee"]))
    for attempt, text in enumerate(queries):
        request = f"{sender.method} {sender.path}{'?' if text else ''}{text} HTTP/1.1"
        yield at, render_line(rng, at, request, "200" if attempt else status, client)
        at += timedelta(seconds=rng.choice((2, 30, 300, 3600)))


def draw_other(rng: Random) -> tuple[datetime, str]:
    """A request that is no postback."""
    at = draw_moment(rng)
    _, template, status, agents = rng.choices(OTHER_REQUESTS, [weight for weight, *_ in OTHER_REQUESTS])[0]
    net = rng.choice(("192.0.2.{}", "198.51.100.{}", "203.0.113.{}", "2001:db8::{:x}"))
    client = (net.format(rng.randint(100, 254)), rng.choice(agents))
    return at, render_line(rng, at, fill(template, draw_values(rng, at), rng, str), status, client)


def write_access_log(path: Path, rng: Random) -> None:
    """The log in time order, its odd lines spread over it and its last line cut off."""
    timed: list[tuple[datetime, str]] = [draw_other(rng) for _ in range(OTHERS)]
    for sender in rng.choices(SENDERS, [sender.weight for sender in SENDERS], k=POSTBACKS):
        timed.extend(draw_attempts(rng, draw_moment(rng), sender, sender.template))
    for template in ODD_QUERIES * 2:
        timed.extend(draw_attempts(rng, draw_moment(rng), rng.choice(SENDERS[:9]), template))
    lines = [line for _, line in sorted(timed)]
    for line in ODD_LINES:
        lines.insert(rng.randrange(len(lines)), line)
    text = "\n".join(lines)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(text[:-70].encode())


def draw_record(rng: Random, at: datetime, path: str, template: str) -> str:
    """One dump line: a bare payload, or an envelope with its body as object, JSON text or form text."""
    values = draw_values(rng, at)
    body = fill(template, values, rng, compact)
    shape = rng.choices(("bare", "object", "text", "form"), (30, 45, 15, 10))[0]
    if shape == "bare":
        return body
    if shape == "form" and ":[" not in body and ":{" not in body:
        body = compact("&".join(f"{name}={quote_plus(str(value))}" for name, value in json.loads(body).items()))
    elif shape == "text":
        body = compact(body)
    head = {"received_at": at.strftime(f"%Y-%m-%dT%H:%M:%S.{rng.randrange(1000):03d}Z"), "method": "POST", "path": path}
    agent = {"user-agent": rng.choice(("Shop-Hook/2.4", "axios/1.6.8", "GuzzleHttp/7"))}
    return f'{compact(head)[:-1]},"headers":{compact(agent)},"body":{body}}}'


def write_webhooks(path: Path, rng: Random) -> None:
    """The dump in time order, about one line in ten odd."""
    timed: list[tuple[datetime, str]] = []
    for _, where, template in rng.choices(BODIES, [weight for weight, *_ in BODIES], k=WEBHOOKS):
        at = draw_moment(rng)
        line = draw_record(rng, at, where, template)
        timed += [(at, line), (at + timedelta(seconds=30), line)] if rng.random() < 0.02 else [(at, line)]
    for template in ODD_BODIES * 2:
        at = draw_moment(rng)
        timed.append((at, draw_record(rng, at, "/acme-7Qx2/collect/shop-checkout", template)))
    for template in ODD_DUMP_LINES:
        at = draw_moment(rng)
        timed.append((at, fill(template, draw_values(rng, at), rng, compact)))
    path.write_bytes("".join(f"{line}\n" for _, line in sorted(timed)).encode())


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    write_access_log(here / "access.log.gz", Random(SEED))
    write_webhooks(here / "webhooks.jsonl", Random(SEED + 1))
