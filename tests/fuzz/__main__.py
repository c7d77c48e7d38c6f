"""`python -m tests.fuzz`: see `tests.fuzz.workers`."""

import sys

from tests.fuzz.workers import main

sys.exit(main())
