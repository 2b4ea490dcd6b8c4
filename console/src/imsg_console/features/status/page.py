"""What runs and what is wrong, the worst first, each fault with its next step."""

from imsg_console.findings import LEVELS, MAX_WORDS, TARGETS
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.elements import heading
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.live import refresh_every
from imsg_console.widgets.paging import Row
from imsg_console.widgets.tables import Column, Table

REFRESH_S = 5.0


async def show(view: View) -> None:
    """Draw the page."""
    page_head(view.t("layout.status"), view.t("status.lead"))
    tables = StatusTables(view)
    await tables.refresh()
    refresh_every(REFRESH_S, tables.refresh)


class StatusTables:
    """The findings, and the replicas of each service."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t
        t = view.t
        self._findings = Table(
            view,
            t("layout.status"),
            [
                Column("level", t("status.level"), self._level),
                Column("part", t("status.part"), self._part, is_main=True),
                Column("state", t("status.state"), lambda row: _write(row["state"])),
                Column("remedy", t("status.remedy"), lambda row: _write(row["remedy"] or "")),
            ],
            key="key",
        )
        heading(2, t("status.replicas"))
        self._replicas = Table(
            view,
            t("status.replicas"),
            [
                Column("service", t("status.service"), lambda row: line(row["service"], 64), is_main=True),
                Column("replica", t("status.replica"), lambda row: line(row["replica"], 128)),
                Column("version", t("status.version"), lambda row: line(row["version"], 64)),
                Column("since", t("status.since"), lambda row: view.times.short(row["since"])),
                Column("lacks", t("status.lacks"), lambda row: ", ".join(row["lacks"]) or "—"),
            ],
            key="key",
        )

    async def refresh(self) -> None:
        """Load what there is. Raises ApiError, SessionOver."""
        answer = await self._view.api.get("/api/v2/status")
        self._findings.show(
            [{**row, "key": f"{row['part']} {row['name']} {n}"} for n, row in enumerate(answer["findings"])]
        )
        self._replicas.show([{**row, "key": f"{row['service']} {row['replica']}"} for row in answer["replicas"]])

    def _level(self, row: Row) -> Cell:
        symbol, tone = LEVELS[row["level"]]
        return cells.chip(self._t(f"status.level_{row['level']}"), symbol, tone)

    def _part(self, row: Row) -> Cell:
        title = line(row["title"], 128)
        return cells.link(title, target) if (target := TARGETS.get(row["part"])) else title


def _write(words: str) -> str:
    """Write words of a finding; what marks a command in a terminal is left out."""
    return line(words.replace("`", ""), MAX_WORDS)


PAGE = Page("/status", "status", Group.ADMIN, show, icon="monitor_heart")
