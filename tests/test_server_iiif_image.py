from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import numpy as np
import openslide
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio as psnr

from tests.served import SAMPLE, add_sample, client_of, opened
from wsi_dicom.errors import InvalidRequest, OutOfBounds
from wsi_dicom.geometry import Level, Pyramid
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.iiif_info import image_information
from wsi_dicom_server.iiif_parameters import SizeLimits, canonical_path, parse_image_request
from wsi_dicom_server.settings import ServerSettings

MAX_AREA = 2_000_000
BASE, LIMITS = Level(1000, 700, 256, 256), SizeLimits(400_000, 1500)


@dataclass
class Served:
    client: httpx.Client
    uid: str

    def get(self, rest: str, prefix: str = "", **headers: str) -> httpx.Response:
        return self.client.get(f"{prefix}/iiif/tiles/{self.uid}/{rest}", headers=headers)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    record = add_sample(store)
    with client_of(store, ServerSettings(max_pixels=MAX_AREA)) as client:
        yield Served(client, record.series_uid)
    store.close()


def asked(region: str = "full", size: str = "max", rotation: str = "0", quality: str = "default", suffix: str = "jpg"):
    return parse_image_request(
        BASE, LIMITS, region=region, size=size, rotation=rotation, quality=quality, suffix=suffix
    )


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("full", (0, 0, 1000, 700)),
        ("square", (150, 0, 700, 700)),
        ("10,20,30,40", (10, 20, 30, 40)),
        ("900,600,500,500", (900, 600, 100, 100)),  # cut at the edges
        ("pct:10,20,30,50", (100, 140, 300, 350)),
        ("pct:99.9,99.9,50,50", (999, 699, 1, 1)),
        ("pct:0,0,.01,.01", (0, 0, 1, 1)),
        ("pct:99.995,99.995,0.005,0.005", (999, 699, 1, 1)),  # begins inside, and rounds onto the edge
        ("pct:99.995,0,1,1", (999, 0, 1, 7)),
        ("pct:0,99.995,100,100", (0, 699, 1000, 1)),
    ],
)
def test_regions(region, expected):
    area = asked(region).region
    assert (area.x, area.y, area.width, area.height) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("max", (300, 200)),
        ("150,", (150, 100)),
        (",50", (75, 50)),
        ("30,40", (30, 40)),
        ("!90,90", (90, 60)),
        ("!900,100", (150, 100)),
        ("!300,900", (300, 200)),
        ("pct:50", (150, 100)),
        ("pct:.1", (1, 1)),
        ("1,", (1, 1)),
        ("^max", (774, 516)),
        ("^600,", (600, 400)),
        ("^,400", (600, 400)),
        ("^!450,900", (450, 300)),
        ("^pct:200", (600, 400)),
        ("^150,", (150, 100)),
    ],
)
def test_sizes_of_a_region_of_300_by_200(size, expected):
    request = asked("0,0,300,200", size)
    assert (request.width, request.height) == expected


@pytest.mark.parametrize(
    "parts",
    [
        {"region": region}
        for region in (
            "",
            "all",
            "1,2,3",
            "-1,0,5,5",
            "0,0,0,5",
            "0,0,5,0",
            "1000,0,5,5",
            "pct:0,0,0,5",
            "pct:1,2,3",
            "0.5,0,5,5",
            "pct:100,0,5,5",
            "١,0,5,5",
            "0,0,99999999999,5",
        )
    ]
    + [
        {"size": size}
        for size in (
            "",
            "full",
            ",",
            "!5,",
            "!,5",
            "0,",
            ",0",
            "0,0",
            "!0,5",
            "1001,",
            "1001,700",
            "-5,",
            "pct:101",
            "pct:0",
            "pct:",
            "5",
            "^",
            "^0,",
            "max,5",
            "!1001,701",
            "^full",
            "full,",
            "pct:nan",
            "pct:1e2",
        )
    ]
    + [
        {"rotation": rotation}
        for rotation in ("", "-90", "361", "360.1", "90!", "!", "n", "nan", "inf", "1e1", "0x5", "22,5")
    ]
    + [{"quality": "grey"}, {"quality": ""}, {"suffix": "bmp"}, {"suffix": "JPG"}, {"suffix": ""}],
)
def test_what_makes_no_sense(parts):
    with pytest.raises(InvalidRequest):
        asked(**parts)


