"""A drawing of how figures went from release to release: small panels side by side, as SVG."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

PANEL_WIDTH, PANEL_HEIGHT = 270, 130
COLUMNS = 3
LEFT, TOP, RIGHT, BOTTOM = 14, 40, 14, 24
LINE, AIM, INK, PAPER = "#1f6f8b", "#c05621", "#333333", "#ffffff"


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure; `values` has None where a release did not measure it, which not all of them are."""

    title: str
    values: Sequence[float | None]
    target: float
    write: Callable[[float], str]


def drawn(panels: Sequence[Panel], names: Sequence[str]) -> str:
    """The panels; `names` are the releases', the oldest first."""
    rows = -(-len(panels) // COLUMNS)
    width, height = COLUMNS * PANEL_WIDTH, rows * PANEL_HEIGHT
    body = [f'<rect width="{width}" height="{height}" fill="{PAPER}"/>']
    for number, panel in enumerate(panels):
        x, y = number % COLUMNS * PANEL_WIDTH, number // COLUMNS * PANEL_HEIGHT
        body.append(f'<g transform="translate({x},{y})">{_panel(panel, names)}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="10">\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _panel(panel: Panel, names: Sequence[str]) -> str:
    known = [value for value in panel.values if value is not None]
    top = max([*known, panel.target]) or 1.0

    def place(nth: int, value: float) -> tuple[float, float]:
        across = nth / (len(names) - 1) if len(names) > 1 else 0.5
        wide, high = PANEL_WIDTH - LEFT - RIGHT, PANEL_HEIGHT - TOP - BOTTOM
        return round(LEFT + across * wide, 1), round(TOP + (1 - value / top) * high, 1)

    right = PANEL_WIDTH - RIGHT
    points = [place(nth, value) for nth, value in enumerate(panel.values) if value is not None]
    joined = " ".join(f"{x},{y}" for x, y in points)
    _, aim = place(0, panel.target)
    last = panel.write(known[-1])
    parts = [
        _text(LEFT, 14, panel.title, "bold"),
        _text(LEFT, 28, f"{last} (target {panel.write(panel.target)})"),
        f'<path d="M{LEFT} {aim}H{right}" stroke="{AIM}" stroke-dasharray="4 3"/>',
        f'<polyline points="{joined}" fill="none" stroke="{LINE}" stroke-width="2"/>',
        *(f'<circle cx="{x}" cy="{y}" r="3" fill="{LINE}"/>' for x, y in points),
        _text(LEFT, PANEL_HEIGHT - 8, names[0]),
    ]
    if len(names) > 1:
        parts.append(_text(right, PANEL_HEIGHT - 8, names[-1], anchor="end"))
    return "".join(parts)


def _text(x: int, y: int, words: str, weight: str = "normal", anchor: str = "start") -> str:
    return (
        f'<text x="{x}" y="{y}" fill="{INK}" font-weight="{weight}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )
