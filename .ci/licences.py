"""Lists the distributions that the command needs, with their versions and licences.

Usage: python .ci/licences.py
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution

ROOT = "postback-etl"


def needed(name: str, found: dict[str, Distribution]) -> None:
    """Adds a distribution and all that it requires, but for extras and for what other platforms need."""
    try:
        held = distribution(name)
    except PackageNotFoundError:
        return
    if held.name.lower() in found:
        return
    found[held.name.lower()] = held
    for requirement in held.requires or ():
        if "extra ==" not in requirement:
            needed(re.split(r"[^\w.-]", requirement, maxsplit=1)[0], found)


def licence_of(held: Distribution) -> str:
    """Returns the licence that a distribution's metadata names."""
    told = {name: held.metadata.get_all(name) or [] for name in ("License-Expression", "Classifier", "License")}
    classifiers = [text.rpartition(" :: ")[2] for text in told["Classifier"] if "License" in text]
    said = [*told["License-Expression"], ", ".join(classifiers), *told["License"]]
    return next((text.splitlines()[0] for text in said if text), "not said")


def main() -> None:
    """Prints a line for each distribution."""
    found: dict[str, Distribution] = {}
    needed(ROOT, found)
    for name, held in sorted(found.items()):
        print(f"{name:<24} {held.version:<18} {licence_of(held)}")


if __name__ == "__main__":
    main()
