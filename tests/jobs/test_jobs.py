"""Uploads to a real server: what becomes of them, and that nothing is left of what fails."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pydicom

from tests.contracts.store_contract import write_series
from tests.jobs.site import SAMPLE, Site, zipped
from tests.openslide_slides import Mirax, write_vms
from tests.oracles import images

# --- what works ------------------------------------------------------------------------------------------------------


def test_a_slide_becomes_a_series(site: Site) -> None:
    """One, although it is uploaded twice at the same time."""
    options = {"pyramid": "1", "compression": "jpeg2000"}
    first, second = (site.upload(SAMPLE.read_bytes(), name=name, **options) for name in ("a slide.tif", "two.tif"))
    assert first.headers["location"] == f"{site.client.base_url}/jobs/{first.json()['ID']}"
    assert first.json()["State"] == "Pending"
    job = site.job(first)
    assert (job["State"], job["Progress"], job["ErrorCode"]) == ("Success", 100, 0)
    assert job["Content"]["Name"] == "a slide.tif"
    (uid,) = series = job["Content"]["Series"]
    assert job["CreationTime"] <= job["CompletionTime"]
    volumes = images(site.root / "series" / uid)["VOLUME"]
    assert len(volumes) > 2  # the source has two levels
    assert pydicom.uid.JPEG2000Lossless in {volume.file_meta.TransferSyntaxUID for volume in volumes}
    assert site.client.get(f"/tiles/{uid}/0/0/0").status_code == 200
    assert site.client.get(f"/viewer/{uid}").status_code == 200
    job = site.job(second)
    assert (job["State"], job["Content"]["Series"]) == ("Success", series)


def test_dicom_is_stored_as_it_is(site: Site, tmp_path: Path) -> None:
    files = {f"disk/{path.name}": path.read_bytes() for path in write_series(tmp_path / "a")}
    job = site.job(site.form(files))
    (uid,) = job["Content"]["Series"]
    assert job["Content"]["Name"] == "disk"
    stored = {path.read_bytes() for path in (site.root / "series" / uid).iterdir()}
    assert stored == set(files.values())
    changed = pydicom.dcmread(io.BytesIO(next(iter(files.values()))))
    changed.SOPInstanceUID = changed.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID("1.2.3.4")
    more = io.BytesIO()
    changed.save_as(more)
    same, other = site.form(files), site.form({"more.dcm": more.getvalue()})
    assert site.job(same)["Content"]["Series"] == [uid]  # once more changes nothing
    job = site.job(other)
    assert job["State"] == "Failure"
    assert "is in the store already, without 1 of these files" in job["ErrorDescription"]
    assert len(list((site.root / "series" / uid).iterdir())) == len(files)


def below(folder: Path) -> dict[str, bytes]:
    """The files of a folder by the names that a browser gives them when the folder is dropped."""
    return {str(path.relative_to(folder.parent)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_many_things_in_one_upload(site: Site, slides: Path, tmp_path: Path, tool: Callable[[str], str]) -> None:
    """A CT, a disk with its DICOMDIR, a series, a TIFF, an archive, and what people's systems put beside them."""
    for path in write_series(tmp_path / "disk" / "SLIDE", PatientName="Doe^Jane", PatientID="1"):
        path.rename(path.with_name(path.stem.upper()))  # as the standard wants it
    medium = [tool("dcmmkdir"), "--no-xfer-check", "--invent", "--recurse", "SLIDE"]
    subprocess.run(medium, cwd=tmp_path / "disk", check=True)
    inside = {f"x/{path.name}": path.read_bytes() for path in write_series(tmp_path / "y")}
    files = {
        "ct.dcm": (slides / "dicom_other" / "CT_small.dcm").read_bytes(),
        "s/slide.tif": SAMPLE.read_bytes(),
        "s/.DS_Store": b"x",
        "s/readme.txt": b"nothing",
        "all.zip": zipped({**inside, "__MACOSX/x/._base.dcm": b"x"}),
        **below(tmp_path / "disk"),
    }
    assert "disk/DICOMDIR" in files
    job = site.job(site.form(files))
    assert (job["State"], len(job["Content"]["Series"])) == ("Success", 4), job
    assert set(job["Content"]["Series"]) <= site.series()
    assert job["Content"]["Name"] == f"ct.dcm and {len(files) - 2} more"


