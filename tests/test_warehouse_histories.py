"""The promise: after any history a warehouse holds what one fresh run over its inputs would write, row for row.

A history is a list of steps, drawn from a seed: loads of files in any order, one at a time or several, copies under
other names and in other compressions, files that have grown, files joined and cut in two, days that are backfilled,
forgetting, loading again by other rules, compacting, rejections judged again by a ruleset that knows their type, two
writers at once, and a SIGKILL before the n-th thing that is made to last. What the warehouse must hold is worked out
beside it, from the names and bytes that were loaded, by rules written here a second time.

A replay by the ruleset must give what a run by it gives, but for what raw records do not tell where personal values are
hashed: Google's hash of an address, and whether a match key that is an address is the same as another.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

import etl
from etl.errors import EtlError
from etl.sources.detection import detect
from etl.sources.format import Settings
from etl.warehouse.backfill import backfill, days_between
from etl.warehouse.maintenance import compact, forget
from etl.warehouse.replay import replay
from etl.warehouse.snapshots import open_for_reading, scan_pinned
from etl.warehouse.verify import verify

HISTORIES = int(os.environ.get("HISTORIES", "24"))
STORED_HISTORIES = HISTORIES // 24
SHARDS = 16

#: Calls that last, at the n-th of which a command is killed: the moves of files, the commits, the snapshot.
LASTING = tuple(
    f"etl.warehouse.{name}"
    for name in ("file_storage.publish", "file_storage.replace", "delta.commit", "delta.restore")
)

#: What a type is that the page does not know.
HOUSE = etl.parse_ruleset('name = "house"\n[events]\nnope = "Purchase"\n', "house.toml")

#: Halves of files may be too odd to be told.
FORMAT = "combined"


def log_line(chance: Random) -> str:
    """A line of a log: few transactions, few hours, so that duplicates, ties and conflicts are common."""
    if chance.random() < 0.1:
        return chance.choice(["\n", "nonsense\n", '192.0.2.1 - - [x] "-" 400 0 "-" "-"\n'])
    at = f"{chance.randint(1, 3):02}/May/2024:{chance.randint(0, 2):02}:00:00 +0000"
    query = {
        "click_id": chance.choice(["", "a", "b", "c"]),
        "transaction_id": chance.choice(["", "t1", "t2", "t3", "t4", "t5", "%20t1", "null"]),
        "value": chance.choice(["", "5", "7"]),
        "email": chance.choice(["", "jo@example.com", "Jo@Example.com"]),
        "conversion_type": chance.choice(["", "sale", "lead", "nope"]),
        "xat_plan": chance.choice(["", "gold"]),
        "items[0][id]": chance.choice(["", "1"]),
    }
    text = "&".join(f"{name}={value}" for name, value in query.items() if value)
    return f'192.0.2.{chance.randint(1, 9)} - - [{at}] "GET /acme/collect/shop?{text} HTTP/1.1" 200 2 "-" "test"\n'


@dataclass
class World:
    """Files on the disk, and what a warehouse has to hold of them: digest -> the names of its bytes."""

    folder: Path
    warehouse: str
    files: dict[Path, bytes] = field(default_factory=dict)
    held: dict[str, set[str]] = field(default_factory=dict)
    bytes_of: dict[str, bytes] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    replayed: set[str] = field(default_factory=set)

    def write(self, name: str, data: bytes, pack: Callable[[bytes], bytes] = bytes) -> Path:
        path = self.folder / name
        path.write_bytes(pack(data))
        self.files[path] = data
        return path

    def loaded(self, paths: list[Path]) -> None:
        """What a finished load of these files has made of the warehouse."""
        for path in sorted(paths):
            data = self.files[path]
            digest = hashlib.sha256(data).hexdigest()
            is_earlier = any(
                len(other) > len(data) >= 4 and other.startswith(data)
                for other in [*self.bytes_of.values(), *(self.files[one] for one in paths)]
            )
            if is_earlier and digest not in self.held:
                continue
            self.held.setdefault(digest, set()).add(str(path))
            self.bytes_of[digest] = data
        for digest, data in list(self.bytes_of.items()):
            if any(len(other) > len(data) >= 4 and other.startswith(data) for other in self.bytes_of.values()):
                self.forgotten(digest)

    def forgotten(self, digest: str) -> None:
        del self.held[digest], self.bytes_of[digest]
        self.replayed.discard(digest)

    def untold(self) -> dict[str, bool]:
        """Ids of conversions that a replay has made of records with hashes -> whether an address is its match key."""
        return {
            f"{digest[:20]}{number:012x}": b"click_id=" not in line
            for digest in self.replayed
            for number, line in enumerate(self.bytes_of[digest].split(b"\n"), 1)
            if b"conversion_type=nope" in line and b"email=" in line
        }

    def restored(self) -> list[Path]:
        """The files of what is held, under the first of their names, with the bytes that were loaded."""
        paths = []
        for digest, names in self.held.items():
            path = Path(min(names))
            if self.files[path] != self.bytes_of[digest]:
                self.write(path.name, self.bytes_of[digest])
            paths.append(path)
        return paths

    def check(self, rules: dict[str, Any]) -> None:
        """Compares the four tables with those of a fresh run, and has the warehouse verify itself."""
        inputs = self.restored()
        out = self.folder / "fresh"
        etl.run(sorted(inputs or [self.write("empty.log", b"")]), out, **rules)
        warehouse = open_for_reading(self.warehouse)
        untold = self.untold() if rules["pii"] == "hash" else {}
        for table in etl.schema.TABLES:
            expected = pl.read_parquet(out / table.name)
            found = scan_pinned(warehouse, table.name).collect()
            key = [name for name in ("conversion_id", "rejection_id", "position") if name in expected.columns]
            left, right = (masked(rows, untold).sort(key) for rows in (expected, found.drop("received_date")))
            assert right.equals(left), (self.log, table.name, right, left)
        assert verify(self.warehouse) == [], self.log


def masked(rows: pl.DataFrame, untold: dict[str, bool]) -> pl.DataFrame:
    """Rows without what a replay cannot know of records whose personal values are hashes."""
    keyed = [one for one, is_key in untold.items() if is_key]
    if "email_google_sha256" in rows.columns:
        is_untold = pl.col("conversion_id").is_in(list(untold))
        return rows.with_columns(email_google_sha256=pl.when(~is_untold).then("email_google_sha256"))
    if "duplicate_kind" in rows.columns:
        is_untold = pl.any_horizontal(pl.col("rejection_id", "duplicate_of").is_in(keyed).fill_null(False))
        return rows.with_columns(duplicate_kind=pl.when(~is_untold).then("duplicate_kind"))
    return rows


# --- commands in processes of their own, which can be killed --------------------------------------------------

FORKS = multiprocessing.get_context("forkserver")

#: What children need is imported and compiled before they are forked, as far as it starts no thread.
FORKS.set_forkserver_preload(
    ["tests.test_warehouse_histories", "etl.warehouse.load", "etl.warehouse.replay", "deltalake", "pyarrow.compute"]
)
detect((log_line(Random(0)).encode(),), "", Settings())


def backfill_days(template: str, warehouse: str, **rules: Any) -> None:
    days = days_between(date(2024, 5, 1), date(2024, 5, 2))
    for day in backfill(template, days, ZoneInfo("UTC"), lambda one: etl.load([one], warehouse, **rules)):
        assert day.error is None


COMMANDS: dict[str, Callable[..., Any]] = {
    "load": etl.load,
    "backfill": backfill_days,
    "forget": forget,
    "compact": compact,
    "replay": replay,
}


def command(
    environment: dict[str, str], name: str, arguments: tuple[Any, ...], options: dict[str, Any], fatal: int
) -> None:
    """What a child does: a command, with a SIGKILL before the n-th call that makes something last."""
    os.environ.update(environment)
    tempfile.tempdir = environment.get("TMPDIR")
    count = 0

    def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            nonlocal count
            count += 1
            if count == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*given)

        return call

    for lasting in LASTING:
        module, _, attribute = lasting.rpartition(".")
        setattr(import_module(module), attribute, deadly(getattr(import_module(module), attribute)))
    try:
        COMMANDS[name](*arguments, **options)
    except EtlError:
        os._exit(1)
    os._exit(0)


def started(name: str, *arguments: Any, fatal: int = 0, machine: Path | None = None, **options: Any) -> Any:
    """A child at work; two machines have different folders for temporary files, and so no lock in common."""
    environment = {**os.environ, **({"TMPDIR": str(machine)} if machine else {})}
    child = FORKS.Process(target=command, args=(environment, name, arguments, options, fatal))
    child.start()
    return child


def ended(child: Any) -> int:
    child.join()
    code = int(child.exitcode)
    child.close()
    return code


# --- the steps of a history -----------------------------------------------------------------------------------


class History:
    """One history, drawn from a seed."""

    def __init__(self, seed: int, folder: Path, warehouse: str) -> None:
        self.chance = Random(seed)
        self.world = World(folder, warehouse)
        self.currency: str | None = None
        self.ruleset = etl.Ruleset()
        self.pii = self.chance.choice(["hash", "hash", "keep"])
        self.names = (f"{self.chance.randrange(10**6):06}" for _ in iter(int, 1))

    @property
    def rules(self) -> dict[str, Any]:
        return {
            "default_currency": self.currency,
            "format": FORMAT,
            "ruleset": self.ruleset,
            "pii": self.pii,
        }

    def play(self) -> None:
        chance = self.chance
        self.load([self.new_file()])
        for _ in range(chance.randint(1, 4)):
            steps = (self.load_some, self.load_some, self.copy, self.grow, self.join, self.cut, self.forget)
            chance.choice((*steps, self.two_at_once, self.reload, self.compact, self.replay, self.backfill))()
            if chance.random() < 0.1:
                self.world.check(self.rules)
        self.world.check(self.rules)

    def new_file(self, name: str = "") -> Path:
        lines = [log_line(self.chance) for _ in range(self.chance.randint(0, 6))]
        return self.world.write(name or f"{next(self.names)}.log", "".join(lines).encode())

    def some_file(self) -> Path:
        return self.chance.choice(sorted(self.world.files))

    def load(self, paths: list[Path], **options: Any) -> None:
        """Loads, perhaps killed first, and perhaps not again after that."""
        self.do("load", [str(path) for path in paths], self.world.warehouse, **self.rules, **options)
        self.world.loaded(paths)

    def do(self, name: str, *arguments: Any, **options: Any) -> None:
        self.world.log.append(f"{name} {arguments} {options}")
        while self.chance.random() < 0.25:
            fatal = self.chance.randint(1, 30)
            code = ended(started(name, *arguments, fatal=fatal, **options))
            self.world.log.append(f"killed at {fatal}: {code}")
            if name == "forget" and code == 0:
                return
        COMMANDS[name](*arguments, **options)

    def load_some(self) -> None:
        self.load([self.new_file() for _ in range(self.chance.randint(1, 3))])

    def copy(self) -> None:
        path = self.some_file()
        pack = self.chance.choice([bytes, gzip.compress, bz2.compress])
        self.load([self.world.write(f"{next(self.names)}.copy", self.world.files[path], pack)])

    def grow(self) -> None:
        path = self.some_file()
        more = "".join(log_line(self.chance) for _ in range(self.chance.randint(1, 3))).encode()
        name = path.name if self.chance.random() < 0.5 else f"{next(self.names)}.grown"
        self.load([self.world.write(name, self.world.files[path] + more)])

    def join(self) -> None:
        parts = [self.world.files[self.some_file()] for _ in range(2)]
        self.load([self.world.write(f"{next(self.names)}.joined", b"".join(parts))])

    def cut(self) -> None:
        """A file in two halves, of which the first is an earlier state of the whole; in any order with it."""
        path = self.some_file()
        data = self.world.files[path]
        at = self.chance.randint(0, len(data))
        halves = [self.world.write(f"{next(self.names)}.half", half) for half in (data[:at], data[at:])]
        self.chance.shuffle(halves)
        for half in halves if self.chance.random() < 0.5 else [*halves, path]:
            if half == path or self.world.files[half].strip():
                self.load([half])

    def forget(self) -> None:
        if self.world.held:
            digest = self.chance.choice(sorted(self.world.held))
            self.do("forget", digest[:20], self.world.warehouse)
            self.world.forgotten(digest)

    def backfill(self) -> None:
        day = f"{next(self.names)}-{{date:%Y-%m-%d}}.log"
        paths = [self.new_file(day.format(date=date(2024, 5, number))) for number in (1, 2)]
        self.do("backfill", str(self.world.folder / day), self.world.warehouse, **self.rules)
        for path in paths:
            self.world.loaded([path])

    def compact(self) -> None:
        self.do("compact", self.world.warehouse)

    def replay(self) -> None:
        """Rejections again by the other ruleset, by which everything is loaded from then on; or again for nothing."""
        if self.ruleset != HOUSE:
            self.ruleset = HOUSE
            self.world.replayed |= self.world.held.keys()
        reasons = [["unknown_conversion_type", "missing_identity"], []]
        self.do("replay", self.world.warehouse, self.ruleset, self.chance.choice(reasons))

    def reload(self) -> None:
        """All inputs again, by other rules."""
        self.currency = self.chance.choice([None, "EUR", "USD"])
        self.ruleset = self.chance.choice([etl.Ruleset(), HOUSE])
        self.world.replayed.clear()
        paths = self.world.restored()
        if paths:
            self.load(paths, reload=True)

    def two_at_once(self) -> None:
        """Two writers: each is done, or says that it is not; what was not is loaded afterwards."""
        loads = [[self.new_file()], [self.new_file(), self.some_file()]]
        machines = [self.world.folder / f"machine{number}" for number in range(2)]
        children = []
        for machine, paths in zip(machines, loads, strict=True):
            machine.mkdir(exist_ok=True)
            files = [str(path) for path in paths]
            children.append(started("load", files, self.world.warehouse, machine=machine, **self.rules))
        codes = [ended(child) for child in children]
        self.world.log.append(f"two at once {loads} {codes}")
        assert set(codes) <= {0, 1}
        assert 0 in codes or "://" in self.world.warehouse  # without a lock, each may have stopped the other
        for code, paths in zip(codes, loads, strict=True):
            if code == 0:
                self.world.loaded(paths)
        for code, paths in zip(codes, loads, strict=True):
            if code == 1:
                self.load(paths)


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where there is some: a SIGKILL takes nothing of what the system was handed, and syncing costs most."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


@pytest.mark.usefixtures("remembered_transforms")
@pytest.mark.parametrize("shard", range(SHARDS))
def test_after_any_history_a_warehouse_holds_what_a_fresh_run_writes(shard: int, folder: Path) -> None:
    for seed in range(shard, HISTORIES, SHARDS):
        play(seed, folder / str(seed), str(folder / str(seed) / "warehouse"))


@pytest.mark.usefixtures("remembered_transforms")
def test_the_same_in_an_object_store(folder: Path, make_bucket: Callable[[str], str]) -> None:
    bucket = make_bucket("histories")
    for seed in range(STORED_HISTORIES):
        play(seed, folder / str(seed), f"{bucket}/{os.getpid()}/{seed}")


def play(seed: int, folder: Path, warehouse: str) -> None:
    folder.mkdir()
    try:
        History(seed, folder, warehouse).play()
    except Exception as error:
        raise AssertionError(f"history {seed}") from error
    shutil.rmtree(folder)
