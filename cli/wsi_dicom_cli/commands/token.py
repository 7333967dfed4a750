"""`wsi-dicom token`: what programs show to the server instead of a password."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from wsi_dicom_cli.command import Command, Group
from wsi_dicom_cli.options import accounts_of, scope_option, store_option

_SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400}


class _Lifetime(click.ParamType["int | None"]):
    """`90d`, `12h`, `30m`, or `never`: seconds, None for never."""

    name = "lifetime"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        match = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", value)
        if match is None and value != "never":
            self.fail(f"{value!r}: expected something like 90d, 12h, 30m, or never", param, ctx)
        return int(match[1]) * _SECONDS[match[2]] if match else None


@click.group(cls=Group)
def token() -> None:
    """Bearer tokens of the server, for programs."""


@token.command(cls=Command)
@click.argument("name")
@scope_option
@click.option(
    "--expires",
    "lifetime_s",
    type=_Lifetime(),
    default="90d",
    show_default=True,
    help="How long it is good: minutes (m), hours (h), days (d), or never to expire.",
)
@store_option
def create(name: str, scope: str, lifetime_s: int | None, store: Path | None) -> None:
    """Create a token called NAME and print it. It is shown this once: only a hash of it is kept."""
    from wsi_dicom_server.access.principal import Scope

    click.echo(accounts_of(store).create_token(name, Scope.named(scope), lifetime_s))


@token.command("list", cls=Command)
@store_option
def list_tokens(store: Path | None) -> None:
    """List the tokens by name, what they are for, and when they expire."""
    for known in accounts_of(store).tokens():
        until = f"{datetime.fromtimestamp(known.expires, UTC):%Y-%m-%d %H:%M} UTC" if known.expires else "never"
        click.echo(f"{known.name}  {known.scope.word}  expires {until}")


@token.command(cls=Command)
@click.argument("name")
@store_option
def revoke(name: str, store: Path | None) -> None:
    """Revoke the token called NAME: running servers refuse it within seconds."""
    accounts_of(store).revoke_token(name)
    click.echo(f"revoked token {name}")
