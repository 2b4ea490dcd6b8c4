"""The table of every list: NiceGUI's, with one template for all rows; on a phone each row is a card.

The header and the rows have templates of their own, since Quasar's have neither names for the boxes that choose rows
nor buttons to sort by.
"""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments, TableSelectionEventArguments

from imsg_console.view import View
from imsg_console.widgets.cells import Cell, lines
from imsg_console.widgets.elements import attrs, element, icon, redraw
from imsg_console.widgets.paging import Row

HEADER = """
<q-tr role="row">
  <q-th v-if="props.cols[0].pick" role="columnheader" scope="col" class="table-tick">
    <label class="table-tick-area">
      <span class="table-tick-name" aria-hidden="true">{{ props.cols[0].pick }}</span>
      <input type="checkbox" :aria-label="props.cols[0].pick" :checked="props.selected === true"
        :indeterminate.prop="props.selected === null" @change="props.selected = $event.target.checked">
    </label>
  </q-th>
  <q-th v-for="col in props.cols" :key="col.name" :props="props" role="columnheader" scope="col"
    :class="'table-' + col.name">
    <button v-if="col.sortable" type="button" class="table-sort" :title="col.hint">{{ col.label }}</button>
    <template v-else>{{ col.label }}</template>
  </q-th>
</q-tr>
"""

WORDS = """
<bdi v-if="one.parts"><span v-for="(part, p) in one.parts" :key="p" class="address-part">{{ part }}</span></bdi>
<bdi v-else>{{ one.text }}</bdi>
""".strip()

CLICK = """(event) => {
  if (event.target.closest('a, button, label, input') || event.view.getSelection().toString()) return;
  event.currentTarget.querySelector('.table-link')?.click();
}"""
"""A click anywhere on a row opens it, as its link does."""

PIECES = """
<div v-for="(line, at) in LINES" :key="at" class="table-line">
  <template v-for="(one, n) in line" :key="n">
    <a v-if="one.href" class="table-link" :href="one.href" :data-rows="one.rows">WORDS</a>
    <button v-else-if="one.opens" type="button" class="table-link" :aria-expanded="props.row.opened ? 'true' : 'false'"
      @click="$parent.$emit('act', 'open', props.row.id)">
      <q-icon class="icon" aria-hidden="true" :name="props.row.opened ? 'expand_less' : 'expand_more'"></q-icon>
      WORDS
    </button>
    <q-chip v-else-if="one.tone" dense :icon="one.icon" :label="one.text" :class="'chip chip-' + one.tone"
      :title="one.title"></q-chip>
    <q-btn v-else-if="one.action" no-caps unelevated :icon="one.icon" :label="one.text" :aria-label="one.name"
      :class="['button', 'button-' + one.kind]" @click="$parent.$emit('act', one.action, props.row.id)"></q-btn>
    <q-btn v-else-if="one.menu" flat round dense icon="more_vert" class="more" :aria-label="one.name"
      aria-haspopup="dialog" :data-menu="props.row.id" @click="$parent.$emit('menu', props.row.id)"></q-btn>
    <div v-else-if="one.meter" class="usage">
      <div class="line justify-between small">
        <span class="muted">{{ one.text }}</span><span :class="one.level + '-text'">{{ one.meter }}</span>
      </div>
      <q-linear-progress :value="one.share" size="0.5rem" :class="['bar', 'bar-' + one.level]" role="meter"
        :aria-label="one.text" :aria-valuetext="one.meter"></q-linear-progress>
    </div>
    <span v-else :class="one.classes" :title="one.title">
      <q-icon v-if="one.icon" :name="one.icon" class="icon" aria-hidden="true"></q-icon>WORDS
    </span>
  </template>
</div>
""".replace("WORDS", WORDS)

FOCUS_BACK = "() => document.activeElement === document.body && document.querySelector(BUTTON)?.focus()"
"""The button of a menu gets the focus back, where nothing else has it: it was drawn anew meanwhile."""

BODY = f"""
<q-tr role="row" :data-key="props.row.id" @click="{CLICK}"
  :class="['table-row', props.row.classes, {{'is-chosen': props.selected}}]">
  <q-td v-if="props.cols[0].pick" role="cell" class="table-tick">
    <label class="table-tick-area">
      <input type="checkbox" :aria-label="props.row.pick" :checked="props.selected"
        @change="props.selected = $event.target.checked">
    </label>
  </q-td>
  <q-td v-for="col in props.cols" :key="col.name" :role="col.main ? 'rowheader' : 'cell'" :data-label="col.label"
    :class="'table-' + col.name">
    {PIECES.replace("LINES", "props.row.cells[col.name]")}
  </q-td>
</q-tr>
<q-tr v-if="props.row.opened" role="row" class="table-opened">
  <q-td role="cell" :colspan="props.cols.length + 1">
    {PIECES.replace("LINES", "props.row.opened")}
  </q-td>
</q-tr>
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column. Its cells have the class `table-NAME`."""

    name: str
    label: str
    cell: Callable[[Row], Cell]
    sort: Callable[[Row], Any] | None = None
    """By what the rows of a page are sorted; None: the column does not sort."""
    is_main: bool = False
    """Whether it names the row: the heading of its card on a phone."""
    hint: str = ""
    """The tooltip of the button that sorts."""


Actions = Mapping[str, Callable[[Row], object]]
"""Name of a cell's button → what it does with the row; a coroutine is awaited."""


