"""What is kept of secrets, where, and how it gets there."""

from __future__ import annotations

import hashlib
import logging
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type

from tests.access.guarded import PASSWORD, Clock, basic, guarding, sign_in
from tests.conftest import Run
from tests.served import add_sample
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.access.accounts import ACCESS_FILE, Accounts
from wsi_dicom_server.access.principal import Scope


def test_what_is_kept_is_no_secret_and_survives_the_index(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    add_sample(store)
    accounts = Accounts(tmp_path / ACCESS_FILE)
    accounts.add_user("alice", PASSWORD, Scope.READ)
    token, session = accounts.create_token("lab", Scope.READ, None), accounts.begin_session("alice", 60)
    kept = (tmp_path / ACCESS_FILE).read_bytes()
    for secret in (PASSWORD, token, session):
        assert secret.encode() not in kept
    assert (tmp_path / ACCESS_FILE).stat().st_mode & 0o777 == 0o600
    assert store.rebuild() == 1
    (tmp_path / "index.sqlite").unlink()
    store.close()
    LocalStore(tmp_path, replace_damaged=True).close()
    assert accounts.session(hashlib.sha256(session.encode()).digest()).name == "alice"
    assert [user.name for user in accounts.users()] == ["alice"]


def test_passwords_cost_what_rfc_9106_recommends(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("wsi-dicom"), "user", "add", "alice", "--password-stdin"]
    subprocess.run([*command, "--store", tmp_path], input=PASSWORD, text=True, check=True, timeout=60)
    hashed = Accounts(tmp_path / ACCESS_FILE).password_hash("alice")
    assert hashed is not None
    cost = extract_parameters(hashed)
    assert (cost.type, cost.memory_cost, cost.time_cost, cost.parallelism) == (Type.ID, 65536, 3, 4)


def test_sessions_of_one_user_are_bounded(tmp_path: Path) -> None:
    clock = Clock()
    accounts = Accounts(tmp_path / ACCESS_FILE, clock)
    accounts.add_user("alice", PASSWORD, Scope.READ)
    for _ in range(60):
        accounts.begin_session("alice", 100)
        clock.seconds += 0.1
    with sqlite3.connect(tmp_path / ACCESS_FILE) as database:
        assert database.execute("SELECT count(*) FROM sessions").fetchone() == (50,)
        clock.seconds += 101
        accounts.begin_session("alice", 100)
        assert database.execute("SELECT count(*) FROM sessions").fetchone() == (1,)
    database.close()


def test_nothing_secret_gets_into_the_log(store: LocalStore, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with guarding(store, tmp_path) as guarded, guarded.client() as client:
        guarded.accounts.add_user("alice", PASSWORD, Scope.READ)
        caplog.clear()
        sign_in(client, "alice", "mistyped-password")
        sign_in(client, "password-as-a-name", "x")
        sign_in(client, "alice")
        session = client.cookies["wsi_session"]
        client.get("/", headers=basic("alice", "mistyped-password"))
        client.get("/tiles/1.2.3/0/0/0", params={"token": "token-in-query"})
        client.get("/", headers={"Authorization": "Bearer wsi_mistyped-token"})
        (tmp_path / ACCESS_FILE).write_bytes(b"damaged " * 100)
        guarded.clock.seconds += 6
        broken = client.get("/", headers={"Authorization": "Bearer wsi_mistyped-token"})
    assert broken.status_code == 503
    assert str(tmp_path) not in broken.text
    said = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("wsi_dicom"))
    assert "wrong password for user alice from 127.0.0.1" in said
    assert "cannot be used" in said
    for secret in ("mistyped", "password-as-a-name", "token-in-query", PASSWORD, session):
        assert secret not in said


def test_the_commands(run_inside: Run, tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "store" / ACCESS_FILE)
    assert run_inside("wsi-dicom", "user", "list").stdout == ""
    assert "no user alice" in run_inside("wsi-dicom", "user", "remove", "alice", code=2).stderr
    everywhere = ("--host", "0.0.0.0", "--port", 0)  # noqa: S104 - which is refused
    assert "--allow-anonymous" in run_inside("wsi-dicom", "serve", *everywhere, code=2).stderr
    assert not (tmp_path / "store").exists()

    twice = f"{PASSWORD}\n{PASSWORD}\n"
    shown = run_inside("wsi-dicom", "user", "add", "alice", "--scope", "write", typed=twice).output
    assert PASSWORD not in shown
    assert "already" in run_inside("wsi-dicom", "user", "add", "alice", "--password-stdin", typed=twice, code=2).stderr
    assert run_inside("wsi-dicom", "user", "list").stdout == "alice  write\n"
    before = accounts.password_hash("alice")
    run_inside("wsi-dicom", "user", "password", "alice", typed=twice)
    assert accounts.password_hash("alice") not in (None, before)

    token = run_inside("wsi-dicom", "token", "create", "lab", "--expires", "12h").stdout.strip()
    found = accounts.token(hashlib.sha256(token.encode()).digest())
    assert (found.name, found.scope) == ("lab", Scope.READ)
    assert re.fullmatch(
        r"lab  read  expires \d{4}-\d\d-\d\d \d\d:\d\d UTC\n", run_inside("wsi-dicom", "token", "list").stdout
    )
    assert (
        "expected something like" in run_inside("wsi-dicom", "token", "create", "x", "--expires", "1y", code=2).stderr
    )
    run_inside("wsi-dicom", "token", "revoke", "lab")
    run_inside("wsi-dicom", "token", "create", "lab", "--expires", "never")
    assert run_inside("wsi-dicom", "token", "list").stdout == "lab  read  expires never\n"
    run_inside("wsi-dicom", "user", "remove", "alice")
    assert accounts.users() == []
