"""The promises of README, Dockerfile and constraints hold: what they name exists."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def make_targets(text: str) -> set[str]:
    """Targets of the `make` commands in a document's code, or in a Dockerfile's RUN lines."""
    code = re.findall(r"^ {4}(make .*)$|`(make [^`]+)`|^RUN (.*)$", text, flags=re.MULTILINE)
    return {target for line in code for target in re.findall(r"\bmake ([a-z]+)", "".join(line))}


def distribution(requirement: str) -> str:
    """`uvicorn[standard]>=0.34` -> `uvicorn`."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return match[0].lower()


def direct_dependencies() -> Iterator[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [project["project"]["dependencies"], project["build-system"]["requires"]]
    groups += project["project"].get("optional-dependencies", {}).values()
    groups += project["dependency-groups"].values()
    for group in groups:
        yield from (distribution(requirement) for requirement in group)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "Dockerfile", ".ci/run", "docs/performance.md"])
def test_named_make_targets_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    targets = set(re.findall(r"^make ([a-z]+)$", text, flags=re.MULTILINE)) | make_targets(text)
    assert targets
    for target in targets:
        done = subprocess.run(["make", "--dry-run", target], check=False, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_readme_names_the_two_commands() -> None:
    assert {"run", "test"} <= make_targets((ROOT / "README.md").read_text())


def test_constraints_are_exact_versions_without_places() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert lines
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), line


def test_every_direct_dependency_is_pinned_and_explained() -> None:
    table = (ROOT / "docs" / "dependencies.md").read_text().splitlines()
    explained = {word for line in table if line.startswith("|") for word in re.findall(r"[\w.-]+", line.split("|")[1])}
    pins = {distribution(line).replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()}
    wanted = set(direct_dependencies())
    assert wanted - explained == set()
    assert wanted - pins == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_ci_names_the_missing_slides_folder(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    environment = {**os.environ, "WSI_DICOM_TEST_SLIDES": str(missing)}
    command = [ROOT / ".ci" / "run"]
    done = subprocess.run(command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert str(missing) in done.stderr


def test_missing_programs_are_named_where_they_cannot_be_installed(tmp_path: Path) -> None:
    """On a machine with no apt-get on the PATH: the script says what is missing and how to get it, and fails."""
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    command = ["/bin/sh", str(ROOT / "scripts" / "debian-packages"), "dciodvfy:dicom3tools", "dcmdump:dcmtk"]
    done = subprocess.run(command, check=False, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip() == "missing: dciodvfy dcmdump; install with: sudo apt-get install dicom3tools dcmtk"


WANTS = """
def test_slides(slides): assert slides.is_dir()
def test_tool(tool): assert tool("dciodvfy")
"""


@pytest.mark.parametrize(
    ("settings", "outcome"),
    [
        ({}, "1 failed, 1 skipped"),
        ({"WSI_DICOM_ALLOW_MISSING_TOOLS": "1"}, "2 skipped"),
        ({"WSI_DICOM_ALLOW_MISSING_TOOLS": "1", "CI": "true"}, "1 failed, 1 error"),
    ],
    ids=["at home", "at home, tools not wanted", "in CI"],
)
def test_nothing_that_is_missing_goes_unnamed(tmp_path: Path, settings: dict[str, str], outcome: str) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_wants.py").write_text(WANTS)
    environment = {"PATH": str(tmp_path), "WSI_DICOM_TEST_SLIDES": str(tmp_path / "nowhere"), **settings}
    command = [sys.executable, "-m", "pytest", "-rs", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert f" {outcome} " in done.stdout.splitlines()[-1]
    assert "set WSI_DICOM_TEST_SLIDES" in done.stdout
    assert "apt-get install dicom3tools" in done.stdout
