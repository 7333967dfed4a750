"""Fluorescence channels blended in their colours, computed again in floating point from what was written."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.array_slide import ArraySlide
from tests.ome_stack import CHANNELS, write_stack
from tests.served import add_cytomine, client_of
from tests.test_dicom_window import image, put_together, values, written
from wsi_dicom.composite import Channel, CompositeSlide, all_channels, read_channels
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.decoded_cache import DecodedCache
from wsi_dicom.dicom.slide import open_series
from wsi_dicom.errors import UnsupportedFormat
from wsi_dicom.stores.local import LocalStore

BLUE, ORANGE, GREEN = (0, 0, 255), (255, 127, 0), (0, 255, 0)
Layer = tuple[NDArray[Any], tuple[int, int, int], tuple[float, float]]


def blended(layers: Sequence[Layer]) -> NDArray[np.float64]:
    """Each of (pixels, colour, (black, full)), added up."""
    total = np.zeros((*layers[0][0].shape, 3))
    for pixels, color, (black, full) in layers:
        total += np.clip((pixels.astype(float) - black) / (full - black), 0, 1)[..., np.newaxis] * np.array(color)
    return np.clip(total, 0, 255)


def robust(pixels: NDArray[Any]) -> tuple[float, float]:
    low, high = np.percentile(pixels, [1, 99.8], method="inverted_cdf")
    return float(low), float(high)


def difference(answer: httpx.Response, expected: NDArray[Any]) -> float:
    assert answer.status_code == 200, answer.text
    return float(np.abs(np.asarray(Image.open(io.BytesIO(answer.content)), float) - expected).max())


@dataclass
class Served:
    client: httpx.Client
    stack: str
    brightfield: str
    pixels: NDArray[Any]
    """Channel, focal plane, row, column."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, slides: Path) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("composite")
    rows, columns = np.mgrid[0:180, 0:250]
    planes = [
        [(np.sin(rows / (7 + c)) + np.cos(columns / (9 + z))) ** 2 * 3000 + 200 * c for z in range(2)] for c in range(3)
    ]
    pixels = np.array(planes).astype(np.uint16)
    store = LocalStore(folder / "store")
    stack = dicomize(write_stack(folder / "stack.ome.tif", pixels, CHANNELS), store, DicomizeOptions()).series
    brightfield = add_cytomine(store, slides)
    with client_of(store) as client:
        yield Served(client, stack.series_uid, brightfield.orthanc_id, pixels)
    store.close()


@pytest.mark.parametrize("focal_plane", [0, 1])
def test_chosen_channels_of_every_focal_plane(served: Served, focal_plane: int) -> None:
    part = f"channels.{focal_plane + 1}"
    address = f"/iiif/tiles/{served.stack}:{part}/full/max/0/default.png?channels=1:ff0000:0-4000,3::500-9000"
    first, _, third = served.pixels[:, focal_plane]
    # the third tells no colour: of red, green and blue, blue is taken, and orange is next to red
    expected = blended([(first, (255, 0, 0), (0, 4000)), (third, GREEN, (500, 9000))])
    assert difference(served.client.get(address), expected) <= 2


def test_one_channel_is_exact(served: Served) -> None:
    answer = served.client.get(f"/iiif/tiles/{served.stack}:channels/full/max/0/color.png?channels=2:ffffff:100-355")
    shown = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert np.array_equal(
        shown, np.repeat(np.clip(served.pixels[1, 0].astype(int) - 100, 0, 255)[..., None], 3, axis=2)
    )


def test_colours_are_those_of_the_slide_and_windows_those_of_its_pixels(served: Served) -> None:
    answer = served.client.get(f"/iiif/tiles/{served.stack}:channels/full/max/0/default.png")
    windows = [robust(channel[1]) for channel in served.pixels]  # of the plane in the middle, for all planes
    layers = zip(served.pixels[:, 0], (BLUE, ORANGE, GREEN), windows, strict=True)
    assert difference(answer, blended(list(layers))) <= 3


def test_coarser_levels_and_stored_windows(served: Served) -> None:
    chosen = "channels=1:00ff00:0-9000,2::0-12000"
    answer = served.client.get(f"/iiif/tiles/{served.stack}:channels/full/125,90/0/default.png?{chosen}")
    coarse = served.pixels[:, 0, ::2, ::2]
    expected = blended([(coarse[0], (0, 255, 0), (0, 9000)), (coarse[1], ORANGE, (0, 12000))])
    assert difference(answer, expected) <= 2


