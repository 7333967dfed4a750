"""Images of a Cytomine server, against a server on this machine that checks signatures by itself."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import re
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.data import immunohistochemistry

from tests.oracles import assert_conformant, frames, images
from wsi_dicom.codecs.transfer_syntaxes import JPEG_BASELINE
from wsi_dicom.convert import DicomizeOptions, dicomize
from wsi_dicom.errors import CodecError, CorruptInput, InvalidRequest, NotFound, OutOfBounds, StoreError, WsiError
from wsi_dicom.geometry import Plane, Spacing
from wsi_dicom.slide import SourceOptions
from wsi_dicom.sources.cytomine import open_cytomine
from wsi_dicom.sources.cytomine_server import CytomineImage, WindowFormat, signature
from wsi_dicom.stores.folder import FolderStore

PUBLIC, PRIVATE = "pub-key", "priv-key"
Answer = tuple[int, bytes]


@dataclass
class Server:
    """Has one picture, and counts what it is asked for. `faults` change the answers to some paths."""

    picture: Image.Image
    signs_path: bool = True
    told: dict[str, Any] = field(default_factory=dict)
    faults: list[Callable[[str, int], Answer | None]] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    url: str = ""

    def accepts(self, path: str, headers: Any) -> bool:
        message = f"GET\n\n{headers['Content-Type']}\n{headers['Date']}" + (f"\n{path}" if self.signs_path else "")
        digest = b64encode(hmac.new(PRIVATE.encode(), message.encode(), hashlib.sha1).digest()).decode()
        sent = parsedate_to_datetime(headers["Date"])
        fresh = abs((datetime.now(UTC) - sent).total_seconds()) < 60
        return fresh and headers["Authorization"] == f"CYTOMINE {PUBLIC}:{digest}"

    def answer(self, path: str, headers: Any) -> Answer:
        if not self.accepts(path, headers):
            self.refused += 1
            return 401, b""
        self.asked[path] += 1
        for fault in self.faults:
            if (answer := fault(path, self.asked[path])) is not None:
                return answer
        if path == "/api/imageinstance/325.json":
            width, height = self.picture.size
            return 200, json.dumps({"id": 325, "width": width, "height": height, **self.told}).encode()
        window = re.fullmatch(r"/api/imageinstance/325/window-(\d+)-(\d+)-(\d+)-(\d+)\.(jpg|png)", path)
        if window is None:
            return 404, b"{}"
        x, y, width, height = map(int, window.groups()[:4])
        assert x + width <= self.picture.width
        assert y + height <= self.picture.height
        return 200, encoded(self.picture.crop((x, y, x + width, y + height)), window[5])


def encoded(picture: Image.Image, suffix: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, {"jpg": "JPEG", "png": "PNG"}[suffix], compress_level=1)
    return file.getvalue()


@contextmanager
def running(server: Server) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body = server.answer(self.path, self.headers)
            cut = status == 206  # a full answer was promised
            self.send_response(200 if cut else status)
            self.send_header("Content-Length", str(len(body) * (2 if cut else 1)))
            if status == 302:
                self.send_header("Location", "http://elsewhere.invalid/")
            self.end_headers()
            with suppress(ConnectionError):  # who is sent too much hangs up
                self.wfile.write(body)
            self.close_connection = cut

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_port}"
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """3 x 2 tiles, those at its edges smaller."""
    return Image.fromarray(np.tile(immunohistochemistry(), (2, 3, 1))[:700, :1300])


@pytest.fixture
def server(picture: Image.Image) -> Iterator[Server]:
    with running(Server(picture.copy())) as server:
        yield server


def image(server: Server, **changes: Any) -> CytomineImage:
    return CytomineImage(
        **{"url": server.url, "image_id": "325", "public_key": PUBLIC, "private_key": PRIVATE} | changes
    )


def test_known_signatures() -> None:
    request = PRIVATE, "/api/imageinstance/325.json", "application/json", "Tue, 01 Jan 2030 00:00:00 +0000"
    assert signature(*request, with_path=True) == "2zi0iJl4UWscIMGVzNHCypTEE1A="
    assert signature(*request, with_path=False) == "6a4Uo/z9LWPs5BNricXOFEb2ICw="


@pytest.mark.parametrize("signs_path", [True, False])
def test_the_form_that_the_server_takes_is_remembered(server: Server, signs_path: bool) -> None:
    server.signs_path = signs_path
    with open_cytomine(image(server)) as slide:
        assert (slide.pyramid.base.width, slide.pyramid.base.height) == (1300, 700)
        for column, row in slide.pyramid.base.tiles():
            slide.tile(0, column, row)
    assert server.refused == (0 if signs_path else 1)


@pytest.mark.parametrize("compression", WindowFormat)
def test_pixels(server: Server, compression: WindowFormat) -> None:
    with open_cytomine(image(server, compression=compression), SourceOptions(color=(7, 8, 9))) as slide:
        for column, row in slide.pyramid.base.tiles():
            region = slide.pyramid.base.tile_region(column, row)
            window = server.picture.crop((region.x, region.y, region.right, region.bottom))
            expected = np.asarray(Image.open(io.BytesIO(encoded(window, compression.suffix))))
            tile = slide.tile(0, column, row)
            assert tile.shape == (512, 512, 3)
            np.testing.assert_allclose(tile[: region.height, : region.width].astype(int), expected, atol=2)
            assert (tile[region.height :] == (7, 8, 9)).all()
            assert (tile[:, region.width :] == (7, 8, 9)).all()


def test_jpeg_windows_are_kept_as_they_come(server: Server) -> None:
    with open_cytomine(image(server)) as slide:
        encoding = slide.encoding(0)
        assert encoding is not None
        assert (encoding.transfer_syntax, encoding.photometric) == (JPEG_BASELINE, "YBR_FULL_422")
        assert slide.lossy_method(0) == "ISO_10918_1"
        row = list(slide.encoded_row(0, 0))
        assert [tile is None for tile in row] == [False, False, True]  # the last is narrower than a tile
        for column, tile in enumerate(row[:2]):
            window = server.picture.crop((512 * column, 0, 512 * column + 512, 512))
            assert tile is not None
            assert tile.data == encoded(window, "jpg")
        assert slide.encoded_tile(0, 0, 1) is None


def test_png_windows_are_not(server: Server) -> None:
    with open_cytomine(image(server, compression=WindowFormat.PNG)) as slide:
        assert slide.encoding(0) is None
        assert slide.lossy_method(0) is None
        assert list(slide.encoded_row(0, 0)) == [None] * 3


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "I;16"])
def test_kinds_of_png(server: Server, mode: str) -> None:
    if mode == "I;16":
        server.picture = Image.fromarray(np.asarray(server.picture.convert("L")).astype(np.uint16) * 200)
    else:
        server.picture = server.picture.convert(mode)
    if mode in ("LA", "RGBA"):
        server.picture.putalpha(Image.linear_gradient("L").resize(server.picture.size))
    with open_cytomine(image(server, compression=WindowFormat.PNG), SourceOptions(color=(90, 90, 90))) as slide:
        tile = slide.tile(0, 2, 1)[:188, :276]
    window = server.picture.crop((1024, 512, 1300, 700))
    if mode in ("LA", "RGBA"):
        behind = Image.new("RGBA", window.size, (90, 90, 90, 255))
        window = Image.alpha_composite(behind, window.convert("RGBA")).convert(mode.rstrip("A"))
    expected = np.asarray(window.convert("RGB") if mode == "P" else window).reshape(188, 276, -1)
    assert tile.dtype == expected.dtype
    np.testing.assert_allclose(tile.astype(int), expected, atol=0 if mode in ("L", "P", "I;16") else 1)


def test_metadata(server: Server) -> None:
    server.told = {"physicalSizeX": 0.25, "physicalSizeY": 0.5, "magnification": 40, "originalFilename": "a.svs"}
    with open_cytomine(image(server)) as slide:
        assert slide.pyramid.spacing == Spacing(0.00025, 0.0005)
        assert slide.metadata.objective_power == 40
        assert slide.metadata.properties["originalFilename"] == "a.svs"
        assert PRIVATE not in repr(image(server)) + slide.name
    server.told = {"resolution": 0.4, "magnification": None}
    with open_cytomine(image(server)) as slide:
        assert slide.pyramid.spacing == Spacing(0.0004, 0.0004)
        assert slide.metadata.objective_power is None
    server.told = {"physicalSizeX": None}
    with open_cytomine(image(server)) as slide:
        assert slide.pyramid.spacing is None


def test_what_lies_outside_is_refused(server: Server) -> None:
    with open_cytomine(image(server)) as slide:
        for place in [(0, 3, 0), (0, 0, 2), (0, -1, 0), (1, 0, 0)]:
            with pytest.raises(OutOfBounds):
                slide.tile(*place)
        with pytest.raises(OutOfBounds):
            slide.encoded_tile(0, 0, 0, Plane(0, 1))
    with pytest.raises(ValueError, match="closed"):
        slide.tile(0, 0, 0)


def test_many_threads(server: Server) -> None:
    with open_cytomine(image(server)) as slide, ThreadPoolExecutor(8) as pool:
        places = [place for place in slide.pyramid.base.tiles() for _ in range(4)]
        together = list(pool.map(lambda place: slide.tile(0, *place), places))
        for place, tile in zip(places, together, strict=True):
            assert np.array_equal(tile, slide.tile(0, *place))


@pytest.mark.parametrize("answer", [(503, b""), (206, b"\xff\xd8\xff")], ids=["busy", "cut off"])
def test_a_request_is_repeated(server: Server, answer: Answer) -> None:
    server.faults.append(lambda path, times: answer if "window-512-0" in path and times == 1 else None)
    with open_cytomine(image(server)) as slide:
        assert slide.tile(0, 1, 0).shape == (512, 512, 3)
    assert server.asked["/api/imageinstance/325/window-512-0-512-512.jpg"] == 2


def test_who_waits_for_an_answer_is_freed_when_the_slide_is_closed(server: Server) -> None:
    asked = threading.Event()

    def busy(path: str, _: int) -> Answer | None:
        if "window-512-0" not in path:
            return None
        asked.set()
        return 503, b""

    server.faults.append(busy)
    with ThreadPoolExecutor(1) as pool:
        slide = open_cytomine(image(server, attempts=1000))
        waiting = pool.submit(slide.tile, 0, 1, 0)
        assert asked.wait(30)
        slide.close()
        assert isinstance(waiting.exception(timeout=30), StoreError)


@pytest.mark.parametrize("compression", WindowFormat)
def test_stored_bytes_are_about_those_that_are_sent(server: Server, compression: WindowFormat) -> None:
    with open_cytomine(image(server, compression=compression)) as slide:
        base = slide.pyramid.base
        regions = [base.tile_region(*place) for place in base.tiles()]
        boxes = [(region.x, region.y, region.right, region.bottom) for region in regions]
        sent = sum(len(encoded(server.picture.crop(box), compression.suffix)) for box in boxes)
        assert slide.stored_bytes(0) == pytest.approx(sent, rel=0.3)
        assert slide.stored_bytes(0) < base.width * base.height * 3


def at(path: str, status: int, body: bytes = b"") -> Callable[[str, int], Answer | None]:
    return lambda asked, _: (status, body) if path in asked else None


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (at("325.json", 403), StoreError, "does not let this account see image 325"),
        (at("325.json", 404), NotFound, "has no image 325"),
        (at("325.json", 503), StoreError, "no answer after 2 attempts: HTTP status 503"),
        (at("325.json", 302), StoreError, "has moved to 'http://elsewhere.invalid/'"),
        (at("325.json", 418), StoreError, "unexpected HTTP status 418"),
        (at("325.json", 200, b"<html>"), CorruptInput, "no JSON"),
        (at("325.json", 200, b"[" * 100_000), CorruptInput, "no JSON"),
        (at("325.json", 200, b"[1]"), CorruptInput, "no JSON object"),
        (at("325.json", 200, b'{"width": 12}'), CorruptInput, "height of None"),
        (at("325.json", 200, b'{"width": 1e99, "height": 4}'), CorruptInput, r"width of 1e\+99"),
        (at("325.json", 200, b" " * (2 << 20)), CorruptInput, "more than 1048576 bytes"),
        (at("window-0-0", 200, b"nothing"), CorruptInput, "first window is damaged"),
        (at("window-0-0", 200, bytes(1 << 20)), CorruptInput, "more than 851968 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_answers_that_are_refused(server: Server, fault: Any, error: type[WsiError], message: str) -> None:
    server.faults.append(fault)
    with pytest.raises(error, match=message) as raised:
        open_cytomine(image(server, attempts=2))
    assert server.url in str(raised.value)
    assert "\n" not in str(raised.value)


def test_wrong_keys(server: Server) -> None:
    with pytest.raises(StoreError, match="refuses the keys"):
        open_cytomine(image(server, private_key="another"))
    assert server.refused == 2


def test_no_server() -> None:
    with pytest.raises(StoreError, match="no answer after 1 attempts"):
        open_cytomine(CytomineImage("http://127.0.0.1:1", "325", PUBLIC, PRIVATE, attempts=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": "../user"}, "give the number"),
        ({"image_id": "٣"}, "give the number"),
        ({"image_id": ""}, "give the number"),
        ({"url": "ftp://host"}, "the URL of a Cytomine server"),
        ({"url": "host"}, "the URL of a Cytomine server"),
        ({"url": "http://user:word@host"}, "the URL of a Cytomine server"),
        ({"url": "http://[::1"}, "URL of a Cytomine server"),
        ({"private_key": ""}, "printable ASCII"),
        ({"public_key": "a\nb"}, "printable ASCII"),
    ],
    ids=str,
)
def test_requests_that_make_no_sense(server: Server, changes: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        open_cytomine(image(server, **changes))
    assert not server.asked


def other(picture: Image.Image, suffix: str) -> Callable[[str, int], Answer | None]:
    return at("window-512-0", 200, encoded(picture, suffix))


@pytest.mark.parametrize("compression", WindowFormat)
def test_bad_windows_are_named(server: Server, compression: WindowFormat) -> None:
    with open_cytomine(image(server, compression=compression)) as slide:
        whole = server.picture.crop((512, 0, 1024, 512))
        for fault in (
            other(whole.resize((256, 512)), compression.suffix),
            other(whole.convert("L"), compression.suffix),
            at("window-512-0", 200, encoded(whole, compression.suffix)[:9000]),
            at("window-512-0", 200, b"<html>"),
        ):
            server.faults[:] = [fault]
            with pytest.raises(CodecError, match=r"image 325: level 0, tile column 1, row 0 does not decode"):
                slide.tile(0, 1, 0)


def test_damaged_jpeg_is_not_copied(server: Server) -> None:
    with open_cytomine(image(server)) as slide:
        whole = server.picture.crop((512, 0, 1024, 512))
        for body in (encoded(whole, "jpg")[:9000], b"<html>"):
            server.faults[:] = [at("window-512-0", 200, body)]
            with pytest.raises(CorruptInput, match="tile column 1, row 0"):
                slide.encoded_tile(0, 1, 0)
        server.faults[:] = [other(whole.convert("L"), "jpg")]
        assert slide.encoded_tile(0, 1, 0) is None


def test_to_dicom(server: Server, tmp_path: Path, tool: Callable[[str], str]) -> None:
    server.told = {"physicalSizeX": 0.25, "physicalSizeY": 0.25, "magnification": 40}
    with open_cytomine(image(server)) as slide:
        dicomize(slide, FolderStore(tmp_path / "series"), DicomizeOptions())
    (volume,) = images(tmp_path / "series")["VOLUME"]
    window = encoded(server.picture.crop((512, 0, 1024, 512)), "jpg")
    assert frames(volume)[1].removesuffix(b"\0") == window
    assert volume.OpticalPathSequence[0].ObjectiveLensPower == 40
    assert volume.LossyImageCompressionMethod == "ISO_10918_1"
    assert_conformant((tmp_path / "series").glob("*.dcm"), tool)