class Table:
    """Draws rows of a list, which can be sorted, chosen and opened."""

    def __init__(
        self,
        view: View,
        caption: str,
        columns: Sequence[Column],
        *,
        key: str,
        actions: Actions | None = None,
        on_choose: Callable[[], None] | None = None,
        name: Callable[[Row], str] | None = None,
    ) -> None:
        """`key` is the field that tells rows apart. With `on_choose` rows can be chosen; `name` names one for that."""
        self._t, self._columns, self._key = view.t, columns, key
        self._actions, self._on_choose = actions or {}, on_choose
        self._name = name or (lambda row: str(row[key]))
        self.rows: Sequence[Row] = ()
        self.chosen: dict[str, Row] = {}
        """Rows that are chosen, on every page, by their key."""
        self._opened: dict[str, Cell] = {}
        heads: list[dict[str, Any]] = [
            {
                "name": column.name,
                "field": column.name,
                "label": column.label,
                "sortable": column.sort is not None,
                "align": "left",
                "hint": column.hint or None,
                "main": column.is_main,
            }
            for column in columns
        ]
        heads[0]["pick"] = "" if on_choose is None else view.t("layout.select_all")
        self.element = ui.table(
            rows=[],
            columns=heads,
            selection=None if on_choose is None else "multiple",
            pagination={"rowsPerPage": 0},
            on_select=self._choose,
        )
        self.element.props("flat hide-pagination hide-bottom separator=none wrap-cells").classes("data-table")
        attrs(self.element, role="region", aria_label=caption)
        self.element.props["title"] = None
        self.element.add_slot("header", HEADER)
        self.element.add_slot("body", BODY)
        self.element.on("act", self._act)
        self.element.on("menu", self._open_menu)
        self._menu_place = element("div")
        """Menus are no part of the rows: NiceGUI draws those anew whenever anything on the page changes."""

    def show(self, rows: Sequence[Row]) -> None:
        """Show rows. The choice, the order and opened rows stay."""
        self.rows = rows
        for row in rows:
            if (identity := str(row[self._key])) in self.chosen:
                self.chosen[identity] = row
        drawn = [self._draw(row) for row in rows]
        if drawn != self.element.rows:
            self.element.rows = drawn

    def open(self, row: Row, content: Cell) -> None:
        """Show more of a row below it; None closes it."""
        self._opened.pop(str(row[self._key]), None)
        if content is not None:
            self._opened[str(row[self._key])] = content
        self.show(self.rows)

    def is_open(self, row: Row) -> bool:
        """Return whether more of a row is shown."""
        return str(row[self._key]) in self._opened

    def close_all(self) -> None:
        """Close every row; the next `show` draws them so."""
        self._opened.clear()

    def choose_none(self) -> None:
        """Clear the selection."""
        self.element.selected = []
        self._choose_ids(())

    def _draw(self, row: Row) -> dict[str, Any]:
        identity = str(row[self._key])
        return {
            "id": identity,
            "classes": row.get("row_classes", ""),
            "pick": self._t("layout.select_row", name=self._name(row)),
            "opened": lines(self._opened[identity]) if identity in self._opened else None,
            "cells": {column.name: lines(column.cell(row)) for column in self._columns},
            **{column.name: column.sort(row) for column in self._columns if column.sort is not None},
        }

    def _choose(self, event: TableSelectionEventArguments) -> None:
        self._choose_ids([str(row.get("id")) for row in event.selection])

    def _choose_ids(self, identities: Sequence[str]) -> None:
        known = self.chosen | {str(row[self._key]): row for row in self.rows}
        self.chosen = {identity: known[identity] for identity in identities if identity in known}
        if self._on_choose is not None:
            self._on_choose()

    async def _act(self, event: GenericEventArguments) -> None:
        """Run the action of a button that a row's template has drawn."""
        name, identity = event.args
        if (row := self._find(identity)) is not None and name in self._actions:
            await self._run(name, row)

    async def _run(self, name: str, row: Row) -> None:
        with self.element.client:  # the table's place may be cleared meanwhile
            result = self._actions[name](row)
            if inspect.isawaitable(result):
                await result

    def _open_menu(self, event: GenericEventArguments) -> None:
        """Open the menu of a row at its button."""
        if (row := self._find(str(event.args))) is None:
            return
        pieces = (piece for column in self._columns for line in lines(column.cell(row)) for piece in line)
        if (made := next((piece for piece in pieces if piece.get("menu")), None)) is None:
            return
        with redraw(self._menu_place), ui.menu(value=True).props("no-parent-event").classes("menu") as menu:
            attrs(menu, role="dialog", aria_label=made["name"])
            opener = f"#{self.element.html_id} [data-menu={json.dumps(event.args, ensure_ascii=False)}]"
            attrs(menu, target=opener)
            menu.on("hide", js_handler=FOCUS_BACK.replace("BUTTON", json.dumps(opener)))

            async def choose(name: str) -> None:
                menu.close()
                await self._run(name, row)

            for entry in made["menu"]:
                with ui.item(on_click=partial(choose, entry["action"])).props('clickable role="button"') as item:
                    icon(entry["icon"])
                    element("span", "", entry["text"])
                item.classes("menu-entry")

    def _find(self, identity: str) -> Row | None:
        return next((row for row in self.rows if str(row[self._key]) == identity), None)
