"""Where tests find what they read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
DATA: Final = Path(__file__).parent / "data"

#: The corpora of real files, which lie beside the checkout and are no part of it.
SHARED: Final = Path(os.environ.get("SHARED", ROOT.parent / "shared"))

#: A test that reads `SHARED`; it is skipped where that is absent, and the last line of the run counts it.
reads_shared = pytest.mark.reads_shared
