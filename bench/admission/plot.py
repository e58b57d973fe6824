"""The plot: how long a create takes against how many Services are there, as SVG text; it draws nothing else."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

_WIDTH: Final = 640
_HEIGHT: Final = 360
_LEFT: Final = 64
_RIGHT: Final = 190
_TOP: Final = 44
_BOTTOM: Final = 48
_COLOURS: Final = ("#6b7280", "#d97706", "#2563eb")
_TICKS: Final = (1, 2, 5)

Line = Sequence[tuple[float, float]]


def render_plot(lines: Mapping[str, Line], *, title: str, x_label: str, y_label: str) -> str:
    """Lines over two logarithmic axes, each with its name at its end."""
    points = [point for line in lines.values() for point in line]
    x, y = _Axis([p[0] for p in points], _LEFT, _WIDTH - _RIGHT), _Axis([p[1] for p in points], _HEIGHT - _BOTTOM, _TOP)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
            f'font-size="12" role="img" aria-label="{title}">'
        ),
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 22, title, weight="bold"),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, x_label, anchor="middle"),
        _text(8, _TOP - 6, y_label),
        *_grid(x, y),
    ]
    for (name, line), colour in zip(lines.items(), _COLOURS, strict=False):
        parts += _line(name, [(x.at(a), y.at(b)) for a, b in line], colour=colour)
    return "\n".join([*parts, "</svg>", ""])


class _Axis:
    """Values to places, logarithmically."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        low, high = min(values), max(values)
        self.ticks = [tick for tick in _ticks(low / 2, high * 2) if low / 1.6 <= tick <= high * 1.6]
        self._low = math.log(min(low, *self.ticks))
        self._span = math.log(max(high, *self.ticks)) - self._low or 1.0
        self._begin, self._end = begin, end

    def at(self, value: float) -> float:
        """Where the value is."""
        return self._begin + (math.log(value) - self._low) / self._span * (self._end - self._begin)


def _ticks(low: float, high: float) -> Iterator[float]:
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        yield from (tick * 10.0**power for tick in _TICKS)


def _grid(x: _Axis, y: _Axis) -> Iterator[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for tick in x.ticks:
        yield f'<path d="M{x.at(tick):.1f} {_TOP}V{bottom}" stroke="#e5e7eb"/>'
        yield _text(x.at(tick), bottom + 16, f"{tick:,.0f}", anchor="middle")
    for tick in y.ticks:
        yield f'<path d="M{_LEFT} {y.at(tick):.1f}H{right}" stroke="#e5e7eb"/>'
        yield _text(_LEFT - 6, y.at(tick) + 4, f"{tick:g}", anchor="end")


def _line(name: str, places: Line, *, colour: str) -> Iterator[str]:
    path = "L".join(f"{a:.1f} {b:.1f}" for a, b in places)
    yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for a, b in places:
        yield f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>'
    yield _text(places[-1][0] + 8, places[-1][1] + 4, name, colour=colour)


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", colour: str = "#111827"
) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{colour}">{text}</text>'
