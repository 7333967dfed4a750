"""`wsi-dicom user`: who may use the server with a name and a password."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from wsi_dicom_cli.command import Command, Group
from wsi_dicom_cli.options import accounts_of, scope_option, store_option


@click.group(cls=Group)
def user() -> None:
    """Users of the server, who sign in with a password."""


def _password(from_input: bool) -> str:
    if from_input:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


_password_option = click.option(
    "--password-stdin", "from_input", is_flag=True, help="Read the password from standard input, not from the terminal."
)


@user.command(cls=Command)
@click.argument("name")
@scope_option
@_password_option
@store_option
def add(name: str, scope: str, from_input: bool, store: Path | None) -> None:
    """Add the user NAME. The password is asked for."""
    from wsi_dicom_server.access.principal import Scope

    accounts_of(store).add_user(name, _password(from_input), Scope.named(scope))
    click.echo(f"user {name} may {scope}")


@user.command("list", cls=Command)
@store_option
def list_users(store: Path | None) -> None:
    """List the users and what they may do."""
    for known in accounts_of(store).users():
        click.echo(f"{known.name}  {known.scope.word}")


@user.command(cls=Command)
@click.argument("name")
@store_option
def remove(name: str, store: Path | None) -> None:
    """Remove the user NAME, and end the user's sessions."""
    accounts_of(store).remove_user(name)
    click.echo(f"removed user {name}")


@user.command(cls=Command)
@click.argument("name")
@_password_option
@store_option
def password(name: str, from_input: bool, store: Path | None) -> None:
    """Give the user NAME another password, and end the user's sessions."""
    accounts_of(store).set_password(name, _password(from_input))
    click.echo(f"user {name} has a new password")
