"""The dashboard for Grafana, of the metrics that the services have: `make generate` writes it."""

from collections.abc import Mapping
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef, GridPos

SOURCE = "${datasource}"
"""A variable names the Prometheus, so that the file fits every Grafana."""

WIDTH, HEIGHT, COLUMNS = 8, 8, 3
"""Of a panel, in Grafana's grid of 24 columns."""


@dataclass(frozen=True, slots=True)
class Graph:
    """One panel."""

    title: str
    queries: Mapping[str, str]
    """Legend → expression."""
    unit: str = "short"
    description: str = ""


def _percentiles(metric: str, by: str) -> Mapping[str, str]:
    rate = f"sum by (le, {by}) (rate({metric}_bucket[$__rate_interval]))"
    return {f"{{{{{by}}}}} p{q}": f"histogram_quantile(0.{q}, {rate})" for q in (50, 99)}


GRAPHS: Mapping[str, tuple[Graph, ...]] = {
    "Requests": (
        Graph(
            "Requests by errorCode",
            {"{{code}}": "sum by (code) (rate(imsg_requests_total[$__rate_interval]))"},
            "reqps",
            "0 is a success; docs/operations.md explains the others.",
        ),
        Graph("Duration of requests", _percentiles("imsg_request_duration_seconds", "route"), "s"),
        Graph(
            "Log-ins",
            {"{{result}}": "sum by (result) (rate(imsg_logins_total[$__rate_interval]))"},
            "reqps",
        ),
    ),
    "Delivery": (
        Graph(
            "Attempts by result",
            {
                "{{method}} {{provider}} {{result}}": (
                    "sum by (method, provider, result) (rate(imsg_deliveries_total[$__rate_interval]))"
                )
            },
            "ops",
        ),
        Graph("Acceptance to sent", _percentiles("imsg_accept_to_sent_seconds", "method"), "s"),
        Graph("Provider calls", _percentiles("imsg_delivery_duration_seconds", "method"), "s"),
        Graph(
            "Sent to receipt",
            _percentiles("imsg_receipt_lag_seconds", "provider"),
            "s",
            "Only channels whose provider sends receipts.",
        ),
        Graph("Provider calls under way", {"{{method}} {{lane}}": "sum by (method, lane) (imsg_provider_inflight)"}),
        Graph(
            "Circuit breaker",
            {"{{method}}": "max by (method) (imsg_breaker_open)"},
            description="1 while the provider lets nothing through.",
        ),
    ),
    "Queues": (
        Graph("Jobs waiting", {"{{method}}": "max by (method) (imsg_queue_depth)"}),
        Graph(
            "Jobs waiting by lane",
            {"{{method}} {{lane}}": "max by (method, lane) (imsg_lane_depth)"},
            description="Codes in priority, single messages in normal, lists in bulk.",
        ),
        Graph(
            "Oldest message without an attempt",
            {"{{method}}": "max by (method) (imsg_queue_oldest_age_seconds)"},
            "s",
            "Measured once a minute.",
        ),
        Graph("Dead letters", {"{{method}}": "sum by (method) (increase(imsg_dead_letters_total[1h]))"}),
    ),
    "Services": (
        Graph("Replicas that are ready", {"{{service}}": "sum by (service) (imsg_ready)"}),
        Graph(
            "Events recorded by history", {"events": "sum(rate(imsg_history_events_total[$__rate_interval]))"}, "ops"
        ),
        Graph("Broker blocks publishers", {"blocked": "max(imsg_broker_blocked)"}),
    ),
}
"""Row → its panels."""


def write() -> str:
    """Write the dashboard as Grafana imports it."""
    made = (
        dashboard.Dashboard("iMSG")
        .uid("imsg")
        .description("Requests, delivery, queues and services of iMSG.")
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    number, top = 1, 0
    for title, graphs in GRAPHS.items():
        made.with_row(dashboard.Row(title).id(number).grid_pos(GridPos(h=1, w=WIDTH * COLUMNS, x=0, y=top)))
        number, top = number + 1, top + 1
        for place, graph in enumerate(graphs):
            row, column = divmod(place, COLUMNS)
            at = GridPos(h=HEIGHT, w=WIDTH, x=column * WIDTH, y=top + row * HEIGHT)
            made.with_panel(_panel(graph).id(number).grid_pos(at))
            number += 1
        top += HEIGHT * -(-len(graphs) // COLUMNS)
    return f"{JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(made.build())}\n"


def _panel(graph: Graph) -> timeseries.Panel:
    panel = timeseries.Panel().title(graph.title).unit(graph.unit).min(0).fill_opacity(10)
    panel.legend(common.VizLegendOptions().show_legend(show_legend=True)).tooltip(common.VizTooltipOptions())
    panel.datasource(DataSourceRef(type_val="prometheus", uid=SOURCE))
    if graph.description:
        panel.description(graph.description)
    for letter, (legend, expression) in zip("ABCD", graph.queries.items(), strict=False):
        panel.with_target(prometheus.Dataquery().ref_id(letter).expr(expression).legend_format(legend).range())
    return panel
