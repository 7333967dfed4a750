"""Settings of `wsi-dicom serve`: flag, then environment, then TOML, then default."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click
import httpx
import pytest

from tests.conftest import Run
from tests.foreign_series import Picture, native_frames, save_native
from tests.served import add_sample, client_of
from wsi_dicom.errors import InvalidRequest
from wsi_dicom.render import Colors
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_cli.commands.serve import serve
from wsi_dicom_cli.configuration import ORTHANC_NAMES
from wsi_dicom_server.settings import ServerSettings


@pytest.fixture(autouse=True)
def own_settings_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "wsi-dicom"


def parsed(*words: object) -> dict[str, Any]:
    return serve.make_context("serve", [str(word) for word in words]).params


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_flag_environment_file_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parsed()["attribution"] is None
    config = written(tmp_path / "own.toml", 'attribution = "of the file"\nport = 1\ntrusted_proxies = ["10.0.0.0/8"]')
    assert parsed("--config", config)["attribution"] == "of the file"
    assert parsed("--config", config)["trusted_proxies"] == ("10.0.0.0/8",)
    monkeypatch.setenv("WSI_DICOM_ATTRIBUTION", "of the environment")
    monkeypatch.setenv("WSI_DICOM_TRUSTED_PROXIES", "127.0.0.1 ::1")
    assert parsed("--config", config)["attribution"] == "of the environment"
    assert parsed("--config", config)["trusted_proxies"] == ("127.0.0.1", "::1")
    chosen = parsed("--attribution", "of the flag", "--trusted-proxies", "10.0.0.1", "--config", config)
    assert (chosen["attribution"], chosen["trusted_proxies"], chosen["port"]) == ("of the flag", ("10.0.0.1",), 1)
    monkeypatch.setenv("WSI_DICOM_CONFIG", str(config))
    assert parsed()["port"] == 1


def test_the_file_of_the_user_is_read_unless_another_is_named(own_settings_folder: Path, tmp_path: Path) -> None:
    written(own_settings_folder / "config.toml", "port = 3\nread_only = true")
    assert (parsed()["port"], parsed()["read_only"]) == (3, True)
    assert parsed("--no-read-only")["read_only"] is False
    other = written(tmp_path / "other.toml", "")
    assert parsed("--config", other)["port"] is None


def test_every_setting_has_an_option_and_the_same_default() -> None:
    options = {option.name: option for option in serve.params if isinstance(option, click.Option)}
    fields = {field.name for field in dataclasses.fields(ServerSettings)}
    made_by_the_command = {"access_file", "jobs_file"}
    of_the_command = {"config", "store", "verbose", "read_only"}
    assert set(options) - of_the_command == fields - made_by_the_command
    said = {name: value for name, value in parsed().items() if value is not None and name not in of_the_command}
    assert said
    assert ServerSettings(**said) == ServerSettings()
    assert list(options["colors"].type.choices) == list(Colors)
    assert set(ORTHANC_NAMES.values()) <= fields


def test_names_of_orthanc(tmp_path: Path) -> None:
    config = written(
        tmp_path / "own.toml",
        'EnableIIIF = false\nOrthancPublicURL = "https://a.example"\nServeMirador = false\n'
        "ServeOpenSeadragon = true\nForcePowersOfTwoScaleFactors = true",
    )
    found = parsed("--config", config)
    wanted = {"iiif": False, "public_url": "https://a.example", "mirador": False}
    wanted |= {"openseadragon": True, "powers_of_two": True}
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prot = 1", "there is no setting 'prot'; did you mean port?"),
        ("read-only = true", "there is no setting 'read-only'; did you mean read_only?"),
        ("EnableIIF = true", "there is no setting 'EnableIIF'; did you mean EnableIIIF?"),
        ("xyzzy = 1", "there is no setting 'xyzzy'$"),
        ("[server]\nport = 1", "there is no setting 'server'"),
        ('config = "x"', "there is no setting 'config'"),
        ("iiif = true\nEnableIIIF = false", "'EnableIIIF' and 'iiif' are the same setting"),
        ('port = "1"', "port: expected a whole number"),
        ("port = true", "port: expected a whole number"),
        ("ServeMirador = 1", "ServeMirador: expected true or false"),
        ('trusted_proxies = "10.0.0.1"', "trusted_proxies: expected a list of texts"),
        ("trusted_proxies = [1]", "trusted_proxies: expected a list of texts"),
        ("host = 1", "host: expected a text"),
        ("port = ", "not TOML"),
        ("port = 1\nport = 2", "not TOML"),
    ],
)
def test_what_makes_no_sense_in_the_file_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    config = written(tmp_path / "own.toml", text)
    with pytest.raises(InvalidRequest, match=complaint) as raised:
        parsed("--config", config)
    assert str(config) in str(raised.value)


def test_each_mistake_is_one_line(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    assert "own.toml" in run("wsi-dicom", "serve", "--config", config, code=2).stderr
    config.write_bytes(b"\xff\xfe")
    assert "not TOML" in run("wsi-dicom", "serve", "--config", config, code=2).stderr
    written(config, "jpeg_quality = 0")
    assert "quality 0" in run("wsi-dicom", "serve", "--config", config, code=2).stderr
    written(config, 'colors = "sRGB?"\nport = 70000')
    assert "70000" in run("wsi-dicom", "serve", "--config", config, "--colors", "raw", code=2).stderr
    assert "256" in run("wsi-dicom", "serve", "--workers", "1000", code=2).stderr


def test_unknown_environment_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("WSI_DICOM_READONLY", "1")
    parsed()
    assert "WSI_DICOM_READONLY, which is no setting; did you mean WSI_DICOM_READ_ONLY?" in caplog.text


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    add_sample(store)
    yield store
    store.close()


@contextmanager
def pages(store: LocalStore, **chosen: bool) -> Iterator[tuple[httpx.Client, str, str]]:
    """A client, the series, and the viewer's page of it."""
    (series,) = store.search(limit=1)
    with client_of(store, ServerSettings(**chosen)) as client:
        page = client.get(f"/viewer/{series.series_uid}")
        assert page.status_code == 200
        assert client.get(f"/iiif/tiles/{series.series_uid}/info.json").status_code == 200  # the viewer is made of it
        yield client, series.series_uid, page.text


