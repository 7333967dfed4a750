"""Passwords: sessions, Basic authentication, and how often one may try."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.access.guarded import PASSWORD, Clock, Guarded, basic, guarding, sign_in
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.access.attempts import AttemptLimit, address_key
from wsi_dicom_server.access.principal import Scope


def test_a_session_from_login_to_logout(guarded: Guarded) -> None:
    viewer = f"/viewer/{guarded.series.series_uid}?x=1"
    with guarded.client() as client:
        asked = client.get(viewer, headers={"Accept": "text/html,*/*;q=0.8"})
        assert asked.status_code == 303
        assert asked.headers["cache-control"] == "no-store"
        login = client.get(asked.headers["location"])
        assert login.status_code == 200
        assert "form-action 'self'" in login.headers["content-security-policy"]
        assert login.headers["cache-control"] == "no-store"

        wrong = sign_in(client, "alice", "wrong wrong wrong")
        assert (wrong.status_code, "Wrong name or password" in wrong.text) == (401, True)
        unknown = sign_in(client, "<b>nobody</b>", PASSWORD)
        assert unknown.status_code == 401
        assert "<b>" not in unknown.text

        signed_in = sign_in(client, "alice", target=viewer)
        assert signed_in.status_code == 303
        assert signed_in.headers["location"] == guarded.address + viewer
        (cookie,) = (c for c in signed_in.headers.get_list("set-cookie") if c.startswith("wsi_session="))
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie  # this is not https
        assert client.get(guarded.tile()).status_code == 200
        assert client.post("/nothing").status_code == 403  # alice reads

        session = client.cookies["wsi_session"]
        out = client.post("/logout", headers={"Sec-Fetch-Site": "same-origin"})
        assert (out.status_code, out.headers["clear-site-data"]) == (303, '"cache"')
        assert client.get(guarded.tile()).status_code == 401
        client.cookies.set("wsi_session", session)
        assert client.get(guarded.tile()).status_code == 401  # it has ended, not only been forgotten


def test_cookies_are_secure_behind_https_and_below_a_prefix(store: LocalStore, tmp_path: Path) -> None:
    with guarding(store, tmp_path, public_url="https://slides.example/wsi-archive") as guarded:
        guarded.accounts.add_user("alice", PASSWORD, Scope.READ)
        with guarded.client() as client:
            page = client.get("/login")
            assert 'action="https://slides.example/wsi-archive/login"' in page.text
            assert {"Secure", "Path=/wsi-archive"} <= set(page.headers["set-cookie"].split("; "))


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "evil", "/\r\nX: y"])
def test_login_leads_to_no_other_site(guarded: Guarded, target: str) -> None:
    with guarded.client() as client:
        answer = sign_in(client, "alice", target=target.replace("\r\n", "&#13;&#10;"))
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(f"{guarded.address}/")
        assert "x" not in answer.headers


@pytest.mark.parametrize("end", ["by itself", "with another password", "with the user"])
def test_sessions_end(store: LocalStore, tmp_path: Path, end: str) -> None:
    with guarding(store, tmp_path) as guarded, guarded.client() as client:
        guarded.accounts.add_user("carol", PASSWORD, Scope.READ)
        assert sign_in(client, "carol").status_code == 303
        guarded.clock.seconds += 12 * 3600 - 10
        assert client.get(guarded.tile()).status_code == 200
        if end == "with another password":
            guarded.accounts.set_password("carol", "another password")
        elif end == "with the user":
            guarded.accounts.remove_user("carol")
        guarded.clock.seconds += 16 if end == "by itself" else 6
        assert client.get(guarded.tile()).status_code == 401


def test_no_other_site_signs_in_or_out(guarded: Guarded) -> None:
    with guarded.client() as client:
        form = {"name": "alice", "password": PASSWORD, "next": "/"}
        assert client.post("/login", data=form).status_code == 403  # no value of the form
        client.get("/login")
        assert client.post("/login", data={**form, "form": "A" * 22}).status_code == 403  # not that of the cookie
        value = client.cookies["wsi_login"]
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}):
            assert client.post("/login", data={**form, "form": value}, headers=headers).status_code == 403
        assert sign_in(client, "bob").status_code == 303
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert client.post("/logout", headers=headers).status_code == 403
            assert client.post("/nothing", headers=headers).status_code == 403
        assert client.post("/nothing").status_code == 404  # bob writes, there is just nothing there
        assert client.post("/nothing", headers={"Origin": guarded.address}).status_code == 404
    with guarded.client("writer") as client:  # no browser sends a bearer token by itself
        assert client.post("/nothing", headers={"Origin": "https://evil.example"}).status_code == 404


def test_basic_authentication_as_orthancs_clients_do_it(guarded: Guarded) -> None:
    with guarded.client() as client:
        assert client.get(guarded.tile(), headers=basic("alice")).status_code == 200
        assert client.post("/nothing", headers=basic("alice")).status_code == 403
        assert client.post("/nothing", headers=basic("bob")).status_code == 404
        for wrong in (basic("alice", "no such password"), basic("carol"), {"Authorization": "Basic !"}):
            assert client.get(guarded.tile(), headers=wrong).status_code == 401
        asked_by_script = client.get(guarded.tile(), headers={"Sec-Fetch-Mode": "no-cors"})
        assert asked_by_script.headers.get_list("www-authenticate") == ['Bearer realm="wsi-dicom"']


def test_many_connections_of_one_client_are_one_attempt(store: LocalStore, tmp_path: Path) -> None:
    with guarding(store, tmp_path) as guarded, guarded.client(**basic("alice")) as client:
        guarded.accounts.add_user("alice", PASSWORD, Scope.READ)
        with ThreadPoolExecutor(40) as threads:
            answers = threads.map(lambda _: client.get(guarded.tile()).status_code, range(80))
            assert set(answers) == {200}


def test_no_credentials_are_an_error_of_the_server(guarded: Guarded) -> None:
    @given(st.binary(max_size=80))
    @settings(max_examples=25, deadline=None)
    def ask(said: bytes) -> None:
        printable = bytes(byte for byte in said if byte >= 32 and byte != 127).strip()
        for value in (printable, b"Bearer " + printable, b"Bearer wsi_" + printable, b"Basic " + printable):
            assert client.get("/", headers=[(b"authorization", value.strip() or b"x")]).status_code in (401, 429)
        assert client.get("/", headers=[(b"cookie", b"wsi_session=" + printable)]).status_code == 401
        assert client.get("/", headers=[(b"cookie", b"wsi_view=" + printable)]).status_code == 401
        assert client.get("/", params={"token": printable.decode("latin-1") or "x"}).status_code == 401

    with guarded.client() as client:
        ask()


def test_too_many_attempts(store: LocalStore, tmp_path: Path) -> None:
    with guarding(store, tmp_path) as guarded, guarded.client() as client:
        guarded.accounts.add_user("alice", PASSWORD, Scope.READ)
        guarded.accounts.add_user("bob", PASSWORD, Scope.READ)
        for _ in range(10):
            assert sign_in(client, "alice", "wrong wrong").status_code == 401
        limited = sign_in(client, "alice")
        assert (limited.status_code, limited.headers["retry-after"]) == (429, "30")
        assert client.get("/", headers=basic("alice")).status_code == 429  # another way in, the same count
        assert sign_in(client, "bob").status_code == 303
        client.cookies.clear()
        guarded.clock.seconds += 31
        assert sign_in(client, "alice").status_code == 303
        client.cookies.clear()

        statuses = [sign_in(client, f"user{number}", "wrong wrong").status_code for number in range(40)]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        assert sign_in(client, "bob").status_code == 429  # the address has used up its attempts
        assert client.get("/", headers=basic("bob") | {"X-Forwarded-For": "192.0.2.1"}).status_code == 429
        with guarded.client("reader") as other:
            assert other.get("/").status_code == 200  # tokens cannot be guessed, and are not counted


def test_the_limit_remembers_so_many_and_no_more() -> None:
    clock = Clock()
    limit = AttemptLimit(3, 10, clock)
    for _ in range(3):
        limit.count("first")
    for number in range(9_999):
        limit.count(str(number))
    assert limit.wait_s("first") == 10
    limit.count("one more")
    assert limit.wait_s("first") == 0
    for _ in range(3):
        assert limit.wait_s("key") == 0
        limit.count("key")
    assert limit.wait_s("key") == 10
    limit.give_back("key")
    assert limit.wait_s("key") == 0
    assert address_key("2001:db8::1") == address_key("2001:db8::ffff:1")
    assert address_key("2001:db8::1") != address_key("2001:db8:0:1::1")
    assert address_key("::ffff:192.0.2.1") == address_key("192.0.2.1") != address_key("192.0.2.2")
