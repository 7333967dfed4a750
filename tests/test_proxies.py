"""Behind nginx with a path prefix everything links right; and what is believed of whom."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Message, Receive, Scope, Send

from tests.conftest import CHECKOUT
from tests.served import add_sample, client_of, running
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.app import create_app
from wsi_dicom_server.forwarded import BehindProxy
from wsi_dicom_server.peers import TrustedPeers, peer_of
from wsi_dicom_server.settings import ServerSettings

NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
{user}
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location /slides/ {{
            proxy_pass {address}/;
            {headers}
        }}
    }}
}}
"""
_OURS = re.compile(r"https?://(127\.|internal)(?!.*(#|/canvas|/annotation|/range|/sequence))")
"""What a JSON document holds of addresses, but for names of parts of it that lead nowhere."""

_DOCUMENTED = re.findall(
    r"^ +(proxy_set_header .*)$", (CHECKOUT / "docs" / "deployment.md").read_text(encoding="utf-8"), re.MULTILINE
)

HEADERS = {
    "as documented": "\n".join(["proxy_set_header Host internal.example;", *_DOCUMENTED]).replace(
        "/archive", "/slides"
    ),
    "without the line on Forwarded": """
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $http_host;
        proxy_set_header X-Forwarded-Prefix /slides;
    """,
    "forwarded": """
        proxy_set_header X-Forwarded-For "";
        proxy_set_header X-Forwarded-Proto "";
        proxy_set_header X-Forwarded-Host "";
        proxy_set_header Forwarded 'for=$remote_addr;host="$http_host";proto=$scheme';
        proxy_set_header X-Forwarded-Prefix /slides/;
    """,
    "public URL": "",
}


