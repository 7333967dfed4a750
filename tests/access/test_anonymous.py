"""Those who do not say who they are, those of whom a proxy says it, and pages of other origins."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.access.guarded import PASSWORD, Clock, basic, guarding
from tests.served import running
from wsi_dicom.errors import InvalidRequest, StoreError
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.access.accounts import ACCESS_FILE, Accounts
from wsi_dicom_server.access.policy import Access
from wsi_dicom_server.access.principal import Scope
from wsi_dicom_server.settings import ServerSettings


def test_no_server_is_open_by_mistake(tmp_path: Path) -> None:
    file = tmp_path / ACCESS_FILE
    Access(ServerSettings(host="127.0.0.1", access_file=file))
    Access(ServerSettings(host="::1", access_file=file))
    for host in ("192.0.2.1", "::", "slides.example"):
        with pytest.raises(InvalidRequest, match="--allow-anonymous"):
            Access(ServerSettings(host=host, access_file=file))
        Access(ServerSettings(host=host, access_file=file, allow_anonymous=True))
    with pytest.raises(InvalidRequest, match="--trusted-proxies"):
        Access(ServerSettings(user_header="X-User"))
    with pytest.raises(InvalidRequest, match="trusted proxies"):
        Access(ServerSettings(user_header="X-User", trusted_proxies=("proxy.example",)))
    assert not file.exists()
    Accounts(file).create_token("any", Scope.READ, None)
    Access(ServerSettings(host="192.0.2.1", access_file=file))
    file.write_bytes(b"no database at all, but long enough to be looked at as one")
    with pytest.raises(StoreError, match="cannot be used"):
        Access(ServerSettings(access_file=file))


def test_anonymous_at_this_machine(store: LocalStore, tmp_path: Path) -> None:
    """`/nothing` does not exist: 404 is what a writer gets to see of it, 401 everybody else."""
    with running(store, ServerSettings(access_file=tmp_path / ACCESS_FILE)) as address:
        port = address.rpartition(":")[2]
        with httpx.Client(base_url=address) as client:
            assert client.get("/").status_code == 200
            assert client.post("/nothing").status_code == 404
            assert client.post("/nothing", headers={"Host": f"localhost:{port}"}).status_code == 404
            assert client.post("/nothing", headers={"Host": "slides.example"}).status_code == 401
            assert client.post("/nothing", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 401
            assert client.post("/nothing", headers={"Origin": "https://evil.example"}).status_code == 403
            assert client.get("/users").status_code == 401
            assert client.get("/", headers=basic("orthanc", "orthanc")).status_code == 200  # asked for no password
        assert not (tmp_path / ACCESS_FILE).exists()
    for more in ({"allow_anonymous": True}, {"public_url": "https://slides.example"}):
        with running(store, ServerSettings(**more)) as address:
            assert httpx.get(address).status_code == 200
            assert httpx.post(f"{address}/nothing").status_code == 401


def test_the_first_account_closes_a_running_server(store: LocalStore, tmp_path: Path) -> None:
    clock = Clock()
    chosen = ServerSettings(access_file=tmp_path / ACCESS_FILE)
    with running(store, chosen, Access(chosen, clock=clock, now=clock)) as address:
        assert httpx.get(address).status_code == 200
        accounts = Accounts(tmp_path / ACCESS_FILE)
        accounts.create_token("first", Scope.READ, None)
        clock.seconds += 6
        assert httpx.get(address).status_code == 401
        accounts.revoke_token("first")
        (tmp_path / ACCESS_FILE).unlink()
        clock.seconds += 6
        assert httpx.get(address).status_code == 401  # whoever takes the accounts away opens nothing


def test_anonymous_readers_beside_users(store: LocalStore, tmp_path: Path) -> None:
    with guarding(store, tmp_path, allow_anonymous=True) as guarded:
        with guarded.client() as client:
            assert "public" in client.get(guarded.tile()).headers["cache-control"]
            assert client.post("/nothing").status_code == 401
        with guarded.client("wrong") as client:
            assert client.get(guarded.tile()).status_code == 401
        with guarded.client("writer") as client:
            assert client.post("/nothing").status_code == 404


def test_the_word_of_a_proxy(store: LocalStore, tmp_path: Path) -> None:
    told = {"X-Auth-User": "bob"}
    with guarding(store, tmp_path, user_header="X-Auth-User", trusted_proxies=("127.0.0.0/8",)) as guarded:
        guarded.accounts.add_user("bob", PASSWORD, Scope.WRITE)
        with guarded.client() as client:
            assert client.get(guarded.tile()).status_code == 401
            assert client.get(guarded.tile(), headers=told).status_code == 200
            assert client.post("/nothing", headers=told).status_code == 404
            assert client.post("/nothing", headers={"X-Auth-User": "eve@example.org"}).status_code == 403  # reads
            for wrong in ([("X-Auth-User", "bob"), ("X-Auth-User", "eve")], [("X-Auth-User", "")]):
                assert client.get(guarded.tile(), headers=wrong).status_code == 401
            assert client.get(guarded.tile(), headers={"Authorization": "user bob"}).status_code == 401
            assert client.get(guarded.tile(), headers={"Authorization": "ubob"}).status_code == 401
            assert client.get(guarded.tile(), headers={"X-Forwarded-User": "bob"}).status_code == 401
    for number, more in enumerate(
        ({"user_header": "X-Auth-User", "trusted_proxies": ("10.0.0.0/8",)}, {"trusted_proxies": ("127.0.0.1",)})
    ):
        (tmp_path / str(number)).mkdir()
        with guarding(store, tmp_path / str(number), **more) as guarded, guarded.client() as client:
            assert client.get(guarded.tile(), headers=told).status_code == 401
            assert client.get(guarded.tile(), headers=told | {"X-Forwarded-For": "10.0.0.1"}).status_code == 401


def test_cross_origin_with_and_without_credentials(store: LocalStore, tmp_path: Path) -> None:
    own, other = "https://viewer.example", "https://elsewhere.example"
    with guarding(store, tmp_path, cors_origins=(own,)) as guarded, guarded.client() as client:
        asks = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        for origin, allowed in ((own, own), (other, "*")):
            with guarded.client("reader", Origin=origin) as reader:
                answers = [
                    client.options(guarded.tile(), headers={"Origin": origin, **asks}),
                    client.get(guarded.tile(), headers={"Origin": origin}),
                    reader.get(guarded.tile()),
                    reader.get(f"/iiif/tiles/{guarded.series.series_uid}/info.json"),
                ]
            assert [answer.status_code for answer in answers] == [204, 401, 200, 200]
            for answer in answers:
                assert answer.headers.get_list("access-control-allow-origin") == [allowed]
                assert answer.headers.get("access-control-allow-credentials") == ("true" if origin == own else None)
                assert "Origin" in answer.headers["vary"]
            assert "authorization" in answers[0].headers["access-control-allow-headers"].lower()
        assert client.get("/login").headers["vary"] == "Origin"
    for wrong in ("*", "https://*.example", "viewer.example", "https://viewer.example/"):
        with pytest.raises(InvalidRequest, match="expected something like"):
            ServerSettings(cors_origins=(wrong,))
