"""What each kind of case must keep, whatever its bytes: no record lost, the same in any order of work, no leak."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest import mock
from zlib import crc32

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

import etl
from etl.columnar import access_log_parser, byte_loops, json_tokenizer
from etl.privacy.addresses import hide_text
from etl.privacy.redaction import redact_raws
from etl.rules.ruleset import Ruleset
from etl.rules.ruleset_file import parse_ruleset
from etl.schema import REQUESTS
from etl.sources import time_limits
from etl.sources.format import Settings
from etl.sources.formats.log_format import compile_log_format
from etl.sources.planning import ReadOptions, count_surveyed, find_format, plan_splits
from etl.sources.records import lines
from etl.sources.settings import make_settings
from etl.sources.splits import Split, read_split
from etl.sources.storage import surveys
from etl.sources.storage.inputs import Input
from etl.sources.storage.surveys import survey
from etl.steps.pipeline import Tables, transform
from tests import adversary, loops, twins
from tests.fuzz.faults import cells_of, hold, hold_private, texts_of
from tests.requests import assert_equal

_MEMORY: Final = Path("/dev/shm")
_WORD: Final = Ruleset().collect_word

#: Blocks, batches and splits of so many bytes, with which an input is read again.
_SMALL: Final = 3_000


# --- records ----------------------------------------------------------------------------------------------------


def check_records(data: bytes) -> None:
    """An input: as many records as the survey says, each in one place, alike however it is split, nothing personal."""
    whole = _requests(data)
    tables = transform(whole)
    _hold_whole(tables, whole.height)
    hold_private(texts_of(tables))


def check_batches(data: bytes) -> None:
    """An input: the tables of a whole are those of its parts."""
    whole = _requests(data)
    cuts = [0, crc32(data) % (whole.height + 1), whole.height]
    parts = [transform(whole[start:end]) for start, end in pairwise(cuts)]
    try:
        assert_equal(transform(whole), parts)
    except AssertionError as error:
        hold(is_kept=False, law="differs", where=f"batches: {str(error).splitlines()[0]}", detail=f"cut at {cuts[1]}")


def _requests(data: bytes) -> pl.DataFrame:
    """The requests of an input, which is also read again in small splits and batches."""
    with _folder() as folder:
        path = folder / "input"
        path.write_bytes(data)
        item, reading = Input("input", path), ReadOptions()
        surveyed = survey(path, "input", 1 << 24)
        found = find_format(item, surveyed.codec, surveyed.samples, reading)
        counted = count_surveyed(item, surveyed, found, reading.settings)
        whole = _frames(list(plan_splits(item, surveyed, found, reading.with_word(_WORD))))
        numbers = whole["record_no"].to_list()
        hold(numbers == list(range(1, len(numbers) + 1)), "lost", f"{found.row.name} record_no", numbers[:20])
        hold(counted in (None, whole.height), "lost", f"{found.row.name} survey", f"{counted}, not {whole.height}")
        with _small():
            again = survey(path, "input", _SMALL)
            parts = _frames(list(plan_splits(item, again, found, reading.with_word(_WORD))))
        is_alike = again.has_return_ends != surveyed.has_return_ends or parts.equals(whole)  # by the first block
        hold(is_alike, "differs", f"{found.row.name} splits", _difference(whole, parts))
    return whole


def _hold_whole(tables: Tables, records: int) -> None:
    ended = tables.conversions.height + tables.rejections.height + tables.skipped["count"].sum()
    hold(ended == records, "lost", "transform", f"{records} records, {ended} in the tables")


def _frames(splits: list[Split]) -> pl.DataFrame:
    return pl.concat([REQUESTS.empty(), *(frame for split in splits for frame, _ in read_split(split))])


def _difference(left: pl.DataFrame, right: pl.DataFrame) -> str:
    if left.height != right.height:
        return f"{left.height} rows, not {right.height}"
    names = [name for name in left.columns if not left[name].equals(right[name])]
    rows = [i for i in range(left.height) if left.row(i) != right.row(i)]
    return f"columns {names}, rows {rows[:5]}: {[(left.row(i), right.row(i)) for i in rows[:1]]}"


@contextmanager
def _small() -> Iterator[None]:
    """Has batches and blocks small, so that a small input has many."""
    with mock.patch.object(lines, "BATCH_BYTES", _SMALL), mock.patch.object(surveys, "BLOCK_BYTES", _SMALL):
        yield


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        yield Path(folder)


# --- functions of texts -----------------------------------------------------------------------------------------


def check_texts(data: bytes) -> None:
    """Texts, one a line: redacted alike together and alone, and nothing personal is left."""
    texts = [line.decode("utf-8", "replace") for line in data.split(b"\n")]
    raws = pl.Series(texts, dtype=pl.String)
    unread = pl.repeat(True, len(texts), eager=True)
    together = redact_raws(raws, "hash", Ruleset())
    alone = pl.concat([redact_raws(raws[i : i + 1], "hash", Ruleset()) for i in range(len(raws))])
    differing = [i for i in range(len(texts)) if together[i] != alone[i]]
    hold(not differing, "differs", "redact_raws", [(texts[i], together[i], alone[i]) for i in differing[:1]])
    broken = redact_raws(raws, "hash", Ruleset(), is_unread=unread)
    hidden = [hide_text(text, "hash") or "" for text in texts]
    for name, found in (("redact_raws", together), ("redact_raws, unread", broken), ("hide_text", hidden)):
        hold_private(((name, text.encode("utf-8", "replace")) for text in found), is_named=found is broken)


def check_loops(data: bytes) -> None:
    """Texts, one a line: the fast ways agree with the exact ways, the compiled loops with plain Python."""
    parts = data.split(b"\n")
    for name, check in (("lines", twins.check_lines), ("json", twins.check_json)):
        try:
            check(data)
        except AssertionError as error:
            hold(is_kept=False, law="differs", where=f"fast way of {name}", detail=error)
    if loops.ARE_COMPILED:
        byte_loops.set_seed(2**63 + 5)
        loops.PLAIN_LOOPS.set_seed(2**63 + 5)
        ways = (
            (loops.filled, byte_loops, loops.PLAIN_LOOPS, [part[:40] for part in parts[:6]]),
            (loops.values, json_tokenizer, loops.PLAIN_JSON, parts),
            (loops.found, access_log_parser, loops.PLAIN_LINES, parts),
        )
        for work, compiled, plain, given in ways:
            hold(work(compiled, given) == work(plain, given), "differs", f"compiled {plain.__name__}")


# --- what users write -------------------------------------------------------------------------------------------


def _sample() -> bytes:
    return adversary.json_lines(7, 15) + adversary.log_lines(7, 5)


def _hold_read(settings: Settings, ruleset: Ruleset, data: bytes, **reading: Any) -> None:
    """Reads and transforms a few records by what a user wrote."""
    with _folder() as folder, mock.patch.object(time_limits, "_SECONDS", 1.0):
        path = folder / "input"
        path.write_bytes(data)
        item, options = Input("input", path), ReadOptions(settings=settings, **reading)
        surveyed = survey(path, "input", 1 << 24)
        found = find_format(item, surveyed.codec, surveyed.samples, options)
        requests = _frames(list(plan_splits(item, surveyed, found, options.with_word(ruleset.collect_word))))
    _hold_whole(transform(requests, ruleset), requests.height)


def check_ruleset(data: bytes) -> None:
    """A ruleset: it is refused, or whatever it says is done."""
    ruleset = parse_ruleset(data.decode("utf-8", "replace"), "own.toml")
    _hold_read(Settings(has_array_bodies=ruleset.array_bodies == "records"), ruleset, adversary.json_lines(7, 15))


def check_formats(data: bytes) -> None:
    """A file of formats."""
    with _folder() as folder:
        (folder / "own.toml").write_bytes(data)
        settings = make_settings("UTC", {}, folder / "own.toml")
    for sample in (adversary.json_lines(7, 15), adversary.log_lines(7, 5)):
        for row in settings.formats:
            _hold_read(settings, Ruleset(), sample, format=row.name)


def check_log_format(data: bytes) -> None:
    """A `log_format` or `LogFormat`."""
    text = data.decode("utf-8", "surrogateescape")
    compile_log_format(text)
    _hold_read(Settings(), Ruleset(), adversary.log_lines(7, 5), log_format=text)


# --- whole files ------------------------------------------------------------------------------------------------


def check_run(data: bytes) -> None:
    """A file, by the whole command: the summary adds up, the same bytes again, nothing personal, nothing elsewhere."""
    with _folder() as folder:
        (folder / "input").write_bytes(data)
        summary = etl.run([folder / "input"], folder / "out", account="acme", integration="shop", min_matched=0)
        ended = summary["conversions"] + summary["rejections"]["total"] + summary["skipped"]["total"]
        hold(ended == summary["records"], "lost", "run", f"{summary['records']} records, {ended} in the tables")
        for one in summary["inputs"]:
            hold(one["records_surveyed"] in (None, one["records"]), "lost", "run survey", one)
        hold({path.name for path in folder.iterdir()} == {"input", "out"}, "leak", "files", list(folder.iterdir()))
        first = _contents(folder / "out")
        hold_private((name, text) for name, text in first.items() if not name.endswith(".parquet"))
        for name, text in first.items():
            if name.endswith(".parquet"):
                hold_private(cells_of(name.split("/")[0], pl.read_parquet(io.BytesIO(text), hive_partitioning=False)))
        if crc32(data) % 4 == 0:
            etl.run([folder / "input"], folder / "out", account="acme", integration="shop", min_matched=0)
            hold(_contents(folder / "out") == first, "differs", "run again")


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def check_parquet(data: bytes) -> None:
    """A Parquet file: beside all that holds of a file, as many records as rows."""
    check_run(data)
    with _folder() as folder:
        (folder / "input").write_bytes(data)
        try:
            rows = pq.read_table(folder / "input", use_threads=False).num_rows
        except (pa.ArrowException, OSError, ValueError):
            return
        records = etl.run([folder / "input"], folder / "out", min_matched=0)["records"]
        hold(records == rows, "lost", "parquet", f"{rows} rows, {records} records")


CHECKS: Final[dict[str, Callable[[bytes], None]]] = {
    "records": check_records,
    "batches": check_batches,
    "long": check_records,
    "texts": check_texts,
    "loops": check_loops,
    "ruleset": check_ruleset,
    "formats": check_formats,
    "log_format": check_log_format,
    "parquet": check_parquet,
    "archive": check_run,
}
