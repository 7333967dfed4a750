"""The store that all look at, and the server that most come to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from tests.access.guarded import PASSWORD, Guarded, guarding
from tests.served import add_sample
from wsi_dicom.stores.local import LocalStore
from wsi_dicom_server.access import passwords
from wsi_dicom_server.access.principal import Scope


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    add_sample(store)
    yield store
    store.close()


@pytest.fixture(scope="module", autouse=True)
def quick_hashes() -> Iterator[None]:
    """argon2 as it is, but for a hundredth of its cost: hundreds of passwords are tried here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        passwords._nobody.cache_clear()
        yield
    passwords._nobody.cache_clear()


@pytest.fixture(scope="module")
def guarded(store: LocalStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarding(store, tmp_path_factory.mktemp("access")) as guarded:
        guarded.accounts.add_user("alice", PASSWORD, Scope.READ)
        guarded.accounts.add_user("bob", PASSWORD, Scope.WRITE)
        yield guarded
