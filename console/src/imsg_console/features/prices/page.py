"""The prices of providers: listed, added and removed by administrators."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from nicegui import ui

from imsg_channels import METHODS
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells, exports
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.dialogs import confirm
from imsg_console.widgets.elements import button
from imsg_console.widgets.exports import download_button
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.forms import FieldMaker, Form, ask_form
from imsg_console.widgets.notices import toast
from imsg_console.widgets.paged_table import PagedTable
from imsg_console.widgets.paging import Loaded, Position, Row
from imsg_console.widgets.tables import Column

PATH = "/api/v2/prices"
FIELDS = ("method", "provider", "country", "per", "amount", "currency", "from")
WITH_SEGMENTS = "sms"
MAX_SHOWN = 64


async def show(view: View) -> None:
    """Draw the page."""
    prices = Prices(view)
    prices.draw()
    await prices.table.load()


class Prices:
    """The list."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t
        self._rows: Sequence[Row] = ()
        self._etag = ""

    def draw(self) -> None:
        """Draw everything but the rows."""
        t = self._t
        with page_head(t("layout.prices"), t("prices.lead", zone=self._view.timezone)):
            download_button(t, t("prices.export"), self._export)
            if self._view.may("PUT /prices"):
                button(t("prices.add"), self._add, kind="main", symbol="add")
        self.table = PagedTable(
            self._view,
            t("layout.prices"),
            [
                Column("provider", t("prices.provider"), self._provider, lambda row: row["provider"], is_main=True),
                Column("country", t("prices.country"), self._country, lambda row: row["country"] or ""),
                Column("amount", t("prices.amount"), self._amount, lambda row: float(row["amount"])),
                Column("from", t("prices.from"), lambda row: row["from"], lambda row: row["from"]),
                Column("actions", t("prices.actions"), self._actions),
            ],
            self._load,
            key="key",
            texts="prices",
            symbol="sell",
            actions={"remove": self._remove},
        )

    async def _load(self, _: Position) -> Loaded:
        answer = await self._view.api.get(PATH)
        self._etag = answer["etag"]
        self._rows = [{**price, "key": number} for number, price in enumerate(answer["prices"])]
        return Loaded(self._rows, None)

    def _provider(self, row: Row) -> Cell:
        return [cells.text(line(row["provider"], MAX_SHOWN)), cells.method(self._t, row["method"])]

    def _country(self, row: Row) -> str:
        if row["method"] != WITH_SEGMENTS:
            return "–"
        return line(row["country"] or self._t("prices.everywhere"), MAX_SHOWN)

    def _amount(self, row: Row) -> str:
        return self._t(f"prices.per_{row['per']}_of", amount=line(f"{row['amount']} {row['currency']}", MAX_SHOWN))

    def _actions(self, row: Row) -> Cell:
        if not self._view.may("PUT /prices"):
            return None
        name = self._t("prices.remove_of", name=self._name(row))
        return cells.button("remove", self._t("prices.remove"), name, icon="delete", kind="quiet")

    def _name(self, row: Row) -> str:
        return line(" ".join(filter(None, (row["provider"], row["country"], row["from"]))), MAX_SHOWN)

    async def _add(self) -> None:
        t = self._t
        today = datetime.now(ZoneInfo(self._view.timezone)).date()
        per = {name: t(f"prices.per_{name}") for name in ("segment", "message")}

        def prepare(form: Form) -> None:
            def show_country() -> None:
                for name in ("country", "per"):
                    form.input(name).set_visibility(form.input("method").value == WITH_SEGMENTS)

            form.input("method").on_value_change(show_country)

        async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
            price = {name: value.strip() or None for name, value in form.read().items()}
            prices = [*self._list_prices(), {"per": "message", **price}]
            return await self._view.api.put(PATH, {"prices": prices}, self._etag)

        known = {"method": WITH_SEGMENTS, "per": "segment", "currency": "CNY", "from": today.isoformat()}
        make, missing = FieldMaker(t, "prices.", known), t("prices.missing")
        fields = [
            make("method", "choice", options={name: method_name(t, name) for name in METHODS}),
            make("provider", max_length=64, empty=missing),
            make("country", max_length=2),
            make("per", "choice", options=per),
            make("amount", max_length=16, empty=missing),
            make("currency", max_length=3, empty=missing),
            make("from", "date", empty=missing),
        ]
        title, text = t("prices.add_title"), t("prices.add_text")
        if await ask_form(self._view, title, fields, t("prices.add_action"), save, text=text, prepare=prepare):
            toast(t("prices.added"))
            await self.table.load()

    async def _remove(self, row: Row) -> None:
        t, name = self._t, self._name(row)
        title, text = t("prices.remove_title", name=name), t("prices.remove_text")
        if await confirm(self._view, title, text, t("prices.remove_action")):
            left = [price for price in self._list_prices() if price != _read_price(row)]
            await self._view.api.put(PATH, {"prices": left}, self._etag)
            toast(t("prices.removed", name=name))
            await self.table.load()

    def _list_prices(self) -> list[dict[str, Any]]:
        return [_read_price(row) for row in self._rows]

    def _export(self, kind: str) -> None:
        rows = [[price[name] or "" for name in FIELDS] for price in self._list_prices()]
        ui.navigate.to(exports.offer_rows(self._view, f"iMSG {self._t('layout.prices')}", FIELDS, rows, kind=kind))


def _read_price(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in FIELDS}


PAGE = Page("/prices", "prices", Group.ADMIN, show, icon="sell")
