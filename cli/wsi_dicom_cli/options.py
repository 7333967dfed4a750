"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from wsi_dicom import __version__
from wsi_dicom_cli.log import show_all_of_log

if TYPE_CHECKING:
    from wsi_dicom.stores.local import LocalStore
    from wsi_dicom_server.access.accounts import Accounts

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def together(*options: Callable[[Decorated], Decorated]) -> Callable[[Decorated], Decorated]:
    """Several options as one decorator, in the order in which --help shows them."""

    def decorate(command: Decorated) -> Decorated:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def asked_for(given: Mapping[str, Any]) -> dict[str, str]:
    """What the command line has itself, and does not switch off: parameters by name, each as users spell it."""
    context = click.get_current_context()
    return {
        parameter.name: parameter.opts[0]
        for parameter in context.command.params
        if parameter.name
        and given.get(parameter.name)
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    }


def store_option(command: Decorated) -> Decorated:
    """--store, handed on as `store: Path | None`."""
    return click.option(
        "--store",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="WSI_DICOM_STORE",
        help="Folder of the local store. [env: WSI_DICOM_STORE; default: in the user's data folder]",
    )(command)


def threads_option(command: Decorated) -> Decorated:
    """--threads, handed on as `threads: int | None`."""
    return click.option(
        "--threads",
        type=click.IntRange(1, 256),
        envvar="WSI_DICOM_THREADS",
        help="Threads that decode and encode. [default: one for each processor]",
    )(command)


def json_option(command: Decorated) -> Decorated:
    """--json, handed on as `as_json: bool`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def scope_option(command: Decorated) -> Decorated:
    """--scope, handed on as `scope: str`."""
    return click.option(
        "--scope",
        type=click.Choice(["read", "write", "admin"]),
        default="read",
        show_default=True,
        help="read: see slides; write: upload and delete them too; admin: users and tokens too.",
    )(command)


def verbose_option(command: Decorated) -> Decorated:
    """--verbose switches the log on; nothing is handed on."""

    def switch_on(_context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value:
            show_all_of_log()

    return click.option(
        "--verbose/--no-verbose", callback=switch_on, expose_value=False, help="Log what is done, to standard error."
    )(command)


def version_option(command: Decorated) -> Decorated:
    """--version."""
    return click.version_option(__version__, message="%(prog)s %(version)s")(command)


def open_store(store: Path | None, *, create: bool = False, replace_damaged: bool = False) -> LocalStore:
    """The store that the user named, or the default one. Raises StoreError, also for one that is not there.

    Only commands that may be the first to be used `create` it: a mistyped name is no empty store.
    """
    from wsi_dicom.stores.local import LocalStore

    return LocalStore(store_root(store), create=create, replace_damaged=replace_damaged)


def accounts_of(store: Path | None) -> Accounts:
    """Of that store, which may be one to come: users are made before the first slide."""
    from wsi_dicom_server.access.accounts import ACCESS_FILE, Accounts

    return Accounts(store_root(store) / ACCESS_FILE)


def store_root(store: Path | None) -> Path:
    """The folder of the store that the user named, or of the default one."""
    from wsi_dicom.stores.local import default_store_root

    if store is not None and not store.name and not store.is_absolute():  # an unset variable of a shell
        raise click.UsageError("--store is empty")
    return store or default_store_root()
