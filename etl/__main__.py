"""`python -m etl` and `postback-etl`: the command.

This module imports nothing that takes time, so that the handlers of signals are set as early as possible.
"""

from __future__ import annotations

import os
import signal
import sys

_MESSAGE = b"error: Interrupted: nothing was published.\n       Run the same command again.\n"


def main() -> None:
    """Runs the command. A signal ends it in order even while its modules are imported, which takes a while."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    from etl.cli import main as command

    command()


def _end(_number: int, _frame: object) -> None:
    """Ends the process: nothing has begun. Programs that read messages as JSON get the exit code alone."""
    try:
        if not any("json" in word for word in sys.argv[1:]):
            os.write(2, _MESSAGE)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
