"""What values on the command line can be beside text and numbers."""

from __future__ import annotations

from typing import Any

import click


class Color(click.ParamType[tuple[int, int, int]]):
    """`R,G,B`, each 0 to 255."""

    name = "R,G,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int, int]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if len(parts) != 3 or not all(part.isdecimal() and len(part) < 4 and int(part) <= 255 for part in parts):
            self.fail(f"{value!r} is no colour: three numbers from 0 to 255, as in 255,255,255", param, ctx)
        red, green, blue = (int(part) for part in parts)
        return red, green, blue


class Millimetres(click.ParamType[tuple[float, float]]):
    """`X` or `X,Y`, above 0."""

    name = "X[,Y]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = [float(part) for part in str(value).split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 2) or not all(0 < number < 1e6 for number in numbers):
            self.fail(f"{value!r} is no spacing: one or two numbers of millimetres, as in 0.00025", param, ctx)
        return numbers[0], numbers[-1]


class PixelRegion(click.ParamType[tuple[int, int, int, int]]):
    """`X,Y,W,H` in pixels."""

    name = "X,Y,W,H"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int, int]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if len(parts) != 4 or not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
            self.fail(f"{value!r} is no region: left, top, width and height in pixels, as in 0,0,512,512", param, ctx)
        x, y, width, height = (int(part) for part in parts)
        if not width or not height:
            self.fail(f"{value!r} is empty: width and height are at least 1", param, ctx)
        return x, y, width, height