def test_without_iiif(store: LocalStore) -> None:
    with pages(store, iiif=False) as (client, series, page):
        for path in (f"/iiif/series/{series}/manifest.json", "/iiif/collection.json", "/wsi/iiif/collection.json"):
            assert client.get(path).status_code == 404
        assert client.get(f"/mirador/{series}").status_code == 404
        assert "manifest" not in page
        assert "/mirador/" not in page
        shown = client.get(f"/openseadragon/{series}")
        assert shown.status_code == 200
        assert "manifest" not in shown.text


@pytest.mark.parametrize("viewer", ["mirador", "openseadragon"])
def test_without_a_viewer_of_others(store: LocalStore, viewer: str) -> None:
    with pages(store) as (client, series, page):
        assert client.get(f"/{viewer}/{series}").status_code == 200
        assert f"/{viewer}/{series}" in page
    with pages(store, **{viewer: False}) as (client, series, page):
        assert client.get(f"/{viewer}/{series}").status_code == 404
        assert f"/{viewer}/{series}" not in page
        assert client.get(f"/iiif/series/{series}/manifest.json").status_code == 200


def test_powers_of_two_only(tmp_path: Path) -> None:
    fine, third = (
        Picture(width=1200, height=900, tile=200, frames=30),
        Picture(width=400, height=300, tile=200, frames=4),
    )
    third.series_uid, third.study_uid = fine.series_uid, fine.study_uid
    files = [
        save_native(tmp_path / f"{one.width}.dcm", one, native_frames(one.frames, one.tile)) for one in (fine, third)
    ]
    with closing(LocalStore(tmp_path / "store")) as store:
        series = store.add(files).series_uid
        for only, factors in ((False, {1, 2, 3, 4, 8}), (True, {1, 2, 4, 8})):
            with client_of(store, ServerSettings(powers_of_two=only)) as client:
                told = client.get(f"/iiif/tiles/{series}/info.json").json()
            assert {factor for tile in told["tiles"] for factor in tile["scaleFactors"]} == factors
            assert {"width": 400, "height": 300} in told["sizes"]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"port": 70000}, "port 70000"),
        ({"jpeg_quality": 0}, "JPEG quality 0"),
        ({"open_slides": 0}, "at least 1"),
        ({"workers": 0}, "0 workers"),
        ({"workers": 257}, "257 workers"),
        ({"jobs_at_once": 0}, "jobs"),
        ({"waiting_jobs": 0}, "jobs"),
        ({"largest_upload": 0}, "upload"),
        ({"keep_free": -1}, "keep free"),
        ({"public_url": "slides.example"}, "public URL"),
        ({"public_url": "ftp://slides.example"}, "public URL"),
        ({"public_url": "https://slides.example/?a"}, "public URL"),
        ({"rights": "all reserved"}, "rights"),
        ({"provider_url": "hospital.example"}, "provider URL"),
        ({"cors_origins": ("https://viewer.example", "*")}, "origin"),
        ({"cors_origins": ("https://viewer.example/",)}, "origin"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(complaint)):
        ServerSettings(**settings)
