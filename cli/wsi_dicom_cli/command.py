"""What all commands share: how they take booleans, and how they fail."""

from __future__ import annotations

import signal
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

import click

from wsi_dicom.errors import WsiError

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class _OneLineErrors(click.Command):
    """Ends with exit code 2 and one line that says what is wrong; never with a traceback for bad input."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        name = kwargs.get("prog_name") or Path(sys.argv[0]).name
        warnings.filterwarnings("ignore", module="pydicom")  # it warns of each odd value in other people's files
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            result = super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else name
            _fail(f"{command}: {error.format_message()} (see {command} --help)")
        except click.ClickException as error:
            _fail(f"{name}: {error.format_message()}")
        except click.Abort:
            _fail(f"{name}: stopped", code=130)
        except WsiError as error:
            _fail(f"{name}: {error}")
        except OSError as error:
            # what no layer below could name better: the system's own words, and the file if it told one
            where = f"{error.filename}: " if error.filename else ""
            _fail(f"{name}: {where}{error.strerror or error}")
        sys.exit(result if isinstance(result, int) else 0)


def _interrupt(*_: object) -> NoReturn:
    """Ends a run that the system wants to end as Ctrl-C does: what was begun is cleared away."""
    raise KeyboardInterrupt


class Command(_OneLineErrors):
    """A command whose on/off options may be written as Orthanc's tools do: --pyramid=1 beside --pyramid."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        switches = {
            name: option
            for option in self.params
            if isinstance(option, click.Option) and option.is_bool_flag and option.secondary_opts
            for name in option.opts
        }
        return super().parse_args(ctx, [_as_switch(ctx, argument, switches) for argument in args])


class Group(_OneLineErrors, click.Group):
    """A command of commands. Alone, it tells what there is."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])


def _as_switch(ctx: click.Context, argument: str, switches: dict[str, click.Option]) -> str:
    name, equals, value = argument.partition("=")
    if not equals or name not in switches:
        return argument
    if value.lower() in _TRUE:
        return name
    if value.lower() in _FALSE:
        return switches[name].secondary_opts[0]
    raise click.BadParameter(f"{value!r} is neither 1 nor 0", ctx, param_hint=name)


def _fail(message: str, code: int = 2) -> None:
    click.echo(" ".join(message.split()), err=True)
    sys.exit(code)