@pytest.mark.parametrize("size", ["^1000,700", "^1501,", "^pct:1000", "^5000,1"])
def test_over_the_limits(size):
    with pytest.raises(OutOfBounds, match="over the limits"):
        asked(size=size)


@pytest.mark.parametrize(
    ("size", "rotation", "fits"),
    [
        ("632,632", "0", True),
        ("632,632", "90", True),
        ("632,632", "45", False),  # 894 x 894 are more than 400,000
        ("440,440", "45", True),
        ("^1500,1", "270", True),
        ("^1500,60", "5", True),
        ("^1500,90", "5", False),  # 1502 x 220 are not too many, but 1502 is too long
        ("^1500,1", "45", False),
        ("max", "0", True),
        ("max", "1", False),
    ],
)
def test_the_limits_count_for_the_turned_picture(size, rotation, fits):
    """Whose size Pillow knows, too."""
    try:
        wanted = asked(size=size, rotation=rotation)
    except OutOfBounds:
        assert not fits
        return
    assert fits
    turned = Image.new("L", (wanted.width, wanted.height)).rotate(-wanted.rotation, expand=True)
    assert np.abs(np.subtract(wanted.turned_size, turned.size)).max() <= 2
    assert LIMITS.allow(*wanted.turned_size)


@pytest.mark.parametrize(
    "rest",
    [
        "0,0,8192,1/^16383,1/45/default.tif",
        "full/^16383,1024/5/default.webp",
        "full/max/30/default.png",
        "full/max/!359.9/default.jpg",
    ],
)
def test_no_turned_picture_is_larger_than_the_limits(served, rest):
    for prefix in ("", "/iiif/2"):
        path = f"{prefix or '/iiif'}/tiles/{served.uid}/{rest.replace('^', '' if prefix else '^')}"
        answer = served.client.get(path)
        assert (answer.status_code, "over the limits" in answer.text) == (404, True), path
    assert opened(served.get(rest.replace("full/max", "full/400,"))) if "full/max" in rest else True


@pytest.mark.parametrize(
    ("rotation", "expected"),
    [
        ("!0", (True, 0)),
        ("270", (False, 270)),
        ("360", (False, 0)),
        ("!90.0", (True, 90)),
        ("22.5", (False, 22.5)),
        ("!.5", (True, 0.5)),
        ("359.9999999", (False, 0)),
        ("0.10", (False, 0.1)),
    ],
)
def test_rotations(rotation, expected):
    request = asked(size="300,200", rotation=rotation)
    assert (request.mirror, request.rotation) == expected


@settings(deadline=None)
@given(
    region=st.tuples(*[st.integers(0, 999), st.integers(0, 699), st.integers(1, 2000), st.integers(1, 2000)]),
    size=st.one_of(
        st.just("max"),
        st.just("^max"),
        st.tuples(st.integers(1, 1500), st.integers(1, 1500)).map(lambda wh: f"^!{wh[0]},{wh[1]}"),
        st.integers(1, 1500).map(lambda width: f"^{width},"),
    ),
    rotation=st.one_of(st.sampled_from(["0", "90", "!180"]), st.floats(0, 360).map("{:.7f}".format)),
)
def test_the_canonical_form_asks_for_the_same_and_is_its_own(region, size, rotation):
    try:
        request = asked(",".join(map(str, region)), size, rotation)
    except OutOfBounds:
        return
    assert LIMITS.allow(request.width, request.height)
    path = canonical_path(BASE, LIMITS, request)
    match = re.fullmatch(r"(.+)/(.+)/(.+)/(.+)\.(.+)", path)
    assert match is not None
    again = asked(*match.groups())
    assert again == request
    assert canonical_path(BASE, LIMITS, again) == path


