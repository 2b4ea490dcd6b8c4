"""Bars as SVG, drawn by hand: every round a dot, the median a bar, what is to be reached a line."""

from xml.sax.saxutils import escape

from imsg_bench.figures import round_figure
from imsg_bench.result import Result, Series

WIDTH, LEFT, ROW, TOP = 720, 260, 34, 44
BAR, DOT, GOAL, TEXT, FAINT = "#2f6f8f", "#0d2b3a", "#c0392b", "#222222", "#777777"


def bars(result: Result) -> str:
    """Draw a result's series, those of one unit to one scale."""
    height = TOP + ROW * len(result.series) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-size="15" fill="{TEXT}">{escape(f"{result.key}. {result.title}")}</text>',
    ]
    for number, series in enumerate(result.series):
        parts += _row(series, _full(result, series.unit), TOP + ROW * number)
    return "\n".join([*parts, "</svg>", ""])


def _full(result: Result, unit: str) -> float:
    """Return the value that fills the width: the highest of all series with the unit, goals included."""
    values = [
        value
        for series in result.series
        if series.unit == unit
        for value in (*series.values, series.at_least or 0.0, series.at_most or 0.0)
    ]
    return max(values) or 1.0


def _row(series: Series, full: float, y: int) -> list[str]:
    def at(value: float) -> float:
        return LEFT + (WIDTH - LEFT - 110) * value / full

    middle, centre = at(series.middle), y + ROW / 2
    parts = [
        f'<text x="{LEFT - 10}" y="{centre + 4}" text-anchor="end" font-size="13">{escape(series.name)}</text>',
        f'<rect x="{LEFT}" y="{y + 7}" width="{middle - LEFT:.1f}" height="{ROW - 14}" fill="{BAR}" rx="2"/>',
        *(f'<circle cx="{at(value):.1f}" cy="{centre}" r="2.5" fill="{DOT}"/>' for value in series.values),
    ]
    goal = series.at_least if series.at_least is not None else series.at_most
    if goal is not None:
        x = at(goal)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y + 2}" y2="{y + ROW - 2}" stroke="{GOAL}"/>')
    end = max(at(max(series.values)), at(goal or 0.0)) + 8
    label = f"{round_figure(series.middle)} {series.unit}".strip() + (f" ({series.goal})" if goal is not None else "")
    return [*parts, f'<text x="{end:.1f}" y="{centre + 4}" font-size="13" fill="{FAINT}">{escape(label)}</text>']
