"""What all commands share: how they take booleans, and how they fail."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any, NoReturn

import click

from wsi_dicom.errors import WsiError, on_one_line, system_error_line
from wsi_dicom_cli.log import show_log

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class _OneLineErrors(click.Command):
    """Ends with exit code 2 and one line that says what is wrong; never with a traceback for bad input."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        name = kwargs.get("prog_name") or Path(sys.argv[0]).name
        warnings.filterwarnings("ignore", module="pydicom")  # it warns of each odd value in other people's files
        # threads for numpy's linear algebra, which we do not use, would spin for a tenth of a second (measured)
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        signal.signal(signal.SIGTERM, _interrupt)
        show_log()
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
            _fail(f"{name}: {system_error_line(error)}")
        sys.exit(result if isinstance(result, int) else 0)


def _interrupt(*_: object) -> NoReturn:
    """Ends a run that the system wants to end as Ctrl-C does: what was begun is cleared away."""
    raise KeyboardInterrupt


class Option(click.Option):
    """An option that --help shows below a heading; a switch by the one spelling that makes a difference."""

    def __init__(self, *names: Any, heading: str, **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.heading = heading

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        if record is None or not self.secondary_opts:
            return record
        return (self.secondary_opts if self.default is True else self.opts)[0], record[1]


class Command(_OneLineErrors):
    """A command whose on/off options may be written as Orthanc's tools do: --pyramid=1 beside --pyramid."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        for option in sorted(options, key=lambda option: not isinstance(option, Option)):  # those of all commands last
            record = option.get_help_record(ctx)
            if record is not None:
                heading = option.heading if isinstance(option, Option) else "Options"
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)

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
    click.echo(on_one_line(message), err=True)
    sys.exit(code)