def test_base_uri_redirects(served):
    for prefix in ("", "/wsi"):
        answer = served.client.get(f"{prefix}/iiif/tiles/{served.uid}")
        assert answer.status_code == 303
        address = str(served.client.base_url).rstrip("/")
        assert answer.headers["location"] == f"{address}{prefix}/iiif/tiles/{served.uid}/info.json"
        assert served.client.get(answer.headers["location"]).status_code == 200
    assert served.client.get("/iiif/tiles/1.2.3").status_code == 404


@pytest.mark.parametrize("prefix", ["", "/wsi"])
def test_info(served, prefix):
    answer = served.get("info.json", prefix)
    assert answer.headers["content-type"] == 'application/ld+json;profile="http://iiif.io/api/image/3/context.json"'
    assert answer.headers["access-control-allow-origin"] == "*"
    assert '<http://iiif.io/api/image/3/level2.json>;rel="profile"' in answer.headers["link"]
    info = answer.json()
    assert info["id"] == str(answer.url).removesuffix("/info.json")
    assert (info["type"], info["profile"], info["protocol"]) == ("ImageService3", "level2", "http://iiif.io/api/image")
    assert (info["width"], info["height"], info["maxArea"]) == (8192, 8192, MAX_AREA)
    assert info["sizes"] == [{"width": 512, "height": 512}]  # 2048 x 2048 is over maxArea
    # stored are 1, 4 and 16; viewers step by twos until the slide is one tile
    assert info["tiles"] == [{"width": 256, "height": 256, "scaleFactors": [1, 2, 4, 8, 16, 32]}]
    (physical,) = info["service"]
    assert physical["physicalScale"] == pytest.approx(0.00025)
    assert physical["physicalUnits"] == "mm"
    assert physical["profile"] == "http://iiif.io/api/annex/services/physdim"

    assert served.get("info.json", Accept="application/json").headers["content-type"] == "application/json"
    assert served.get("info.json", Accept="image/png").status_code == 406
    etag = answer.headers["etag"]
    assert served.get("info.json", prefix, **{"If-None-Match": etag}).status_code == 304


def test_scale_factors_of_uneven_pyramids():
    def tiles(*levels: Level) -> list[dict]:
        return image_information("http://x", Pyramid(levels), SizeLimits(1 << 24))["tiles"]

    aperio = tiles(Level(46000, 32914, 256, 256), Level(11500, 8228, 256, 256), Level(2875, 2057, 256, 256))
    assert aperio == [{"width": 256, "height": 256, "scaleFactors": [1, 2, 4, 8, 16, 32, 64, 128, 256]}]
    mixed = tiles(Level(4000, 4000, 512, 512), Level(1000, 1000, 256, 256))
    assert mixed == [
        {"width": 512, "height": 512, "scaleFactors": [1, 2]},
        {"width": 256, "height": 256, "scaleFactors": [4, 8, 16]},
    ]
    assert tiles(Level(300, 200, 20_000, 10))[0]["width"] == 512
    odd = tiles(Level(1999, 1801, 512, 512), Level(1000, 901, 512, 512), Level(667, 601, 512, 512))
    assert odd == [{"width": 512, "height": 512, "scaleFactors": [1, 2, 3, 4]}]


def test_public_url_is_what_clients_see(served, tmp_path):
    store = LocalStore(tmp_path / "store")
    record = add_sample(store)
    with client_of(store, ServerSettings(public_url="https://slides.example/a/")) as client:
        for prefix in ("", "/wsi"):
            info = client.get(f"{prefix}/iiif/tiles/{record.orthanc_id}/info.json").json()
            assert info["id"] == f"https://slides.example/a{prefix}/iiif/tiles/{record.orthanc_id}"
        bad = served.client.get(f"/iiif/tiles/{served.uid}/info.json", headers={"Host": 'a"><script>'})
        assert bad.status_code == 400
    store.close()


