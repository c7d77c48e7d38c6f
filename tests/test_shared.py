"""Real logs and webhooks, read in place; where they are not beside the checkout, these tests are skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import etl
from etl.errors import FormatError
from tests.effort import thorough
from tests.places import SHARED, reads_shared

pytestmark = reads_shared

CORPORA = sorted(path for path in SHARED.glob("corpora/*/*/*") if path.is_file())
FOLDERS = {folder: [path for path in CORPORA if path.parent == folder] for folder in {path.parent for path in CORPORA}}
FILES = [
    pytest.param(
        path,
        id=str(path.relative_to(SHARED / "corpora")),
        marks=() if FOLDERS[path.parent].index(path) % 3 == 0 else thorough,
    )
    for path in CORPORA
]

#: What this tool reads in the corpora; other files are refused by name.
READ = ("apache_combined", "nginx_combined", "nginx_ingress", "vhost_combined", "clf_common")
WEBHOOKS = {
    "shopify": {"json"},
    "stripe": {"json"},
    "woocommerce": {"json"},
    "lambda_apigw": {"api_gateway_v1", "api_gateway_v2", "load_balancer_event", "json", "combined"},
    "ngrok": {"ngrok"},
    "har": {"har", "json"},
}


@pytest.mark.parametrize("path", FILES)
def test_real_files_are_read_or_refused(path: Path, tmp_path: Path) -> None:
    try:
        summary: dict[str, Any] = etl.run([path], tmp_path / "out", account="a", integration="b")
    except FormatError:
        assert path.parent.name not in (*READ, *WEBHOOKS)
        return
    ended = summary["conversions"] + summary["rejections"]["total"] + summary["skipped"]["total"]
    assert summary["records"] == ended
    if path.parent.name in READ:
        assert summary["inputs"][0]["format"] in ("combined", "common")
        assert summary["records"] == len(path.read_bytes().removesuffix(b"\n").split(b"\n"))
    if path.parent.name in WEBHOOKS:
        assert summary["inputs"][0]["format"] in WEBHOOKS[path.parent.name]
    rejections = pl.read_parquet(tmp_path / "out" / "rejections")
    assert rejections["message"].null_count() == 0
