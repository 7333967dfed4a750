"""How long a user waits for nothing: importing the library, and the help of the commands. Limit: 0.3 s each."""

from __future__ import annotations

import sys
from pathlib import Path

from measure import COMMANDS, medians, print_table, run

RUNS = 10
LIMIT = 0.3
CASES: dict[str, list[str | Path]] = {
    "`python -c pass`": [sys.executable, "-c", "pass"],
    "`import wsi_dicom`": [sys.executable, "-c", "import wsi_dicom"],
    "`dicomize --help`": [COMMANDS / "dicomize", "--help"],
    "`dicom2tiff --help`": [COMMANDS / "dicom2tiff", "--help"],
    "`wsi-dicom --help`": [COMMANDS / "wsi-dicom", "--help"],
}


def main() -> None:
    rows = []
    for name, command in CASES.items():
        run(command)  # the first run reads from disk and compiles
        wall = medians(run(command) for _ in range(RUNS)).wall
        rows.append([name, f"{wall:.3f}", "yes" if wall < LIMIT else "NO"])
    print_table(f"Start-up, median of {RUNS}", ["", "wall s", f"below {LIMIT} s"], rows)


if __name__ == "__main__":
    main()
