"""`--config`: a TOML file with values for the options of a command, below flags and environment and above defaults."""

from __future__ import annotations

import difflib
import logging
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from wsi_dicom.errors import InvalidRequest, system_error_line
from wsi_dicom_cli.options import Decorated

logger = logging.getLogger(__name__)

ORTHANC_NAMES: Final = {
    "EnableIIIF": "iiif",
    "ForcePowersOfTwoScaleFactors": "powers_of_two",
    "OrthancPublicURL": "public_url",
    "ServeMirador": "mirador",
    "ServeOpenSeadragon": "openseadragon",
}
"""What Orthanc's whole-slide plugin calls some of our options."""

PREFIX: Final = "WSI_DICOM"
_NAME: Final = "config"
_ENVIRONMENT_OF_OTHERS: Final = frozenset(
    f"{PREFIX}_{name}"
    for name in ("ALLOW_MISSING_TOOLS", "CYTOMINE_PRIVATE_KEY", "CYTOMINE_PUBLIC_KEY", "TEST_SLIDES", "THREADS")
)


def config_option(command: Decorated) -> Decorated:
    """--config, for a command with `auto_envvar_prefix` PREFIX; nothing is handed on."""
    return click.option(
        f"--{_NAME}",
        type=click.Path(path_type=Path, dir_okay=False),
        is_eager=True,  # before the options that it has values for
        expose_value=False,
        callback=_take,
        help="TOML file with values for these options. [default: wsi-dicom/config.toml in the user's settings folder]",
    )(command)


def _take(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    options = {
        option.name: option
        for option in context.command.params
        if isinstance(option, click.Option) and option.name not in (_NAME, None)
    }
    _tell_unknown_environment(options)
    found = path or default_config()
    if path is not None or found.exists():
        context.default_map = read_config(found, options)


def default_config() -> Path:
    """Read when no other is named, if it is there."""
    from platformdirs import user_config_path

    return user_config_path("wsi-dicom") / "config.toml"


def read_config(path: Path, options: Mapping[str, click.Option]) -> dict[str, Any]:
    """Values by the names of options. Raises InvalidRequest for what cannot be read, is unknown or of another type."""
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest(system_error_line(error)) from error
    except ValueError as error:  # of TOML, and of bytes that are no UTF-8
        raise InvalidRequest(f"{path}: not TOML: {error}") from error
    values: dict[str, Any] = {}
    for key, value in told.items():
        name = ORTHANC_NAMES.get(key, key)
        if name not in options:
            raise InvalidRequest(f"{path}: there is no setting {key!r}{_nearest(key, [*options, *ORTHANC_NAMES])}")
        if name in values:
            raise InvalidRequest(f"{path}: {key!r} and {name!r} are the same setting")
        values[name] = _checked(path, key, value, options[name])
    return values


def _checked(path: Path, key: str, value: Any, option: click.Option) -> Any:
    if option.multiple:
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return value
        expected = "a list of texts"
    elif option.is_flag:
        if isinstance(value, bool):
            return value
        expected = "true or false"
    elif isinstance(option.type, click.types.IntParamType):
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        expected = "a whole number"
    else:
        if isinstance(value, str):
            return value
        expected = "a text in quotation marks"
    raise InvalidRequest(f"{path}: {key}: expected {expected}")


def _tell_unknown_environment(options: Mapping[str, click.Option]) -> None:
    """No more than that: containers are given variables of all kinds."""
    known = {f"{PREFIX}_{name.upper()}" for name in (*options, _NAME)}
    for name in sorted(os.environ):
        if name.startswith(f"{PREFIX}_") and name not in known | _ENVIRONMENT_OF_OTHERS:
            logger.warning("the environment has %s, which is no setting%s", name, _nearest(name, known))


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
