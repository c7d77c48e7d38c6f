"""Draws a case by its seed: what kind of input it is, and its bytes. The same seed draws the same case."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import re
import tarfile
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from etl.rules import vendors
from etl.sources.carriers.known_carriers import CARRIERS
from etl.sources.formats.log_format import NAMED
from tests import adversary
from tests.fuzz.mutations import mutated, with_run
from tests.records import LINE, RECORDS
from tests.sentinels import LINED, PERSON, Corpus

#: Bytes of a run in which a search may stall: one that looks at each byte from each byte takes many seconds.
RUN_BYTES: Final = 32_000


class Case(NamedTuple):
    """An input: what is done with it, and its bytes."""

    kind: str
    data: bytes


@cache
def bases() -> tuple[tuple[bytes, ...], ...]:
    """Records with personal texts in every place: of each format, of each carrier, and rows of each kind of table."""
    corpus = Corpus(1)
    records = [tuple(corpus.of_format(row)) for row in LINED]
    records += [tuple(corpus.of_carrier(row)) for row in CARRIERS if row.samples]
    records += [tuple(data.split(b"\n")) for _, data in corpus.tables() if not data.startswith(b"PAR1")]
    return tuple(base for base in records if len(base) > 1)


def _generated(rng: random.Random, count: int) -> list[bytes]:
    """Records that aim at the rules, or at how lines are cut."""
    make = rng.choice((adversary.log_lines, adversary.json_lines, adversary.damaged_lines, adversary.json_array))
    return make(rng.randrange(1 << 30), count).split(b"\n")


def _some(rng: random.Random, count: int) -> list[bytes]:
    """Records, mostly of one format; the first stays what it is, so that formats with a header show theirs."""
    base = rng.choice(bases()) if rng.random() < 0.75 else _generated(rng, count)
    chosen = [base[0], *rng.choices(base, k=count)]
    if rng.random() < 0.1:
        chosen += rng.choices(rng.choice(bases()), k=count // 3)
    return chosen


def _changed(rng: random.Random, records: list[bytes], share: float) -> list[bytes]:
    return [
        record if i == 0 or rng.random() > share else mutated(rng, record, rng.choice(records))
        for i, record in enumerate(records)
    ]


def _joined(rng: random.Random, records: list[bytes]) -> bytes:
    """The records as an input, now and then with odd ends of lines and edges."""
    end = rng.choice((b"\n",) * 12 + (b"\r\n", b"\r", b"\n\n"))
    data = end.join(records) + rng.choice((end, end, end, b"", b"\0\0"))
    if rng.random() < 0.1:
        data = rng.choice((b"\0" * 9, b"\xef\xbb\xbf", b"\n", b"# comment\n", b"[", b"\x1e")) + data
    if rng.random() < 0.03:
        data = data.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-16-le", "utf-16-be")))
    return data


def _records(rng: random.Random) -> bytes:
    return _joined(rng, _changed(rng, _some(rng, rng.randint(2, 50)), rng.choice((0.2, 0.6, 0.9))))


def _long(rng: random.Random) -> bytes:
    """Few records, one of them with a long run."""
    records = _some(rng, 3)
    place = rng.randrange(len(records))
    records[place] = with_run(rng, records[place], RUN_BYTES)
    return b"\n".join(records) + b"\n"


def _texts(rng: random.Random) -> bytes:
    """Records of all formats, for the functions that take texts."""
    chosen = [rng.choice(rng.choice(bases())) for _ in range(20)]
    chosen += [text.encode() for text in rng.choices(list(RECORDS.values()), k=4)]
    texts = [text.replace(b"\n", b" ") for text in _changed(rng, chosen, 0.8)]
    if rng.random() < 0.2:
        texts = [with_run(rng, texts[0], RUN_BYTES).replace(b"\n", b" ")]
    return b"\n".join(texts)


def _loops(rng: random.Random) -> bytes:
    """Regular lines and objects, slightly changed: what the compiled loops take."""
    regular = [LINE.format(f"click_id=a{i}&value=1%2C5&x=%C3%A9").strip().encode() for i in range(4)]
    regular += [rng.choice(base) for base in rng.choices(bases(), k=4)]
    regular += [line for line in adversary.json_lines(rng.randrange(1 << 30), 6).split(b"\n") if line]
    return b"\n".join(text.replace(b"\n", b" ") for text in _changed(rng, regular, 0.8))


def _ruleset(rng: random.Random) -> bytes:
    path = Path(vendors.__file__).with_name(f"{rng.choice(vendors.shipped_names())}.toml")
    lines = [line for line in path.read_bytes().split(b"\n") if line and not line.startswith(b"#")]
    changed = [mutated(rng, line, rng.choice(lines)) if rng.random() < 0.05 else line for line in lines]
    return b"\n".join(changed)


_FORMAT: Final = b"""[own]
what = "own"
pattern = '(?P<client>\\S+) \\[(?P<time>[^]]+)\\] "(?P<request>[^"]*)" (?P<status>\\d+)'
escape = "backslash"
time = "clf"
samples = ["x"]
[other]
marks = ["a", "b=c"]
container = ["events"]
is_zoned = false
[other.keys]
payload = "body"
received_at = ["created", "at"]
"""


def _formats(rng: random.Random) -> bytes:
    lines = _FORMAT.split(b"\n")
    odd = (b"5", b"[]", b"[1]", b"true", b"{}", b'"("', b'""', b"'layout %Q'", b"[[]]", b"1979-05-27")
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(lines))
        key, equals, _ = lines[place].partition(b" = ")
        lines[place] = key + equals + rng.choice(odd) if rng.random() < 0.5 else mutated(rng, lines[place], _FORMAT)
    return b"\n".join(lines)


def _log_format(rng: random.Random) -> bytes:
    known = [*map(str.encode, NAMED.values()), b"$remote_addr [$time_local] \"$request\" $status '$request_body'"]
    known += [rb'LogFormat "%h %l %u %{%Y-%m-%d %H:%M:%S}t \"%r\" %>s %b" mine', b"log_format j escape=json '$args';"]
    return mutated(rng, rng.choice(known), rng.choice(known))


_MOMENT: Final = datetime(2024, 5, 1, 12, tzinfo=UTC)


def _column(rng: random.Random, rows: int) -> pa.Array:
    """A column of any type."""
    text = [rng.choice(("a", "", None, "é", PERSON["email"].format(1), '{"a":1}', "x" * 40)) for _ in range(rows)]
    numbers = [rng.choice((0, -1, 2**40, None)) for _ in range(rows)]
    makers: tuple[Callable[[], Any], ...] = (
        lambda: pa.array(text),
        lambda: pa.array([t and t.encode() + b"\xff" for t in text], pa.binary()),
        lambda: pa.array(text, pa.string()).dictionary_encode(),
        lambda: pa.array(numbers),
        lambda: pa.array([None if n is None else n / 3 for n in numbers]),
        lambda: pa.array([rng.choice((float("nan"), float("inf"), -0.0, None)) for _ in numbers], pa.float32()),
        lambda: pa.array([None if n is None else Decimal(n) / 100 for n in numbers], pa.decimal128(38, 9)),
        lambda: pa.array([None if n is None else _MOMENT + timedelta(seconds=n % 10**9) for n in numbers]),
        lambda: pa.array([n and n % 10**9 * 10**9 for n in numbers], pa.timestamp("ns")),
        lambda: pa.array([None if n is None else date(2024, 5, 1) for n in numbers]),
        lambda: pa.array([n and rng.randrange(86_400) for n in numbers], pa.time32("s")),
        lambda: pa.array([None if n is None else timedelta(seconds=n % 10**9) for n in numbers]),
        lambda: pa.array([[t, t] if t else None for t in text]),
        lambda: pa.array([{"a": t, "b": n} for t, n in zip(text, numbers, strict=True)]),
        lambda: pa.array([[("k", t)] for t in text], pa.map_(pa.string(), pa.string())),
        lambda: pa.array([None] * rows),
        lambda: pa.array([n is not None for n in numbers]),
    )
    return rng.choice(makers)()


def _parquet(rng: random.Random) -> bytes:
    rows = rng.choice((0, 1, 5, 40))
    payloads = [mutated(rng, rng.choice(rng.choice(bases())), b"").decode("utf-8", "replace") for _ in range(rows)]
    if rng.random() < 0.3:
        payloads = [*payloads[:-1], None] if rows else []
    columns = [pa.array(payloads, pa.large_string()), *(_column(rng, rows) for _ in range(rng.randrange(5)))]
    names = ["payload", *rng.sample(("click_id", "created_at", "email", "id", "x", "", "a.b", "Ünï", "value"), 5)]
    table = pa.table(columns, names[: len(columns)])
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=rng.choice((1, 7, 100)), compression=rng.choice(("zstd", "none", "gzip")))
    return _damaged(rng, out.getvalue()) if rng.random() < 0.3 else out.getvalue()


def _damaged(rng: random.Random, data: bytes) -> bytes:
    written = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.choice((rng.randrange(len(written)), max(0, len(written) - rng.randint(1, 60))))
        written[place : place + rng.choice((1, 1, 1, 0, 9))] = bytes([rng.choice((0, 255, rng.randrange(256)))])
        if not written:
            break
    return bytes(written[: rng.randrange(len(written) + 1)] if rng.random() < 0.2 else written)


PACK: Final[tuple[Callable[[bytes], bytes], ...]] = (
    bytes,
    lambda data: gzip.compress(data, mtime=0),
    zstandard.compress,
    bz2.compress,
    lzma.compress,
    lambda data: gzip.compress(data[: len(data) // 2], mtime=0) + gzip.compress(data[len(data) // 2 :], mtime=0),
    lambda data: gzip.compress(data.decode("utf-8", "replace").encode("utf-16"), mtime=0),
)


MEMBER_NAMES: Final = (
    *(
        "a.log",
        "a.log",
        "b/c.log.gz",
        "../up.log",
        "/abs.log",
        ".hidden",
        "\x1b[31m.log",
        "é.jsonl",
        "",
        "d/",
        "a" * 200,
    ),
)


def _archive(rng: random.Random) -> bytes:
    """Compressed inputs, and archives with odd members."""
    members = [(rng.choice(MEMBER_NAMES), rng.choice(PACK)(_records(rng)[:4_000])) for _ in range(rng.randint(1, 4))]
    whole = rng.choice((_zipped, _tarred, lambda _rng, members: members[0][1]))(rng, members)
    data = rng.choice(PACK[:6])(whole)
    return _damaged(rng, data) if rng.random() < 0.35 else data


def _zipped(rng: random.Random, members: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            entry = zipfile.ZipInfo(name or "x")
            entry.external_attr = rng.choice((0, 0o100644, 0o120777)) << 16
            archive.NameToInfo.pop(entry.filename, None)  # it would warn of the same name twice
            archive.writestr(entry, data)
    return out.getvalue()


def _tarred(rng: random.Random, members: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    odd = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE)
    kinds = (tarfile.REGTYPE,) * 6 + odd
    form = rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in members:
            member = tarfile.TarInfo(re.sub("^/", "", name)[:90] or "x")
            member.type, member.size, member.linkname = rng.choice(kinds), len(data), "a.log"
            if not member.isreg():
                member.size = 0
            archive.addfile(member, io.BytesIO(data) if member.isreg() else None)
    return out.getvalue()


DRAWS: Final[dict[str, Callable[[random.Random], bytes]]] = {
    "records": _records,
    "batches": _records,
    "long": _long,
    "texts": _texts,
    "loops": _loops,
    "ruleset": _ruleset,
    "formats": _formats,
    "log_format": _log_format,
    "parquet": _parquet,
    "archive": _archive,
}

#: One turn: how often each kind comes.
_TURN: Final = (
    *("records", "texts", "batches", "long", "records", "parquet", "loops", "records", "archive", "records"),
    *("texts", "long", "batches", "ruleset", "records", "formats", "records", "log_format", "long", "texts"),
)


def kind_of(seed: int) -> str:
    """The kind of the case of a seed."""
    return _TURN[seed % len(_TURN)]


def draw(seed: int) -> Case:
    """Draws the case of a seed."""
    rng, kind = random.Random(seed), kind_of(seed)
    return Case(kind, DRAWS[kind](rng))
