"""Decoded answers: made once for all who ask at the same time, kept within bounds, and not at all when they fail."""

from __future__ import annotations

import io
from pathlib import Path

import anyio
import httpx
import pytest
from PIL import Image
from starlette.requests import ClientDisconnect

from tests.served import add_sample
from wsi_dicom.errors import CodecError
from wsi_dicom.render import render
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server import pictures
from wsi_dicom_server.answers import AnswerCache
from wsi_dicom_server.app import create_app
from wsi_dicom_server.settings import ServerSettings


def test_a_hundred_viewers_of_one_region_cost_one_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In both versions of the API, and in every spelling."""
    made = []

    def counted(slide, request, **options):
        made.append(request)
        return render(slide, request, **options)

    monkeypatch.setattr(pictures, "render", counted)
    store = LocalStore(tmp_path / "store")
    series = add_sample(store).series_uid
    part = "1000,1000,600,500"
    addresses = [
        f"/iiif/tiles/{series}/{part}/300,/0/default.jpg",
        f"/iiif/tiles/{series}/{part}/!300,900/0/color.jpg",
        f"/wsi/iiif/tiles/{series}/{part}/pct:50/360/default.jpg",
        f"/iiif/2/tiles/{series}/{part}/,250/0/default.jpg",
    ]

    async def all_at_once() -> list[httpx.Response]:
        answers = []
        transport = httpx.ASGITransport(create_app(ServerSettings(), store))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

            async def one(address: str) -> None:
                answers.append(await client.get(address))

            async with anyio.create_task_group() as viewers:
                for number in range(100):
                    viewers.start_soon(one, addresses[number % 4])
            await one(addresses[0])
        return answers

    answers = anyio.run(all_at_once)
    store.close()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert Image.open(io.BytesIO(answers[0].content)).size == (300, 250)
    assert len(made) == 1


def test_memory_is_bounded_and_the_oldest_goes_first():
    made = []

    async def ask(cache: AnswerCache, *names: str) -> None:
        for name in names:

            async def make(name: str = name) -> bytes:
                made.append(name)
                return name.encode() * 40

            assert await cache.get(name, make) == name.encode() * 40

    anyio.run(ask, AnswerCache(100), "a", "b", "a", "c", "a", "b")
    assert made == ["a", "b", "c", "b"]
    made.clear()
    anyio.run(ask, AnswerCache(39), "a", "a")  # larger than all there is
    assert made == ["a", "a"]


def test_who_waits_gets_the_error_and_the_next_one_tries_again():
    cache, attempts = AnswerCache(1000), []

    async def together() -> list[object]:
        seen: list[object] = []
        failing = anyio.Event()

        async def broken() -> bytes:
            attempts.append("broken")
            await failing.wait()
            raise CodecError("tile column 1, row 2 does not decode")

        async def one() -> None:
            try:
                seen.append(await cache.get("key", broken))
            except CodecError as error:
                seen.append(str(error))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            failing.set()

        async def mended() -> bytes:
            return b"body"

        seen.append(await cache.get("key", mended))
        return seen

    assert anyio.run(together) == ["tile column 1, row 2 does not decode"] * 5 + [b"body"]
    assert attempts == ["broken"]


def test_when_the_one_who_makes_it_goes_away_another_one_does():
    cache, makers = AnswerCache(1000), []

    async def together() -> list[object]:
        seen: list[object] = []
        gone = anyio.Event()

        async def one(number: int) -> None:
            async def make() -> bytes:
                makers.append(number)
                if number == 0:
                    await gone.wait()
                    raise ClientDisconnect
                return b"body"

            try:
                seen.append(await cache.get("key", make))
            except ClientDisconnect:
                seen.append(None)

        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(one, number)
            await anyio.wait_all_tasks_blocked()
            gone.set()
        return seen

    seen = anyio.run(together)
    assert (seen.count(None), seen.count(b"body")) == (1, 3)
    assert len(makers) == 2
