"""Archives and object stores give the rows of the files in them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard

import etl
from etl.errors import EtlError, OutputError
from etl.runner import stage_inputs
from etl.sources import small_inputs, splits
from etl.sources.storage import surveys
from etl.sources.storage.unnamed_files import UnnamedFiles
from tests.commands import run
from tests.effort import thorough

LINE = '192.0.2.7 - - [01/May/2024:12:00:{0:02} +0000] "GET /acme/collect/shop?click_id=c{1} HTTP/1.1" 200 2 "-" "-"\n'
LOGS = {
    "logs/a.log": "".join(LINE.format(i % 60, f"a{i}") for i in range(50)).encode(),
    "logs/b.log": "".join(LINE.format(i % 60, f"b{i}") for i in range(30)).encode(),
}
JUNK = {"logs/.hidden": b"junk", "__MACOSX/logs/._a.log": b"junk"}
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.mkdir("logs")
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def packed(suffix: str) -> dict[str, bytes]:
    return {f"{name}{suffix}": PACK[suffix](data) for name, data in LOGS.items()}


ARCHIVES: dict[str, bytes] = {
    "stored.zip": zipped(LOGS | JUNK, zipfile.ZIP_STORED),
    "deflated.zip": zipped(LOGS | JUNK),
    "of_gz.zip": zipped(packed(".gz")),
    "plain.tar": tarred(LOGS | JUNK),
    "of_xz.tar": tarred(packed(".xz")),
    **{f"whole.tar{suffix}": pack(tarred(LOGS)) for suffix, pack in PACK.items() if suffix},
    "no_suffix": gzip.compress(tarred(LOGS)),
}


def rows_of(inputs: list[Any], folder: Path, **options: Any) -> tuple[dict[str, Any], pl.DataFrame]:
    summary = etl.run(inputs, folder / "out", **options)
    return summary, pl.read_parquet(folder / "out" / "conversions").sort("click_id")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    folder = tmp_path_factory.mktemp("plain")
    for name, data in LOGS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return rows_of([folder / "logs"], folder)[1]


@pytest.mark.parametrize("name", ARCHIVES)
def test_members_give_the_rows_of_the_files(name: str, expected: pl.DataFrame, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(ARCHIVES[name])
    summary, rows = rows_of([tmp_path / name], tmp_path)
    assert rows.drop("source").equals(expected.drop("source"))
    sources = {
        item["path"].removeprefix(f"{tmp_path}/{name}/").removesuffix(".gz").removesuffix(".xz")
        for item in summary["inputs"]
    }
    assert sources == set(LOGS)
    assert set(rows["source"]) == {item["path"] for item in summary["inputs"]}


@pytest.mark.parametrize(
    "name",
    [
        *("whole.zip", "whole.log.zst"),
        *(pytest.param(f"whole.log{suffix}", marks=thorough) for suffix in (".gz", ".bz2", ".xz")),
    ],
)
def test_a_packed_input_is_unpacked_once_and_read_in_the_splits_of_a_plain_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"".join(LINE.format(i % 60, f"{i % 90}&transaction_id=t{i % 90}").encode() for i in range(100))
    (tmp_path / "whole.log").write_bytes(data)
    pack = PACK.get(Path(name).suffix, lambda data: zipped({"a.log": data}))
    (tmp_path / name).write_bytes(pack(data))
    monkeypatch.setattr(stage_inputs, "SPLIT_BYTES", 3_000)
    monkeypatch.setattr(small_inputs, "SMALL_BYTES", 0)
    monkeypatch.setattr(surveys, "BLOCK_BYTES", 1_000)
    _, plain = rows_of([tmp_path / "whole.log"], tmp_path)
    rejected = pl.read_parquet(tmp_path / "out" / "rejections")
    monkeypatch.setattr(surveys, "_COPIED_BYTES", 1)
    opened = []
    open_any = splits.open_decompressed
    monkeypatch.setattr(
        splits, "open_decompressed", lambda path, codec, source: opened.append(codec) or open_any(path, codec, source)
    )
    _, rows = rows_of([tmp_path / name], tmp_path)
    assert rows.drop("source").equals(plain.drop("source"))
    assert pl.read_parquet(tmp_path / "out" / "rejections").drop("source").equals(rejected.drop("source"))
    assert rejected.height == 10
    assert len(opened) > 4
    assert set(opened) == {"plain"}


def test_a_full_disk_is_told_where_a_packed_input_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(LOGS["logs/a.log"]))
    monkeypatch.setattr(surveys, "_COPIED_BYTES", 1)
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(UnnamedFiles, "make", lambda _: full)
        with pytest.raises(OutputError, match="No space left on device") as error:
            etl.run([tmp_path / "a.log.gz"], tmp_path / "out")
    assert "Free some disk space" in error.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log.gz"]


@pytest.mark.parametrize("name", ["deflated.zip", "plain.tar", "whole.tar.gz"])
def test_an_archive_on_standard_input(name: str, expected: pl.DataFrame, tmp_path: Path) -> None:
    run("run", "-", "--out", tmp_path / "out", stdin=ARCHIVES[name])
    rows = pl.read_parquet(tmp_path / "out" / "conversions").sort("click_id")
    assert rows.drop("source").equals(expected.drop("source"))
    assert set(rows["source"]) == {f"-/{name}" for name in LOGS}


def test_duplicates_within_members_keep_their_raw_records(tmp_path: Path) -> None:
    line = LINE.format(0, "x&transaction_id=t").encode()
    (tmp_path / "a.zip").write_bytes(zipped({"a.log": line * 3, "b.log": b"\n" + line}))
    summary, _ = rows_of([tmp_path / "a.zip"], tmp_path)
    assert (summary["conversions"], summary["rejections"]["by_reason"]) == (1, {"duplicate_transaction": 3})
    raws = pl.read_parquet(tmp_path / "out" / "rejections")["raw"]
    assert set(raws) == {line.decode().strip().replace("192.0.2.7", "-")}


@thorough
def test_big_members_are_split_and_read_by_several_processes(tmp_path: Path) -> None:
    data = b"".join(LINE.format(i % 60, i).encode() for i in range(340_000))
    assert len(data) > 33 << 20
    (tmp_path / "big.tar").write_bytes(tarred({"a.log": data, "b.log": data[: 17 << 20] + b"\n"}))
    (tmp_path / "big.log").write_bytes(data)
    summary, rows = rows_of([tmp_path / "big.tar"], tmp_path, jobs=2)
    _, plain = rows_of([tmp_path / "big.log"], tmp_path, jobs=2)
    assert summary["records"] > 340_000
    whole = rows.filter(pl.col("source").str.ends_with("/a.log")).drop("source")
    assert whole.sort("record_no").equals(plain.drop("source").sort("record_no"))


BROKEN: dict[str, tuple[bytes, str]] = {
    "a zip that was cut": (ARCHIVES["deflated.zip"][:-40], "cannot be read"),
    "a zip without files": (zipped(JUNK), "without files"),
    "a workbook": (zipped({"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"}), "an Excel workbook"),
    "an archive within another": (zipped({"inner.tar": ARCHIVES["plain.tar"]}), "an archive within another archive"),
    "a zip within another": (zipped({"inner.zip": ARCHIVES["stored.zip"]}), "a zip archive within another archive"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_archive_is_an_error_in_two_lines(name: str, tmp_path: Path) -> None:
    data, words = BROKEN[name]
    (tmp_path / "input").write_bytes(data)
    with pytest.raises(EtlError, match=words) as refused:
        rows_of([tmp_path / "input"], tmp_path)
    assert len(str(refused.value).splitlines()) == 2


# --- object stores --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bucket(make_bucket: Callable[[str], str]) -> str:
    """A bucket of a real server on this machine, with the logs in it."""
    import obstore
    from obstore.store import from_url

    address = make_bucket("postbacks")
    store = from_url(address)
    for name, data in (LOGS | packed(".gz") | {"all.zip": ARCHIVES["deflated.zip"]}).items():
        obstore.put(store, name, data)
    return address


@pytest.mark.parametrize("address", ["logs/*.log", "logs/*.gz", "all.zip"])
def test_objects_give_the_rows_of_the_files(address: str, bucket: str, expected: pl.DataFrame, tmp_path: Path) -> None:
    _, rows = rows_of([f"{bucket}/{address}"], tmp_path)
    assert rows.drop("source").equals(expected.drop("source"))
    assert all(source.startswith(f"{bucket}/") for source in rows["source"])


def test_a_prefix_names_all_objects_under_it_and_the_same_bytes_are_read_once(bucket: str, tmp_path: Path) -> None:
    summary, rows = rows_of([f"{bucket}/logs/"], tmp_path)
    assert [item["path"] for item in summary["inputs"] if "same_as" not in item] != []
    assert (len(summary["inputs"]), rows.height) == (4, 80)


def test_one_object_by_the_command(bucket: str, tmp_path: Path) -> None:
    run("run", f"{bucket}/logs/a.log", "--out", tmp_path / "out", "--quiet")
    assert pl.read_parquet(tmp_path / "out" / "conversions").height == 50


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://postbacks/nothing/", "names no object"),
        ("s3://nobody-has-this/logs/", "NoSuchBucket"),
        ("ftp://example.com/a", "not an object-store address"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_what_cannot_be_had_is_an_error_in_two_lines(address: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(EtlError, match=words) as refused:
        rows_of([address], tmp_path)
    assert len(str(refused.value).splitlines()) == 2
