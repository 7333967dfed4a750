"""304: what RFC 9110 (15.4.5) has it tell is what the whole answer would have told."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.foreign_series import Picture, native_frames, save_native
from tests.served import add_sample, client_of, known_reader
from wsi_dicom.stores.local import LocalStore

MUST = ("cache-control", "content-location", "etag", "expires", "vary")
ALSO = ("access-control-allow-origin", "access-control-expose-headers", "link")

PATHS = [
    "/tiles/{slide}/0/0/0",
    "/wsi/tiles/{slide}/2/0/0",
    "/iiif/tiles/{slide}/0,0,256,256/max/0/default.jpg",
    "/iiif/2/tiles/{slide}/full/64,/0/default.png",
    "/iiif/tiles/{slide}/info.json",
    "/iiif/2/tiles/{slide}/info.json",
    "/iiif/series/{slide}/manifest.json",
    "/iiif/2/series/{slide}/manifest.json",
    "/iiif/series/{slide}/dicom.json",
    "/iiif/collection.json",
    "/pyramids/{slide}",
    "/associated/{slide}/thumbnail",
    "/associated/{slide}/label",
    "/associated/{frames}/thumbnail",
    "/frames-pyramids/{frames}/0",
    "/frames-tiles/{frames}/0/0/0/0",
    "/iiif/frames/{frames}/0/full/max/0/default.jpg",
    "/static/site.css",
    "/favicon.svg",
    "/openapi.json",
]


def test_the_headers_of_304_are_those_of_200(tmp_path: Path) -> None:
    """To who is known, whose answers are private, as to anybody."""
    store = LocalStore(tmp_path / "store")
    slide = add_sample(store).series_uid
    frames = store.add([save_native(tmp_path / "frames.dcm", Picture(), native_frames(6))]).series_uid
    settings, known = known_reader(tmp_path)
    with client_of(store, settings) as client:
        for headers in ({}, known, known | {"Accept-Encoding": "gzip"}):
            for path in PATHS:
                address = path.format(slide=slide, frames=frames)
                whole = client.get(address, headers=headers)
                assert whole.status_code == 200, path
                for method in ("GET", "HEAD"):
                    held = {"If-None-Match": f'"x", {whole.headers["etag"]}'}
                    again = client.request(method, address, headers=headers | held)
                    assert (again.status_code, again.content) == (304, b""), path
                    assert chosen(again) == chosen(whole), path
                    assert "content-type" not in again.headers
                    assert "cache-control" in again.headers
    store.close()


def chosen(answer: httpx.Response) -> list[tuple[str, str]]:
    return sorted(pair for pair in answer.headers.multi_items() if pair[0] in MUST + ALSO)