@pytest.mark.parametrize("size", ["256,", "256,256", ",256", "!256,256"])
@pytest.mark.parametrize("scale", [1, 4, 16])
def test_stored_tiles_pass_through_in_every_spelling(served, size, scale):
    level = {1: 0, 4: 1, 16: 2}[scale]
    side = 256 * scale
    stored = served.client.get(f"/tiles/{served.uid}/{level}/1/1").content
    answer = served.get(f"{side},{side},{side},{side}/{size}/0/default.jpg")
    assert answer.content == stored
    assert answer.headers["content-type"] == "image/jpeg"
    size_is_max = "max" if scale == 1 else "256,256"
    canonical = (
        f"<{str(answer.url).split(served.uid)[0]}{served.uid}/{side},{side},{side},{side}/{size_is_max}/0/default.jpg>"
    )
    assert f'{canonical};rel="canonical"' in answer.headers["link"]
    assert "immutable" in answer.headers["cache-control"]
    unchanged = served.get(
        f"{side},{side},{side},{side}/{size}/0/default.jpg", **{"If-None-Match": answer.headers["etag"]}
    )
    assert (unchanged.status_code, unchanged.content) == (304, b"")


@pytest.mark.parametrize(
    ("region", "size", "level"),
    [
        ("0,0,8192,8192", "256,256", 2),  # scale factor 32, beyond the coarsest level
        ("2048,2048,512,512", "256,256", 0),  # scale factor 2, between levels
        ("2048,4096,2048,2048", "256,", 1),  # scale factor 8
        ("3000,3000,700,500", "350,250", 0),
        ("pct:25,25,25,25", "!300,300", 1),
    ],
)
def test_scaled_regions_show_what_openslide_sees(served, region, size, level):
    got = opened(served.get(f"{region}/{size}/0/default.png"))
    if region.startswith("pct"):
        x, y, width, height = 2048, 2048, 2048, 2048
    else:
        x, y, width, height = map(int, region.split(","))
    with openslide.OpenSlide(SAMPLE) as oracle:
        whole = oracle.read_region((x, y), level, (width >> 2 * level, height >> 2 * level))
    flat = Image.new("RGB", whole.size, "white")
    flat.paste(whole, mask=whole.getchannel("A"))
    expected = flat.resize(got.size, Image.Resampling.BOX)
    assert psnr(np.asarray(expected), np.asarray(got)) > 33


def test_turned_gray_and_bitonal(served):
    base = opened(served.get("3000,3000,300,200/max/0/default.png"))
    turned = opened(served.get("3000,3000,300,200/max/!90/default.png"))
    expected = base.transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(-90, expand=True)
    np.testing.assert_array_equal(np.asarray(turned), np.asarray(expected))
    gray = opened(served.get("3000,3000,300,200/max/0/gray.jpg"))
    assert (gray.mode, gray.size) == ("L", (300, 200))
    assert opened(served.get("3000,3000,300,200/max/0/bitonal.png")).mode == "1"
    for suffix, media_type in (("webp", "image/webp"), ("tif", "image/tiff"), ("gif", "image/gif")):
        answer = served.get(f"3000,3000,300,200/150,/0/default.{suffix}")
        assert answer.headers["content-type"] == media_type
        assert opened(answer).size == (150, 100)


def test_full_max_is_the_slide_at_the_limit_that_is_told(served):
    picture = opened(served.get("full/max/0/default.jpg"))
    assert picture.size == (1414, 1414)  # the root of 2,000,000
    assert opened(served.get("full/,120/0/default.jpg")).size == (120, 120)
    assert opened(served.get("square/90,/0/default.jpg")).size == (90, 90)


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        ("full/full/0/default.jpg", 400),
        ("full/0,/0/default.jpg", 400),
        ("9000,0,10,10/max/0/default.jpg", 400),
        ("full/^9000,/0/default.jpg", 404),
        ("full/9000,/0/default.jpg", 400),
        ("full/max/361/default.jpg", 400),
        ("full/max/0/pretty.jpg", 400),
        ("full/max/0/default.bmp", 400),
        ("full/max/0", 404),
        ("full/max/0/default", 404),
    ],
)
def test_errors_say_what_is_wrong(served, rest, status):
    answer = served.get(rest)
    assert answer.status_code == status
    assert answer.json()["Message"]
    assert answer.headers["access-control-allow-origin"] == "*"


def test_head(served):
    path = f"/iiif/tiles/{served.uid}/0,0,256,256/256,/0/default.jpg"
    head, body = served.client.head(path), served.client.get(path)
    assert head.content == b""
    for name in ("content-length", "etag", "link", "content-type"):
        assert head.headers[name] == body.headers[name]
