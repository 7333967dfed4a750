"""What a browser makes of the ICC profile in a stored tile, and of pictures that were converted."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Browser
from skimage.data import immunohistochemistry

from tests.browser.watching import pixels
from tests.profiles import WIDE, in_srgb
from tests.served import running
from wsi_dicom.codecs.compression import Compression
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.dicom.settings import SeriesSettings
from wsi_dicom.plan import PlanOptions
from wsi_dicom.stores.local import LocalStore

PIXELS_OF = """async (address) => {
    const image = new Image();
    image.crossOrigin = "anonymous";
    image.src = address;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return canvas.toDataURL();
}"""


def test_a_browser_shows_stored_and_decoded_tiles_in_the_same_right_colours(tmp_path: Path, browser: Browser) -> None:
    Image.fromarray(immunohistochemistry()).save(tmp_path / "tissue.png")
    store = LocalStore(tmp_path / "store")
    options = DicomizeOptions(
        plan=PlanOptions(compression=Compression.JPEG, tile_width=256, tile_height=256),
        settings=SeriesSettings(icc_profile=WIDE),
    )
    series = dicomize(tmp_path / "tissue.png", store, options).series.series_uid
    with running(store) as address:
        page = browser.new_page()
        page.goto(f"{address}/")
        tile = f"{address}/iiif/tiles/{series}/0,0,256,256/256,/0/default"
        seen = {
            suffix: pixels(base64.b64decode(page.evaluate(PIXELS_OF, f"{tile}.{suffix}").partition(",")[2])).astype(int)
            for suffix in ("jpg", "png")
        }
        page.close()
        stored = np.asarray(Image.open(io.BytesIO(httpx.get(f"{address}/tiles/{series}/0/0/0").content)))
    store.close()
    expected = in_srgb(stored).astype(int)
    assert abs(expected - stored).mean() > 4  # or this would prove nothing
    for suffix, shown in seen.items():
        assert abs(shown - expected).mean() < 2, suffix
