"""What image identifiers mean: slides, their planes, and the pictures that come with them; in both Image APIs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import pixel_array

from tests.ome_stack import CHANNELS, write_stack
from tests.served import add_cytomine, add_sample, client_of, opened
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.plan import PlanOptions
from wsi_dicom.stores import SeriesRecord
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.settings import ServerSettings

RIGHTS = "https://creativecommons.org/licenses/by/4.0/"
STACK = np.random.default_rng(5).integers(0, 256, (3, 2, 70, 90), np.uint8)
"""Channels, focal planes, rows and columns."""


@pytest.fixture(scope="module")
def cytomine(store: LocalStore, slides: Path) -> SeriesRecord:
    return add_cytomine(store, slides)


@pytest.fixture(scope="module")
def stack(store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = write_stack(tmp_path_factory.mktemp("ome") / "stack.ome.tif", STACK, CHANNELS)
    return dicomize(path, store, DicomizeOptions(plan=PlanOptions(compression=Compression.NONE))).series.series_uid


@pytest.fixture(scope="module")
def client(store: LocalStore) -> Iterator[httpx.Client]:
    with client_of(store, ServerSettings(rights=RIGHTS)) as client:
        yield client


@pytest.mark.parametrize("api", ["iiif/tiles", "iiif/2/tiles", "wsi/iiif/tiles", "wsi/iiif/2/tiles"])
@pytest.mark.parametrize("channel", [1, 2, 3])
@pytest.mark.parametrize("focal_plane", [1, 2])
def test_every_plane_is_an_image(client, stack, api, channel, focal_plane):
    image = f"/{api}/{stack}:{channel}.{focal_plane}"
    got = opened(client.get(f"{image}/full/max/0/default.png"))
    np.testing.assert_array_equal(np.asarray(got), STACK[channel - 1, focal_plane - 1])
    info = client.get(f"{image}/info.json").json()
    assert (info["width"], info["height"]) == (90, 70)
    assert info.get("id", info.get("@id")) == f"{str(client.base_url).rstrip('/')}{image}"
    tile = opened(client.get(f"{image}/0,0,64,64/64,/0/default.jpg"))
    assert abs(np.asarray(tile).astype(int) - STACK[channel - 1, focal_plane - 1, :64, :64]).mean() < 20


def test_planes_have_entity_tags_of_their_own(client, stack):
    tags = {
        client.head(f"/iiif/tiles/{stack}{part}/full/max/0/default.png").headers["etag"]
        for part in ("", ":1.2", ":2.1", ":3.2")
    }
    assert len(tags) == 4


def test_the_first_plane_is_that_of_the_series_itself(client, stack):
    whole = client.get(f"/iiif/tiles/{stack}/full/max/0/default.png")
    assert whole.content == client.get(f"/iiif/tiles/{stack}:1.1/full/max/0/default.png").content


@pytest.mark.parametrize("flavor", ["label", "overview", "thumbnail"])
def test_associated_images_are_images(client, cytomine, flavor):
    (source,) = (
        d for path in cytomine.folder.glob("*.dcm") if (d := pydicom.dcmread(path)).ImageType[2] == flavor.upper()
    )
    expected = pixel_array(source)
    for api in ("iiif/tiles", "iiif/2/tiles"):
        image = f"/{api}/{cytomine.orthanc_id}:{flavor}"
        info = client.get(f"{image}/info.json").json()
        assert (info["width"], info["height"]) == (expected.shape[1], expected.shape[0])
        assert ("service" in info) is (flavor == "thumbnail")  # of the others nobody knows the scale
        got = np.asarray(opened(client.get(f"{image}/full/max/0/default.png"))).astype(int)
        assert abs(got - expected).max() <= 2
    part = np.asarray(opened(client.get(f"{image}/20,30,100,80/max/0/default.png"))).astype(int)
    assert abs(part - expected[30:110, 20:120]).max() <= 2


def test_identifiers_may_be_percent_encoded(client, cytomine):
    plain = client.get(f"/iiif/tiles/{cytomine.series_uid}:label/info.json")
    encoded = client.get(f"/iiif/tiles/{cytomine.series_uid.replace('.', '%2E')}%3Alabel/info.json")
    assert plain.status_code == 200
    assert encoded.json() == plain.json()


@pytest.mark.parametrize("quality", [30, 95])
def test_every_picture_that_is_made_has_the_quality_that_is_set(store, stack, quality):
    """JPEG's tables of quantization are those of the same quality by another encoder."""
    expected = io.BytesIO()
    Image.fromarray(STACK[0, 0]).save(expected, "JPEG", quality=quality)
    addresses = [f"/iiif/tiles/{stack}/full/50,/0/default.jpg", f"/associated/{stack}/thumbnail"]
    addresses += [f"/tiles/{stack}/0/0/0", f"/frames-tiles/{stack}/0/0/0/0"]
    with client_of(store, ServerSettings(jpeg_quality=quality)) as client:
        made = [opened(client.get(address, headers={"Accept": "image/jpeg"})) for address in addresses]
    assert all(picture.format == "JPEG" for picture in made)
    luminance = Image.open(expected).quantization[0]
    assert [picture.quantization[0] for picture in made] == [luminance] * len(made)


