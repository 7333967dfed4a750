"""What all tests of uploads and jobs share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.jobs.site import Site, site_at


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_at(tmp_path_factory.mktemp("jobs") / "store", largest_upload=30_000_000, jobs_at_once=2) as site:
        yield site


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "site" in request.fixturenames:
        assert request.getfixturevalue("site").leftovers() == []
