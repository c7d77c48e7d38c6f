"""What holds for any bytes: nothing but errors of the tool, no record lost, no time beyond the length, no leak."""

from __future__ import annotations

import os
import time
import traceback
from typing import Final

from etl.errors import AccountingError, EtlError
from tests.fuzz.cases import Case
from tests.fuzz.checks import CHECKS
from tests.fuzz.faults import BrokenLawError, Fault

#: The processor time that a case may take, and how much more for each of its bytes: four times what the slowest takes.
_SECONDS: Final = 2.0
_SECONDS_A_BYTE: Final = 40e-6

#: So many times as long may all take: the sanitizers slow Python.
_PATIENCE: Final = float(os.environ.get("FUZZ_PATIENCE", "1"))

#: So many times the time is no busy machine.
_SURELY: Final = 3


def fault_of(case: Case) -> Fault | None:
    """Holds a case against the laws; returns the first that it breaks."""
    most = (_SECONDS + _SECONDS_A_BYTE * len(case.data)) * _PATIENCE
    began = time.process_time()
    fault = _broken(case)
    seconds = time.process_time() - began
    if fault or seconds <= most:
        return fault
    for _ in range(2 if seconds < _SURELY * most else 0):  # what a busy machine slows is quick at another time
        began = time.process_time()
        _broken(case)
        seconds = min(seconds, time.process_time() - began)
    size = len(case.data)
    return Fault("slow", case.kind, f"{seconds:.1f} s for {size:,} bytes") if seconds > most else None


def _broken(case: Case) -> Fault | None:
    """The first law but that of time that a case breaks."""
    try:
        CHECKS[case.kind](case.data)
    except AccountingError as error:
        return Fault("lost", case.kind, str(error))
    except EtlError:
        return None
    except BrokenLawError as error:
        return Fault(*error.args)
    except Exception as error:
        return Fault("crash", f"{type(error).__name__} at {_place(error)}", f"{error}"[:300])
    return None


def _place(error: BaseException) -> str:
    """The innermost line of the package that an exception passed."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if "/etl/" in frame.filename]
    return f"{own[-1].filename.rpartition('/etl/')[2]}:{own[-1].lineno}" if own else "?"