def test_decoded_tiles_look_as_stored_ones(client, cytomine):
    """Converted to no other colours."""
    stored = opened(client.get(f"/tiles/{cytomine.series_uid}/0/4/4"))
    decoded = opened(client.get(f"/tiles/{cytomine.series_uid}/0/4/4", headers={"Accept": "image/png"}))
    assert (stored.format, decoded.format) == ("JPEG", "PNG")
    assert abs(np.asarray(stored).astype(int) - np.asarray(decoded)).max() <= 3


@pytest.mark.parametrize(
    "part",
    [
        "0.1",
        "1.0",
        "2.1",
        "1.2",
        "01.1",
        "1",
        "1.",
        "1.1.1",
        "-1.1",
        "1.99999999999",
        "volume",
        "Label",
        "nothing",
        ":",
    ],
)
def test_what_a_slide_does_not_have(client, cytomine, part):
    for rest in ("", "/info.json", "/full/max/0/default.jpg"):
        answer = client.get(f"/iiif/tiles/{cytomine.series_uid}:{part}{rest}")
        assert answer.status_code == 404
        assert answer.json()["Message"]


def test_hidden_labels_are_nowhere(store, cytomine):
    """Overviews show them too."""
    with client_of(store, ServerSettings(hide_labels=True)) as client:
        for flavor in ("label", "overview"):
            for address in (
                f"/iiif/tiles/{cytomine.series_uid}:{flavor}/info.json",
                f"/iiif/2/tiles/{cytomine.series_uid}:{flavor}/full/max/0/default.jpg",
                f"/associated/{cytomine.series_uid}/{flavor}",
            ):
                assert client.get(address).status_code == 404
        assert client.get(f"/iiif/tiles/{cytomine.series_uid}:thumbnail/info.json").status_code == 200
        assert "label" not in client.get(f"/viewer/{cytomine.series_uid}").text.replace("aria-label", "").lower()


def test_information_of_version_2(client, cytomine):
    answer = client.get(f"/iiif/2/tiles/{cytomine.series_uid}/info.json")
    assert answer.headers["content-type"] == "application/json"
    assert 'rel="http://www.w3.org/ns/json-ld#context"' in answer.headers["link"]
    assert '<http://iiif.io/api/image/2/level2.json>;rel="profile"' in answer.headers["link"]
    info = answer.json()
    assert info["@context"] == "http://iiif.io/api/image/2/context.json"
    assert info["license"] == [RIGHTS]
    level, beyond = info["profile"]
    assert level == "http://iiif.io/api/image/2/level2.json"
    assert {"webp", "jp2", "avif", "jxl", "gif", "tif"} <= set(beyond["formats"])
    assert {"rotationArbitrary", "sizeAboveFull", "mirroring"} <= set(beyond["supports"])
    assert (beyond["maxWidth"], beyond["maxArea"]) == (2967, 1 << 24)
    (physical,) = info["service"]
    assert {"@id", "@type", "physicalScale"} <= set(physical)
    as_ld = client.get(f"/iiif/2/tiles/{cytomine.series_uid}/info.json", headers={"Accept": "application/ld+json"})
    assert as_ld.headers["content-type"] == "application/ld+json"
    redirect = client.get(f"/iiif/2/tiles/{cytomine.series_uid}")
    assert (redirect.status_code, redirect.headers["location"]) == (303, str(answer.url))


