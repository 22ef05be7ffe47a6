"""Two plots as SVG, drawn by hand: ratios to Node, and growth with the size of a room.

It knows names and numbers only, not what they mean. `names` are all series there may be: each has
the same mark in every plot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 860
LEFT, RIGHT, TOP, BOTTOM = 170, 30, 56, 40
ROW: Final = 26
COLOURS: Final = ("#1f6feb", "#8250df", "#57606a", "#bc4c00")
INK: Final = "#24292f"
GRID: Final = "#d0d7de"
GOOD: Final = "#1a7f37"


@dataclass(frozen=True)
class Dot:
    """A spread of values: least, middle, largest."""

    least: float
    middle: float
    most: float


@dataclass(frozen=True)
class Row:
    """A line of the plot of ratios: a dot for each series, and what the first should be at most."""

    title: str
    dots: Mapping[str, Dot]
    target: float = 0.0


class Axis:
    """Values on a logarithmic scale as places between two ends."""

    def __init__(self, low: float, high: float, begin: float, end: float) -> None:
        self.low, self.high, self.begin, self.end = low, high, begin, end

    def __call__(self, value: float) -> float:
        """The place of a value; what is outside is at the end."""
        value = min(max(value, self.low), self.high)
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.begin + part * (self.end - self.begin), 1)


def ratios(rows: Sequence[Row], names: Sequence[str], title: str) -> str:
    """One line for each row, one mark for each of the series; less is further to the left."""
    height = TOP + ROW * len(rows) + BOTTOM
    axis = Axis(0.05, 20, LEFT, WIDTH - RIGHT)
    series = [name for name in names if any(name in row.dots for row in rows)]
    bottom = TOP + ROW * len(rows)
    parts = [_text(LEFT, 20, title, bold=True), *_legend(series, names, 42)]
    for value in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20):
        x = axis(value)
        parts.append(_line(x, TOP, x, bottom, INK if value == 1 else GRID))
        parts.append(_text(x, bottom + 18, f"{value:g}", anchor="middle"))
    for number, row in enumerate(rows):
        y = TOP + ROW * (number + 0.5)
        parts.append(_text(LEFT - 10, y + 4, row.title, anchor="end"))
        if row.target:
            x = axis(row.target)
            parts.append(_line(x, y - 10, x, y + 10, GOOD, width=3))
        # the first series is drawn last, on top of the others
        for name in reversed(series):
            if name in row.dots:
                parts += _dot(axis, y, row.dots[name], names.index(name))
    note = "green: what sioserver should be at most"
    parts.append(_text(WIDTH - RIGHT, height - 6, note, anchor="end", colour=GOOD))
    return _svg(height, parts)


def growth(
    lines: Mapping[str, Mapping[float, float]], names: Sequence[str], title: str, x_title: str
) -> str:
    """A line for each series, x -> y, both logarithmic."""
    height = 360
    xs = sorted({x for line in lines.values() for x in line})
    ys = [y for line in lines.values() for y in line.values()]
    low, high = 10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))
    right = Axis(xs[0], xs[-1], LEFT, WIDTH - RIGHT - 20)
    up = Axis(low, high, height - 60, TOP + 10)
    parts = [_text(LEFT, 20, title, bold=True), *_legend([*lines], names, 42)]
    for x in xs:
        parts.append(_line(right(x), up(high), right(x), up(low), GRID))
        parts.append(_text(right(x), height - 40, f"{x:,.0f}".replace(",", " "), anchor="middle"))
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        for value in (10**power, 2 * 10**power, 5 * 10**power):
            if low <= value <= high:
                y = up(value)
                parts.append(_line(right(xs[0]), y, right(xs[-1]), y, GRID))
                parts.append(_text(LEFT - 10, y + 4, f"{value:g}", anchor="end"))
    for name, line in lines.items():
        number = names.index(name)
        points = " ".join(f"{right(x)},{up(y)}" for x, y in sorted(line.items()))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{COLOURS[number]}" stroke-width="2"/>'
        )
        parts += [_mark(right(x), up(y), number) for x, y in line.items()]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, height - 12, x_title, anchor="middle"))
    return _svg(height, parts)


def _dot(axis: Axis, y: float, dot: Dot, number: int) -> list[str]:
    whisker = _line(axis(dot.least), y, axis(dot.most), y, COLOURS[number], width=2)
    return [whisker, _mark(axis(dot.middle), y, number)]


def _mark(x: float, y: float, number: int) -> str:
    """The series differ in shape, not in colour alone."""
    colour = COLOURS[number]
    if number == 0:
        return f'<circle cx="{x}" cy="{y}" r="6" fill="{colour}"/>'
    if number == 1:
        return f'<circle cx="{x}" cy="{y}" r="5" fill="white" stroke="{colour}" stroke-width="2"/>'
    if number == 2:
        return f'<rect x="{x - 5}" y="{y - 5}" width="10" height="10" fill="{colour}"/>'
    return f'<path d="M{x},{y - 6} l6,11 h-12 z" fill="{colour}"/>'


def _legend(series: Sequence[str], names: Sequence[str], y: float) -> list[str]:
    parts, x = [], float(LEFT)
    for name in series:
        parts += [_mark(x + 6, y - 4, names.index(name)), _text(x + 18, y, name)]
        x += 40 + 7 * len(name)
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: int = 1) -> str:
    ends = f'x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'


def _text(
    x: float, y: float, text: str, anchor: str = "start", colour: str = INK, bold: bool = False
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    place = f'x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}"{weight}'
    return f"<text {place}>{escape(text)}</text>"


def _svg(height: int, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="13">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])