LIES = {
    "Forwarded": "for=192.0.2.1;host=evil.example;proto=https",
    "X-Forwarded-Proto": "ftp",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Prefix": "/evil",
}
"""What a client tells a proxy about itself."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    with closing(LocalStore(tmp_path_factory.mktemp("store"))) as store:
        add_sample(store)
        yield store


@contextmanager
def nginx(program: str, folder: Path, port: int, address: str, headers: str) -> Iterator[None]:
    configuration = folder / "nginx.conf"
    user = "user root root;" if Path("/root").owner() == folder.owner() else ""
    configuration.write_text(
        NGINX.format(folder=folder, port=port, address=address, headers=headers, user=user), encoding="utf-8"
    )
    with subprocess.Popen([program, "-p", folder, "-c", configuration, "-e", "stderr"]) as process:
        try:
            with httpx.Client(transport=httpx.HTTPTransport(retries=6)) as client:  # 0.5 s, 1 s, 2 s, ... in between
                client.get(f"http://127.0.0.1:{port}/", timeout=20)
            yield
        finally:
            process.terminate()
            process.wait(timeout=20)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("told_by", HEADERS)
def test_every_link_leads_through_the_proxy(
    store: LocalStore, tool: Callable[[str], str], tmp_path: Path, told_by: str
) -> None:
    port = free_port()
    home = f"http://127.0.0.1:{port}/slides"
    (series,) = store.search(limit=1)
    public = home if told_by == "public URL" else None
    trusted = () if public else ("127.0.0.1", "::1")
    with (
        running(store, ServerSettings(public_url=public, trusted_proxies=trusted)) as address,
        nginx(tool("nginx"), tmp_path, port, address, HEADERS[told_by]),
        httpx.Client(timeout=30, headers=LIES) as client,
    ):
        pages = ["/", f"/viewer/{series.series_uid}", f"/mirador/{series.series_uid}", "/login"]
        documents = [
            f"{prefix}/iiif/{version}{path}"
            for prefix in ("", "/wsi")
            for version in ("", "2/")
            for path in (f"series/{series.series_uid}/manifest.json", f"tiles/{series.series_uid}/info.json")
        ]
        documents += ["/iiif/collection.json", "/openapi.json"]
        links: set[str] = set()
        for path in [*pages, *documents]:
            answer = client.get(home + path, headers={"Accept": "text/html" if path in pages else "*/*"})
            assert answer.status_code == 200, path
            found = set(links_of(answer))
            assert found, path
            assert {link for link in found if not link.startswith(home)} == set(), path
            links |= found
            assert address not in answer.text
        for link in sorted(links):
            assert client.get(link, follow_redirects=True).status_code == 200, link
        led = client.get(f"{home}/wsi/app/viewer.html", params={"series": series.series_uid})
        assert led.headers["location"] == f"{home}/viewer/{series.series_uid}"
        base = client.get(f"{home}/wsi/iiif/tiles/{series.series_uid}")
        assert base.headers["location"] == f"{home}/wsi/iiif/tiles/{series.series_uid}/info.json"
        picture = client.get(f"{home}/iiif/tiles/{series.series_uid}/full/64,/0/default.jpg")
        assert picture.headers["link"].startswith(f"<{home}/iiif/tiles/")
        assert "Path=/slides;" in client.get(f"{home}/login").headers["set-cookie"]


def links_of(answer: httpx.Response) -> Iterator[str]:
    """All that is an address of ours; namespaces and the like are of other hosts."""
    if "json" not in answer.headers["content-type"]:
        for address in re.findall(r'(?:href|src|action)="([^"#?]+)', answer.text):
            if not address.endswith("/login") and "logout" not in address:
                yield address
    else:
        texts: list[object] = [json.loads(answer.content)]
        while texts:
            item = texts.pop()
            if isinstance(item, dict | list):
                texts.extend(item.values() if isinstance(item, dict) else item)
            elif isinstance(item, str) and _OURS.match(item):
                yield item


def seen(peer: str, trusted: tuple[str, ...], **headers: str) -> tuple[object, ...]:
    """What the application sees of a request for /x to `us.example`: status, client, scheme, host, root, path, peer."""
    raw = [(b"host", b"us.example")]
    raw += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/x", "query_string": b"", "root_path": ""}
    scope |= {"headers": raw, "client": (peer, 4711), "server": ("127.0.0.1", 80)}
    got: list[tuple[object, ...]] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        client = scope["client"][0] if scope["client"] else None
        host = next(value for name, value in scope["headers"] if name == b"host").decode()
        got.append((client, scope["scheme"], host, scope["root_path"], scope["path"], peer_of(scope)))

    async def receive() -> Message:
        raise AssertionError("there is no body")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            got.append((message["status"],))

    coroutine = BehindProxy(application, TrustedPeers(trusted))(scope, receive, send)
    with pytest.raises(StopIteration):
        coroutine.send(None)
    (one,) = got
    return one


PROXY = "10.0.0.1"
TRUSTED = (PROXY, "10.1.0.0/16", "fd00::/8")
PLAIN = (PROXY, "http", "us.example", "", "/x", PROXY)


def as_seen(**other: str | None) -> tuple[object, ...]:
    names = ("client", "scheme", "host", "root", "path", "peer")
    return tuple(other.get(name, plain) for name, plain in zip(names, PLAIN, strict=True))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, PLAIN),
        ({"x_forwarded_for": "192.0.2.7"}, as_seen(client="192.0.2.7")),
        ({"x_forwarded_for": "1.1.1.1, 192.0.2.7"}, as_seen(client="192.0.2.7")),
        ({"x_forwarded_for": "1.1.1.1, 192.0.2.7, 10.1.2.3"}, as_seen(client="192.0.2.7")),
        ({"x_forwarded_for": "10.1.0.1, 10.1.2.3"}, as_seen(client="10.1.0.1")),
        ({"x_forwarded_for": "192.0.2.7:999"}, as_seen(client="192.0.2.7")),
        ({"x_forwarded_for": "2001:db8::1"}, as_seen(client="2001:db8::1")),
        ({"x_forwarded_for": "nonsense"}, as_seen(client=None)),
        (
            {"x_forwarded_proto": "https", "x_forwarded_host": "a.example:8443"},
            as_seen(scheme="https", host="a.example:8443"),
        ),
        ({"x_forwarded_proto": "https, http", "x_forwarded_for": "1.1.1.1, 192.0.2.7"}, as_seen(client="192.0.2.7")),
        (
            {"x_forwarded_proto": "https", "x_forwarded_for": "1.1.1.1, 10.1.0.1"},
            as_seen(client="1.1.1.1", scheme="https"),
        ),
        ({"x_forwarded_proto": "javascript"}, (400,)),
        ({"x_forwarded_prefix": "/a/b-c/"}, as_seen(root="/a/b-c", path="/a/b-c/x")),
        ({"x_forwarded_prefix": "/"}, PLAIN),
        ({"x_forwarded_prefix": "//evil.example"}, (400,)),
        ({"x_forwarded_prefix": "/../x"}, (400,)),
        ({"x_forwarded_prefix": '/a"><script>'}, (400,)),
        (
            {"forwarded": "for=192.0.2.7;proto=https;host=a.example"},
            as_seen(client="192.0.2.7", scheme="https", host="a.example"),
        ),
        ({"forwarded": 'For="[2001:db8::1]:4711"'}, as_seen(client="2001:db8::1")),
        ({"forwarded": "for=_hidden"}, as_seen(client=None)),
        ({"forwarded": "for=unknown;host=a.example"}, as_seen(client=None, host="a.example")),
        (
            {"forwarded": 'for=1.1.1.1;host="evil, x", for=192.0.2.7;host=a.example'},
            as_seen(client="192.0.2.7", host="a.example"),
        ),
        (
            {"forwarded": "for=192.0.2.7;host=a.example, for=10.1.0.1;host=inner"},
            as_seen(client="192.0.2.7", host="a.example"),
        ),
        (
            {"forwarded": "for=192.0.2.7;host=evil.example", "x_forwarded_for": "1.1.1.1", "x_forwarded_host": "x"},
            as_seen(client="1.1.1.1", host="x"),
        ),
        ({"forwarded": "for=192.0.2.7;host=evil.example", "x_forwarded_proto": "https"}, as_seen(scheme="https")),
        ({"forwarded": "for=192.0.2.7;host=evil.example", "x_forwarded_for": ""}, as_seen()),
        (
            {"forwarded": "for=192.0.2.7", "x_forwarded_prefix": "/a"},
            as_seen(client="192.0.2.7", root="/a", path="/a/x"),
        ),
        ({"forwarded": '"",=;;,,for="'}, as_seen()),
    ],
)
def test_what_a_trusted_proxy_tells_is_believed(headers: dict[str, str], expected: tuple[object, ...]) -> None:
    assert seen(PROXY, TRUSTED, **headers) == expected
    told_to_others = ("192.0.2.99", *PLAIN[1:5], "192.0.2.99")
    assert seen("192.0.2.99", TRUSTED, **headers) == told_to_others


def test_a_server_that_trusts_nobody_believes_nobody(store: LocalStore) -> None:
    lies = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil", "Forwarded": "host=evil.example"}
    with running(store) as address:
        assert "evil" not in httpx.get(f"{address}/iiif/collection.json", headers=lies).text
    with running(store, ServerSettings(trusted_proxies=("127.0.0.1",))) as address:
        answer = httpx.get(f"{address}/iiif/collection.json", headers={"X-Forwarded-Prefix": "/a"})
        assert answer.json()["id"] == f"{address}/a/iiif/collection.json"
        refused = httpx.get(f"{address}/iiif/collection.json", headers={"X-Forwarded-Host": "a/b"})
        assert refused.status_code == 400
        assert httpx.get(address, headers={"X-Forwarded-Proto": "ftp"}).json()["HttpStatus"] == 400
        assert httpx.post(f"{address}/nothing").status_code == 401  # through a proxy, nobody sits at this machine


def test_mounted_in_another_application(store: LocalStore) -> None:
    """ASGI's own way to say below which path an application is."""
    outer = httpx.ASGITransport(Starlette(routes=[Mount("/slides", create_app(ServerSettings(), store))]))
    (series,) = store.search(limit=1)

    async def ask() -> None:
        async with httpx.AsyncClient(transport=outer, base_url="http://outer.example/slides") as client:
            manifest = (await client.get(f"/iiif/series/{series.series_uid}/manifest.json")).json()
            assert manifest["id"] == f"{client.base_url}iiif/series/{series.series_uid}/manifest.json"
            image = await client.get(f"/wsi/iiif/tiles/{series.series_uid}")
            assert image.headers["location"] == f"{client.base_url}wsi/iiif/tiles/{series.series_uid}/info.json"

    anyio.run(ask)