def test_rights_and_all_features_are_told(client, cytomine):
    info = client.get(f"/iiif/tiles/{cytomine.series_uid}/info.json").json()
    assert info["rights"] == RIGHTS
    assert {"rotationArbitrary", "sizeUpscaling", "mirroring", "canonicalLinkHeader"} <= set(info["extraFeatures"])
    for suffix in ("jpg", "png", *info["extraFormats"]):
        assert client.get(f"/iiif/tiles/{cytomine.series_uid}/full/40,/0/default.{suffix}").status_code == 200
    for quality in info["extraQualities"]:
        assert client.get(f"/iiif/tiles/{cytomine.series_uid}/full/40,/0/{quality}.png").status_code == 200


@pytest.mark.parametrize(
    ("size", "expected", "canonical"),
    [
        ("full", (300, 200), "full"),
        ("max", (300, 200), "full"),
        ("150,", (150, 100), "150,"),
        ("150,100", (150, 100), "150,"),
        (",100", (150, 100), "150,"),
        ("600,", (600, 400), "600,"),
        ("pct:200", (600, 400), "600,"),
        ("10,100", (10, 100), "10,100"),
        ("!90,90", (90, 60), "90,"),
        ("!900,900", (300, 200), "full"),
    ],
)
def test_sizes_of_version_2_may_enlarge(client, cytomine, size, expected, canonical):
    image = f"/iiif/2/tiles/{cytomine.series_uid}"
    answer = client.get(f"{image}/300,400,300,200/{size}/0/default.png")
    assert opened(answer).size == expected
    address = f"{str(client.base_url).rstrip('/')}{image}/300,400,300,200/{canonical}/0/default.png"
    assert f'<{address}>;rel="canonical"' in answer.headers["link"]
    if canonical != "full":
        assert client.get(address).content == answer.content


@pytest.mark.parametrize(
    ("size", "status"), [("^max", 400), ("^600,", 400), ("0,", 400), ("99999,", 404), ("pct:100000", 404)]
)
def test_sizes_that_version_2_does_not_have(client, cytomine, size, status):
    assert client.get(f"/iiif/2/tiles/{cytomine.series_uid}/full/{size}/0/default.png").status_code == status


def test_the_largest_size_is_told_or_refused(store):
    """Version 2.1's `full` is the full size or nothing, `max` what the limits leave of it."""
    record = add_sample(store)
    with client_of(store, ServerSettings(max_pixels=640_000)) as client:
        for api in ("iiif/tiles", "iiif/2/tiles"):
            assert opened(client.get(f"/{api}/{record.series_uid}/full/max/0/default.jpg")).size == (800, 800)
        assert client.get(f"/iiif/2/tiles/{record.series_uid}/full/full/0/default.jpg").status_code == 404
        answer = client.get(f"/iiif/tiles/{record.series_uid}/full/^40000,25000/0/default.jpg")
    assert answer.status_code == 404
    assert "640000" in answer.json()["Message"]


def test_pictures_beside_a_slide_keep_to_the_limit_too(store, cytomine):
    with client_of(store, ServerSettings(max_pixels=60_000)) as client:
        for flavor in ("label", "overview", "thumbnail"):
            width, height = opened(client.get(f"/associated/{cytomine.series_uid}/{flavor}")).size
            assert 59_000 < width * height <= 60_000
