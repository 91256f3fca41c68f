"""``python -m tests.cases FOLDER`` writes the inputs of all cases, to try them by hand."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.cases.build import write
from tests.cases.datasets import CASES


def main(folder: Path) -> None:
    """One folder for each case."""
    for number, (name, case) in enumerate(CASES.items(), 1):
        place = folder / f"{number:02d} {name}".replace(":", "-").replace("/", "-")
        write(place, case.files())
        print(place)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
