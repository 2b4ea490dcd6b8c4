"""Charts: ECharts drawn as SVG, so that colours are the theme's own and change with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui
from nicegui.events import EChartPointClickEventArguments

from imsg_console.widgets.elements import attrs, element, mark_count


@dataclass(frozen=True, slots=True)
class Series:
    """One row of bars."""

    name: str
    colour: str
    """A variable of static/theme.css, such as `--good`."""
    values: tuple[int, ...]


def draw_stacked_bars(
    labels: Sequence[str], series: Sequence[Series], text: str, link: Callable[[Series, int], str] | None = None
) -> ui.echart:
    """Draw stacked bars; `text` is what screen readers read instead.

    `link` says where a bar of a place leads to; an empty address leads nowhere.
    """

    def follow(event: EChartPointClickEventArguments) -> None:
        named = next((bar for bar in series if bar.name == event.series_name), None)
        if link is None or named is None or not 0 <= event.data_index < len(labels):
            return
        if target := link(named, event.data_index):
            ui.navigate.to(target)

    chart = ui.echart(_options(labels, series), on_point_click=follow if link else None, renderer="svg")
    chart.classes("chart")
    return attrs(chart, role="img", aria_label=text)


def _options(labels: Sequence[str], series: Sequence[Series]) -> dict[str, Any]:
    soft, line = "var(--ink-soft)", "var(--line)"
    return {
        "animation": False,
        "textStyle": {"fontFamily": "inherit"},
        "grid": {"left": 4, "right": 4, "top": 12, "bottom": 4, "containLabel": True},
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            "axisPointer": {"type": "shadow", "shadowStyle": {"color": "var(--ink)", "opacity": 0.06}},
            "backgroundColor": "var(--card-high)",
            "borderColor": line,
            "textStyle": {"color": "var(--ink)"},
        },
        "xAxis": {
            "type": "category",
            "data": list(labels),
            "axisTick": {"show": False},
            "axisLine": {"lineStyle": {"color": line}},
            "axisLabel": {"color": soft, "hideOverlap": True},
        },
        "yAxis": {
            "type": "value",
            "minInterval": 1,
            "splitNumber": 3,
            "splitLine": {"lineStyle": {"color": line}},
            "axisLabel": {"color": soft},
        },
        "series": [
            {
                "name": bar.name,
                "type": "bar",
                "stack": "all",
                "barMaxWidth": 28,
                "itemStyle": {"color": f"var({bar.colour})"},
                "emphasis": {"disabled": True},
                "data": list(bar.values),
            }
            for bar in series
        ],
    }


def draw_legend(entries: Sequence[Series], link: Mapping[str, str]) -> None:
    """Draw what the colours mean, with the sums; a name with a link leads to its messages."""
    with element("ul", "legend"):
        for entry in entries:
            with element("li", "side-by-side"):
                element("span", f"legend-swatch tone{entry.colour}")
                target = link.get(entry.name, "")
                if target:
                    mark_count(attrs(element("a", "", entry.name), href=target), sum(entry.values))
                else:
                    element("span", "", entry.name)
                element("strong", "", f"{sum(entry.values):,}")
