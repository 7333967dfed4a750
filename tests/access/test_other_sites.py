"""What pages of other origins can make a browser do here: read what everybody may, and nothing else."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.access.guarded import PASSWORD, Guarded, basic, guarding, sign_in
from tests.served import client_of
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.access.principal import Scope
from wsi_dicom_server.job_records import JOBS_FILE
from wsi_dicom_server.settings import ServerSettings

EVIL = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
BEARERS = [{}, {"Authorization": "Bearer x"}, {"Authorization": "bearer wsi_" + "A" * 43}]
ALLOWED = "access-control-allow-origin"
OURS = ["/jobs", "/jobs?expand", "/jobs/x", "/uploads", "/users", "/tokens", "/view-tokens", "/login", "/logout"]


@pytest.mark.parametrize("bearer", BEARERS, ids=["none", "word", "token"])
def test_a_server_without_accounts(store: LocalStore, tmp_path: Path, bearer: dict[str, str]) -> None:
    """It looks at no token, so none proves anything."""
    with client_of(store, ServerSettings(jobs_file=tmp_path / JOBS_FILE)) as client:
        for said in (EVIL, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}):
            headers = said | bearer
            for path in ("/uploads?name=evil.txt", "/login", "/logout", "/view-tokens", "/tiles/1.2.3/0/0/0"):
                assert client.post(path, headers=headers, content=b"x").status_code == 403, path
            assert client.delete("/jobs/x", headers=headers).status_code == 403
            for path in ("/jobs", "/jobs?expand", "/jobs/x"):
                assert client.get(path, headers=headers).status_code == 403, path
                assert client.head(path, headers=headers).status_code == 403, path
            assert client.get("/iiif/collection.json", headers=headers).headers[ALLOWED] == "*"
        assert client.get("/jobs?expand", headers=bearer).json() == []
        for own in ({"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
            assert client.get("/jobs", headers=own).status_code == 200


def test_only_a_good_bearer_token_speaks_for_itself(guarded: Guarded) -> None:
    guarded.accounts.add_user("carol", PASSWORD, Scope.ADMIN)
    with guarded.client() as browser:
        assert sign_in(browser, "carol").status_code == 303
        assert browser.get("/users").status_code == 200
        assert browser.post("/nothing").status_code == 404
        for bearer in BEARERS:
            for path in ("/users", "/tokens", "/jobs"):
                assert browser.get(path, headers=EVIL | bearer).status_code in (401, 403)
            assert browser.post("/nothing", headers=EVIL | bearer).status_code in (401, 403)
            assert browser.post("/logout", headers=EVIL | bearer).status_code == 403
        assert browser.get("/users", headers=EVIL | basic("carol")).status_code == 403
        for good in ("writer", "admin"):
            headers = EVIL | {"Authorization": f"Bearer {guarded.secrets[good]}"}
            assert browser.post("/nothing", headers=headers).status_code == 404
            assert browser.get("/users", headers=headers).status_code == (200 if good == "admin" else 403)
            assert browser.post("/logout", headers=headers).status_code == 403
        assert browser.get("/users").status_code == 200  # still signed in


def test_what_is_for_our_own_pages(store: LocalStore, tmp_path: Path) -> None:
    """Whatever the answer is, no browser gives it to another origin; all else may be read by all."""
    with guarding(store, tmp_path, jobs_file=tmp_path / JOBS_FILE) as guarded:
        for token in ("", "reader", "admin"):
            with guarded.client(token, Origin="https://viewer.example") as client:
                for path in OURS:
                    answers: list[httpx.Response] = [client.request(m, path) for m in ("GET", "OPTIONS", "PATCH")]
                    if tag := answers[0].headers.get("etag"):
                        answers.append(client.get(path, headers={"If-None-Match": tag}))
                        assert answers[-1].status_code == 304
                    assert not [a for a in answers if ALLOWED in a.headers], path
                for path in ("/", "/iiif/collection.json", guarded.tile(), "/static/site.css", "/nothing"):
                    assert client.options(path).headers[ALLOWED] == "*", path
                    if path != "/":
                        assert client.get(path).headers[ALLOWED] == "*", path
