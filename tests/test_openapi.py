"""What `/openapi.json` tells, and requests of all kinds to everything that it tells of."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.access.guarded import PASSWORD, guarding, sign_in
from tests.foreign_series import Picture, native_frames, save_native
from tests.served import client_of
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.access.accounts import ACCESS_FILE, Accounts
from wsi_dicom_server.access.principal import Scope
from wsi_dicom_server.job_records import JOBS_FILE
from wsi_dicom_server.routes.openapi import BODIES, PATH_PARAMETERS, QUERIES, SUMMARIES
from wsi_dicom_server.settings import ServerSettings

METHODS = {"get", "post", "put", "delete"}


@dataclass
class Served:
    client: httpx.Client
    store: LocalStore
    description: dict[str, Any]
    identifiers: list[str]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("store")
    store = LocalStore(folder / "store")
    record = store.add([save_native(folder / "small.dcm", Picture(), native_frames(6))])
    (instance,) = store.instances(record)
    token = Accounts(folder / ACCESS_FILE).create_token("fuzzing", Scope.ADMIN, None)
    chosen = ServerSettings(
        max_pixels=40_000, access_file=folder / ACCESS_FILE, jobs_file=folder / JOBS_FILE, largest_upload=1
    )
    with client_of(store, chosen) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        description = client.get("/openapi.json").raise_for_status().json()
        identifiers = [record.series_uid, record.orthanc_id, instance.sop_instance_uid]
        yield Served(client, store, description, identifiers)
    store.close()


def test_every_route_is_described_and_nothing_else(served: Served) -> None:
    """One without words would be an error; test_allow_names_all_methods_of_a_path asks for each of them."""
    paths = served.description["paths"]
    plain = {path: path.removeprefix("/wsi").replace("/iiif/2/", "/iiif/") for path in paths}
    described = {f"{method.upper()} {plain[path]}" for path, item in paths.items() for method in item}
    assert set(SUMMARIES) == described
    assert set(QUERIES) | set(BODIES) <= described
    assert set(PATH_PARAMETERS) == {name for path in paths for name in re.findall(r"\{(\w+)\}", path)}
    for path, item in paths.items():
        for operation in item.values():
            named = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
            assert named == re.findall(r"\{(\w+)\}", path)


def test_routes_that_a_setting_takes_away_are_not_described(served: Served) -> None:
    with client_of(served.store, ServerSettings(iiif=False)) as client:
        paths = client.get("/openapi.json").json()["paths"]
    assert "/iiif/collection.json" not in paths
    assert "/wsi/iiif/series/{series}/manifest.json" not in paths
    assert "/iiif/tiles/{image}/info.json" in paths


ODD = ["", "0", "-1", "1e9", "9" * 30, "..", "%2e%2e", "\0", "nan", "a,b", "0,0,5,5", "full", "max", "^!9,9", "pct:1"]
WORDS = st.one_of(st.sampled_from(ODD), st.integers(-1, 9).map(str), st.text(max_size=8))
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["Name", "Password", "Scope", "Days"]), inner)
    ),
    max_leaves=6,
)
UNREADABLE = st.one_of(st.just(b""), st.binary(min_size=2, max_size=60))


def sensible(schema: dict[str, Any], identifiers: list[str]) -> list[str]:
    if "enum" in schema:
        return schema["enum"]
    return ["0", "1"] if schema["type"] == "integer" else identifiers


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_request_is_an_error_of_the_server(served: Served, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(served.description["paths"])))
    method = data.draw(st.sampled_from([*served.description["paths"][path], "head", "options", "patch"]))
    operation = served.description["paths"][path].get(method, {"parameters": []})
    address, query = path, {}
    for parameter in operation["parameters"]:
        value = data.draw(st.one_of(st.sampled_from(sensible(parameter["schema"], served.identifiers)), WORDS))
        if parameter["in"] == "path":
            address = address.replace(f"{{{parameter['name']}}}", quote(value, safe="", errors="replace"))
        elif data.draw(st.booleans()):
            query[parameter["name"]] = value.encode(errors="replace")
    kinds = list(operation.get("requestBody", {}).get("content", ()))
    body, headers = b"", {"Accept": data.draw(st.sampled_from(["*/*", "text/html", "image/png;q=0.1", ";;q=x", ""]))}
    if kinds:
        headers["Content-Type"] = data.draw(st.sampled_from([*kinds, "multipart/form-data; boundary=x", "x"]))
        body = data.draw(UNREADABLE if path == "/uploads" else st.one_of(UNREADABLE, JSONS.map(as_json)))
    with served.client.stream(method, address, params=query, content=body, headers=headers) as answer:
        content = answer.read()
    assert answer.status_code < 500, (method, answer.url, content[:300])
    if "responses" in operation and answer.request.url.path.count("/") == path.count("/"):
        assert_declared(operation, answer.status_code)
    if answer.status_code >= 400 and content and "json" in answer.headers["content-type"]:
        assert len(json.loads(content)["Message"].splitlines()) == 1


def assert_declared(operation: dict[str, Any], status: int) -> None:
    assert {str(status), f"{status // 100}XX"} & set(operation["responses"]), (operation["summary"], status)


def test_answers_have_the_statuses_that_are_told(served: Served) -> None:
    """Of a series, of its instance, and of what is not there; with the tag of what a client has; and of a failure."""
    seen: Counter[int] = Counter()
    parts = {"x": "0", "y": "0", "z": "0", "n": "0", "quality": "default", "format": "jpg", "region": "full"}
    parts |= {"size": "max", "rotation": "0", "path": "site.css", "flavor": "label"}
    for path, item in served.description["paths"].items():
        if path.startswith(("/login", "/logout", "/uploads", "/users", "/tokens", "/view-tokens")):
            continue
        for identifier in [*served.identifiers, "1.2.3"]:
            names = {name: parts.get(name, identifier) for name in re.findall(r"\{(\w+)\}", path)}
            address = path.format_map(names)
            for method in set(item) & {"get", "delete"}:
                with served.client.stream(method, address, params={"series": identifier}) as answer:
                    assert_declared(item[method], answer.status_code)
                    seen[answer.status_code] += 1
                if tag := answer.headers.get("etag"):
                    known = served.client.request(method, address, headers={"If-None-Match": tag})
                    assert_declared(item[method], known.status_code)
                    seen[known.status_code] += 1
        assert all("5XX" in operation["responses"] for operation in item.values())
    assert min(seen[200], seen[303], seen[304], seen[404]) > 5


def test_allow_names_all_methods_of_a_path(served: Served) -> None:
    for path, item in served.description["paths"].items():
        address = re.sub(r"\{(\w+)\}", lambda name: "label" if name[1] == "flavor" else "1", path)
        methods = {method.upper() for method in item}
        allowed = {"OPTIONS", *methods} | ({"HEAD"} if "GET" in methods else set())
        for answer, status in ((served.client.options(address), 204), (served.client.patch(address), 405)):
            assert answer.status_code == status, path
            assert answer.headers.get_list("allow") == [", ".join(sorted(allowed))], (path, status)


def test_sessions_begin_and_end_as_is_told(served: Served, tmp_path: Path) -> None:
    with guarding(served.store, tmp_path) as guarded, guarded.client() as client:
        guarded.accounts.add_user("alice", PASSWORD, Scope.READ)
        assert_declared(served.description["paths"]["/login"]["post"], sign_in(client, "alice").status_code)
        assert_declared(served.description["paths"]["/logout"]["post"], client.post("/logout").status_code)


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()