def test_slides_in_several_files(site: Site, tmp_path: Path) -> None:
    """Of which some are pictures by themselves; in folders, in an archive, and under names of all kinds."""
    for name in ("mirax", "vms", "zip"):
        (tmp_path / name).mkdir()
    Mirax(tmp_path / "mirax")
    write_vms(tmp_path / "vms")
    Mirax(tmp_path / "zip", kind="JPEG")
    files = below(tmp_path / "mirax") | below(tmp_path / "vms") | {"slide.zip": zipped(below(tmp_path / "zip"))}
    assert len(files) > 6
    for name in ("\u00e9.tif", "e\u0301.tif", "NUL.tif", "a:b*.tif", "-rf.tif", "$(x);'\".tif", "x" * 196 + ".tif"):
        files[f"names/{name}"] = SAMPLE.read_bytes()  # the same series, however it is called
    job = site.job(site.form(files))
    assert (job["State"], len(job["Content"]["Series"])) == ("Success", 4), job


# --- what fails later ------------------------------------------------------------------------------------------------


def cut(path: Path) -> bytes:
    """A slide whose last tiles are not what they claim to be."""
    data = bytearray(path.read_bytes())
    half = len(data) // 3
    data[half : half + 60_000] = bytes(60_000)
    return bytes(data)


def failure(site: Site, accepted: httpx.Response) -> str:
    before = site.series()
    job = site.job(accepted)
    assert (job["State"], job["ErrorCode"], job["Content"]["Series"]) == ("Failure", -1, []), job
    words: str = job["ErrorDescription"]
    assert str(site.root.parent) not in words
    assert "staging" not in words
    assert site.series() == before
    return words


def test_what_is_no_slide(site: Site) -> None:
    one, two = site.upload(b"just words", name="notes.txt"), site.form({"a.txt": b"a", "b.txt": b"b"})
    assert failure(site, one).startswith("notes.txt: not a slide; none of")
    assert "among these 2 files" in failure(site, two)


def test_one_of_two_fails(site: Site) -> None:
    """In the middle; the other one is stored."""
    job = site.job(site.form({"broken.tif": cut(SAMPLE), "good.tif": SAMPLE.read_bytes()}, pyramid="1"))
    assert (job["State"], job["ErrorCode"]) == ("Failure", -1)
    assert job["ErrorDescription"].startswith("broken.tif")
    (uid,) = job["Content"]["Series"]
    assert uid in site.series()


def test_broken_dicom(site: Site, tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a")
    files = {path.name: path.read_bytes() for path in paths}
    files["small.dcm"] = files["small.dcm"][:400]
    broken, twice = site.form(files), site.form({name: paths[0].read_bytes() for name in ("a.dcm", "b.dcm")})
    assert failure(site, broken).startswith("small.dcm")
    assert "are the same SOP instance" in failure(site, twice)


def test_bad_zip(site: Site) -> None:
    """What the archives say themselves; test_bad_names shows which names are bad."""
    whole = zipped({"slide.tif": SAMPLE.read_bytes()})
    damaged = bytearray(whole)
    damaged[2000:2100] = bytes(100)
    swelling = {"a": os.urandom(1_000_000) + bytes(15_000_000), "b": bytes(15_000_000)}
    archives = {
        whole[:-100]: "is a zip archive that cannot be read",
        bytes(damaged): "is a zip archive that cannot be read",
        zipped({"x": bytes(25_000_000)}): "would swell to 25000000 bytes",
        zipped(swelling): "would swell to more than 30000000 bytes",
        zipped({"a": b"x", "a/b": b"x"}): "two files of one name",
        zipped({"../../../../escaped.tif": SAMPLE.read_bytes()}): "no name that a file can have here",
    }
    files = {f"{number}.zip": archive for number, archive in enumerate(archives)}
    told = failure(site, site.form(files))
    for words in archives.values():
        assert words in told
    assert list(site.root.parent.rglob("escaped*")) == []