def test_it_is_an_image_service_of_its_own(served: Served) -> None:
    information = served.client.get(f"/iiif/tiles/{served.stack}:channels/info.json").json()
    assert information["id"].endswith(f"/iiif/tiles/{served.stack}:channels")
    assert (information["width"], information["height"]) == (250, 180)
    old = served.client.get(f"/wsi/iiif/2/tiles/{served.stack}:channels.2/info.json").json()
    assert old["@id"].endswith(f"/wsi/iiif/2/tiles/{served.stack}:channels.2")

    picture = f"/iiif/tiles/{served.stack}:channels/0,0,64,64/max/0/default.jpg"
    answers = [served.client.get(picture + query) for query in ("", "?channels=1", "?channels=1:00ff00", "?channels=2")]
    assert len({answer.headers["etag"] for answer in answers}) == 4
    assert len({answer.content for answer in answers}) == 4
    assert f'{picture}?channels=1:00ff00>;rel="canonical"' in answers[2].headers["link"]
    again = served.client.get(f"{picture}?channels=2", headers={"If-None-Match": answers[3].headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "chosen",
    ["", "0", "4", "1,1", "1:ff00", "1:ff0000:5", "1:ff0000:9-9", "1::9-1", "1:gg0000", "-1", "1;2", "1:ff0000:0-4000,",
     "1:ff0000:0-999999", "٣", "1:ff0000:-1-4", ",".join("1" * 17), "9" * 400],
)  # fmt: skip
def test_bad_channels(served: Served, chosen: str) -> None:
    answer = served.client.get(f"/iiif/tiles/{served.stack}:channels/info.json", params={"channels": chosen})
    assert answer.status_code == 400
    assert "channel" in answer.json()["Message"]


def test_what_has_no_channels(served: Served) -> None:
    for image_of in (
        f"{served.brightfield}:channels",
        f"{served.stack}:channels.3",
        f"{served.stack}:channels.0",
        f"{served.stack}:channels.",
    ):
        assert served.client.get(f"/iiif/tiles/{image_of}/info.json").status_code == 404


def test_the_window_of_the_image(tmp_path: Path) -> None:
    """A single gray is white, and is shown within the window that its image tells."""
    data = image(WindowCenter="1500", WindowWidth="1000", VOILUTFunction="LINEAR_EXACT")
    with open_series([written(tmp_path, data)]) as slide:
        composite = CompositeSlide(slide, all_channels(slide), DecodedCache(1 << 20), "slide")
        shown = np.vstack([np.hstack([composite.tile(0, column, row) for column in range(3)]) for row in range(2)])
    numbers = put_together(values((16, 12, False))).astype(float)
    assert np.abs(shown - blended([(numbers, (255, 255, 255), (1000, 2000))])).max() <= 1


def test_missing_tiles_are_black_and_8_bits_are_as_they_are() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (100, 130, 1), np.uint8)
    slide = ArraySlide(pixels, missing=frozenset({(1, 0)}))
    composite = CompositeSlide(slide, read_channels("1:ff8000", slide), DecodedCache(1 << 20), "slide")
    assert not composite.tile(0, 1, 0).any()
    assert composite.absent(0, 1, 0)
    assert not composite.absent(0, 0, 0)
    expected = blended([(pixels[:64, :64, 0].astype(float), (255, 128, 0), (0, 255))])
    assert np.abs(composite.tile(0, 0, 0) - expected).max() <= 1


def test_colours_have_no_channels() -> None:
    with pytest.raises(UnsupportedFormat, match="in colours"):
        CompositeSlide(ArraySlide(np.zeros((9, 9, 3), np.uint8)), [Channel(0, BLUE)], DecodedCache(1), "slide")


def test_windows_are_found_once() -> None:
    """Deciding on a window decodes tiles; the next picture of another part decodes its own alone."""
    pixels = np.random.default_rng(2).integers(0, 5000, (200, 200, 1), np.uint16)
    slide, decoded = ArraySlide(pixels), DecodedCache(1 << 20)
    for _ in range(2):
        CompositeSlide(slide, all_channels(slide), decoded, "slide").tile(0, 0, 0)
    assert slide.decoded[0, 0] == 3
    assert slide.decoded[3, 3] == 1
