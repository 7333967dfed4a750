"""Requests that make no sense: each gets a reason, and none an internal error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.foreign_series import Picture, native_frames, save_native
from tests.served import client_of
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.settings import ServerSettings

ODD = st.sampled_from(
    ["-1", "0", "1", "3", "00", "1e3", "nan", "inf", "9" * 10, "9" * 40, ".5", "1.", "٣", "²", "", " ", "%", "\0", "+1"]
)
NUMBERS = st.one_of(st.integers(0, 60).map(str), st.floats(0, 200).map(str), ODD)
QUADS = st.lists(NUMBERS, min_size=3, max_size=5).map(",".join)
PAIRS = st.lists(NUMBERS, min_size=1, max_size=3).map(",".join)
TEXT = st.text(max_size=12)
REGIONS = st.one_of(st.sampled_from(["full", "square"]), QUADS, QUADS.map("pct:{}".format), TEXT)
SIZES = st.tuples(st.sampled_from(["", "^", "!", "^!", "^pct:", "pct:"]), st.one_of(PAIRS, st.just("max"), TEXT))
ROTATIONS = st.tuples(st.sampled_from(["", "!", "!!"]), NUMBERS).map("".join)
QUALITIES = st.one_of(st.sampled_from(["default", "color", "gray", "bitonal"]), TEXT)
FORMATS = st.one_of(st.sampled_from(["jpg", "png", "webp", "gif", "tif", "jp2", "jxl", "pdf"]), TEXT)
PARTS = st.one_of(st.sampled_from(["", ":1.1", ":1.2", ":label", ":channels", ":0.0"]), TEXT.map(":{}".format))


@dataclass
class Served:
    client: httpx.Client
    uid: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("store")
    store = LocalStore(folder / "store")
    record = store.add([save_native(folder / "small.dcm", Picture(), native_frames(6))])
    with client_of(store, ServerSettings(max_pixels=40_000)) as client:
        yield Served(client, record.series_uid)
    store.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    api=st.sampled_from(["iiif/tiles", "iiif/2/tiles"]),
    part=PARTS,
    region=REGIONS,
    size=SIZES.map("".join),
    rotation=ROTATIONS,
    quality=QUALITIES,
    suffix=FORMATS,
)
@example("iiif/tiles", "", "full", "^1,200", "45", "default", "webp")
@example("iiif/tiles", "", "pct:0,0,1e-9,1e-9", "max", "0", "default", "jpg")
@example("iiif/tiles", "", "0,0,9999999999,9999999999", "^max", "0.0000001", "bitonal", "gif")
@example("iiif/tiles", "", "../../../etc/passwd", "max", "0", "default", "jpg")
@example("iiif/2/tiles", "", "full", "^max", "0", "default", "jpg")
def test_every_request_is_answered_or_refused_with_a_reason(served, api, part, region, size, rotation, quality, suffix):
    parts = [quote(text, safe="", errors="replace") for text in (served.uid + part, region, size, rotation)]
    name = f"{quote(quality, safe='', errors='replace')}.{quote(suffix, safe='', errors='replace')}"
    answer = served.client.get(f"/{api}/{'/'.join(parts)}/{name}")
    assert answer.status_code in (200, 303, 400, 404)
    if answer.status_code >= 400:
        error = answer.json()
        assert error["Message"]
        assert len(error["Message"].splitlines()) == 1
        assert answer.headers["access-control-allow-origin"] == "*"
    elif answer.status_code == 200 and "json" not in answer.headers["content-type"]:
        assert answer.content


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(identifier=st.one_of(TEXT, st.text(alphabet="0123456789.:-abcdef/%", max_size=80)))
@example("..")
@example("1.2.3:label/../../..")
def test_identifiers_that_name_nothing(served, identifier):
    for rest in ("/info.json", "/full/max/0/default.jpg"):
        answer = served.client.get(f"/iiif/tiles/{quote(identifier, safe='', errors='replace')}{rest}")
        assert answer.status_code == 404
        assert answer.json()["Message"]


@pytest.mark.parametrize("slash", ["%2F", "%2f", "%252F", "%5C", "%00", "%0A"])
def test_percent_encoded_slashes_and_worse(served, slash):
    for address in (
        f"/iiif/tiles/{served.uid}{slash}info.json",
        f"/iiif/tiles/a{slash}b/info.json",
        f"/iiif/tiles/{served.uid}/full{slash}max/0/default.jpg",
    ):
        answer = served.client.get(address)
        decoded = slash.lower() == "%2f" and served.uid in address  # a path as any other, once the server has it
        assert answer.status_code in ((200,) if decoded else (400, 404))