@pytest.mark.parametrize(
    ("host", "right"),
    [
        ("slides.example", True),
        ("slides.example.:8443", True),
        ("my_host", True),
        ("192.0.2.7:80", True),
        ("[2001:db8::1]:80", True),
        ("[", False),
        ("[]", False),
        ("[::1", False),
        ("[1.2.3.4]", False),
        ("[:::]", False),
        ("a:b:c", False),
        ("2001:db8::1", False),
        (".", False),
        ("a..b", False),
        (".a", False),
        (":80", False),
        ("a:b", False),
        ("a:123456", False),
        ("a/b", False),
        ("", False),
    ],
)
def test_hosts(client: httpx.Client, host: str, right: bool) -> None:
    answer = client.get("/iiif/collection.json", headers={"Host": host})
    assert answer.status_code == (200 if right else 400)
    if right:
        assert answer.json()["id"] == f"http://{host}/iiif/collection.json"
    else:
        assert "not a host" in answer.json()["Message"]
    page = client.get("/", headers={"Host": host, "Accept": "text/html"})
    assert page.status_code == answer.status_code
    assert right or not host or f"//{host}" not in page.text


@pytest.fixture(scope="module")
def client(store: LocalStore) -> Iterator[httpx.Client]:
    with client_of(store) as client:
        yield client
