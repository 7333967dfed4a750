"""Bearer tokens, view tokens, and who hands them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.access.guarded import DAY, PASSWORD, basic, guarding
from tests.frame_images import saved
from wsi_dicom.stores.local import LocalStore


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_tokens_end_within_seconds(store: LocalStore, tmp_path: Path, end: str) -> None:
    with guarding(store, tmp_path) as guarded, guarded.client("reader") as client:
        assert client.get(guarded.tile()).status_code == 200
        if end == "revoked":
            guarded.accounts.revoke_token("reader")
        else:
            guarded.clock.seconds += DAY - 10
            assert client.get(guarded.tile()).status_code == 200
            guarded.clock.seconds += 10
        guarded.clock.seconds += 6
        assert client.get(guarded.tile()).status_code == 401


def test_a_view_token_shows_one_series(store: LocalStore, tmp_path: Path) -> None:
    with guarding(store, tmp_path) as guarded:
        series = guarded.series.series_uid
        with guarded.client("reader") as client:
            answer = client.post("/view-tokens", json={"Series": guarded.series.orthanc_id, "Minutes": 5})
            assert answer.status_code == 201
            token, viewer = answer.json()["Token"], answer.json()["Viewer"]
            assert client.post("/view-tokens", json={"Series": "1.2.3"}).status_code == 404
            assert client.post("/view-tokens", json={"Series": series, "Minutes": 10**9}).status_code == 400
        with guarded.client() as client:
            for identifier in (series, guarded.series.orthanc_id):
                for path in (f"/tiles/{identifier}/0/0/0", f"/iiif/tiles/{identifier}/info.json"):
                    assert client.get(path, params={"token": token}).status_code == 200
                    assert client.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 200
            for path in ("/", "/tiles/1.2.3/0/0/0", f"/tiles/1.2.3/0/0/{series}", "/jobs", "/users"):
                assert client.get(path, params={"token": token}).status_code == 403, path
            assert client.get(guarded.tile(), params={"token": token, "with": "1.2.3"}).status_code == 403
            assert client.post(guarded.tile(), params={"token": token}).status_code == 403
            for wrong in (token[:-1], token[1:], guarded.secrets["reader"], "x.y"):
                assert client.get(guarded.tile(), params={"token": wrong}).status_code == 401

            page = client.get(viewer, headers={"Accept": "text/html"})  # the address loses it, a cookie takes it
            assert page.status_code == 303
            assert page.headers["location"] == f"{guarded.address}/viewer/{series}"
            assert {"HttpOnly", "SameSite=Lax"} <= set(page.headers["set-cookie"].split("; "))
            assert client.get(guarded.tile()).status_code == 200
            assert client.get("/").status_code == 403
            guarded.clock.seconds += 301
            assert client.get(guarded.tile()).status_code == 401
            assert client.get(guarded.tile(), params={"token": token}).status_code == 401


def test_a_view_token_shows_the_instances_of_its_series(tmp_path: Path) -> None:
    """A series that is no slide as well, and nothing of another one."""
    store = LocalStore(tmp_path / "store")
    other, own = (store.add([saved(tmp_path / name, np.zeros((2, 8, 8), "u1"))]) for name in ("a.dcm", "b.dcm"))
    (instance,), (foreign,) = store.instances(own), store.instances(other)
    with guarding(store, tmp_path) as guarded:
        with guarded.client("reader") as client:
            token = client.post("/view-tokens", json={"Series": own.series_uid}).json()["Token"]
        shown = {own.series_uid, own.orthanc_id, instance.sop_instance_uid, instance.orthanc_id}
        hidden = {other.series_uid, other.orthanc_id, foreign.sop_instance_uid, foreign.orthanc_id, "1.2.3"}
        with guarded.client() as client:
            for identifier in shown | hidden:
                for path in (
                    "/iiif/frames/{}/1/info.json",
                    "/iiif/frames-pyramids/{}/1/info.json",
                    "/wsi/iiif/frames-pyramids/{}/1/info.json",
                    "/wsi/iiif/2/frames/{}/1/full/max/0/default.png",
                    "/frames-pyramids/{}/1",
                    "/wsi/frames-tiles/{}/1/0/0/0",
                    "/viewer/{}",
                ):
                    asked = {"token": token} | ({"frame": "1"} if path.startswith("/viewer") else {})
                    answer = client.get(path.format(identifier), params=asked)
                    assert answer.status_code == (200 if identifier in shown else 403), answer.url
            tile = f"/frames-tiles/1-2/{own.series_uid}/0/0/0"
            assert client.get(tile, params={"token": token}).status_code == 404  # nothing is called so
            assert client.get("/iiif/collection.json", params={"token": token}).status_code == 403
    store.close()


def test_administrators_look_after_users_and_tokens(store: LocalStore, tmp_path: Path) -> None:
    with guarding(store, tmp_path) as guarded, guarded.client("admin") as client:
        dave = {"Name": "dave", "Password": PASSWORD, "Scope": "write"}
        assert client.post("/users", json=dave).status_code == 201
        assert client.post("/users", json=dave).status_code == 400
        for wrong in (
            {"Name": "a b"},
            {"Password": "short"},
            {"Scope": "all"},
            {"Name": 1},
            {"Password": "x" * 20_000},
        ):
            assert client.post("/users", json=dave | {"Name": "erin"} | wrong).status_code in (400, 413)
        listed = client.get("/users")
        assert [(user["Name"], user["Scope"]) for user in listed.json()] == [("dave", "write")]
        assert client.get("/", headers=basic("dave")).status_code == 200
        assert client.put("/users/dave", json={"Password": "another password"}).status_code == 204
        assert client.get("/", headers=basic("dave")).status_code == 401  # here at once
        assert client.get("/", headers=basic("dave", "another password")).status_code == 200
        assert client.delete("/users/dave").status_code == 204
        assert client.delete("/users/dave").status_code == 404

        made = client.post("/tokens", json={"Name": "lab", "Scope": "read", "Days": 2}).json()
        with guarded.client(Authorization=f"Bearer {made['Token']}") as lab:
            assert lab.get(guarded.tile()).status_code == 200
            assert client.delete("/tokens/lab").status_code == 204
            assert lab.get(guarded.tile()).status_code == 401
        assert made["Token"] not in client.get("/tokens").text
        for body in (b"[]", b"{", b"[" * 10_000, b"\xff", b""):
            assert client.post("/tokens", content=body).status_code == 400
