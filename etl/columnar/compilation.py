"""Whether the loops over bytes were compiled when the package was installed."""

from __future__ import annotations

from etl.columnar import access_log_parser, byte_loops, json_tokenizer


def are_loops_compiled() -> bool:
    """False where one of the modules with loops over bytes runs as plain Python: exact, and many times slower."""
    return not any(str(module.__file__).endswith(".py") for module in (access_log_parser, byte_loops, json_tokenizer))
