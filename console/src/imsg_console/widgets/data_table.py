"""A table of NiceGUI's with what all of ours have: heads that stay and sort, rows to tick, cards on a phone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui
from nicegui.events import TableSelectionEventArguments

Row = dict[str, Any]

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

TICK = """
<q-td role="cell" class="table-tick">
  <label class="table-tick-area">
    <input type="checkbox" :aria-label="props.row.pick" :checked="props.selected"
      @change="props.selected = $event.target.checked">
  </label>
</q-td>
"""
"""The cell of a row that can be ticked: `pick` says what for."""


@dataclass(frozen=True, slots=True)
class Head:
    """A column: its name is also the class of its cells, `table-NAME`."""

    name: str
    label: str
    field: str = ""
    """What it is sorted by; empty: it is not."""
    hint: str = ""
    """What sorting by it does, where that does not go without saying."""
    align: str = "left"


class DataTable:
    """Draws rows by a Vue template, which fills in text alone: nothing in a row is read as HTML.

    `body` draws one row (`props.row`); `pick` names the box that ticks all, and without it nothing can be ticked.
    """

    def __init__(
        self,
        heads: Sequence[Head],
        body: str,
        *,
        pick: str = "",
        on_choice: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        self._on_choice = on_choice
        columns: list[dict[str, Any]] = [
            {
                "name": head.name,
                "label": head.label,
                "field": head.field or head.name,
                "sortable": bool(head.field),
                "align": head.align,
                "hint": head.hint or None,
            }
            for head in heads
        ]
        columns[0]["pick"] = pick
        self.table = ui.table(
            rows=[],
            columns=columns,
            row_key="id",
            selection="multiple" if pick else None,
            pagination={"rowsPerPage": 0},
            on_select=self._choose,
        )
        self.table.props("flat hide-pagination hide-bottom separator=none wrap-cells binary-state-sort")
        self.table.props["title"] = None
        self.table.classes("data-table")
        self.table.add_slot("header", HEADER)
        self.table.add_slot("body", body)

    def show(self, rows: Sequence[Row]) -> None:
        """Show other rows; nothing is ticked any more."""
        self.table.selected = []
        self.table.rows = list(rows)
        self._tell(())

    def change(self, rows: Sequence[Row]) -> None:
        """Show the same rows as they are now: ticks, focus, order and place stay."""
        self.table.rows = list(rows)

    def untick(self) -> None:
        """Take every tick away."""
        self.table.selected = []
        self._tell(())

    def hide(self, *, hidden: bool) -> None:
        """Make room for what stands here when there is nothing to list."""
        self.table.set_visibility(not hidden)

    def hear(self, event: str, handler: Callable[[Any], object]) -> None:
        """Hear what a row's template says by `$parent.$emit(event, value)`."""
        self.table.on(event, lambda given: handler(given.args))

    def _choose(self, event: TableSelectionEventArguments) -> None:
        self._tell([str(row["id"]) for row in event.selection])

    def _tell(self, ids: Sequence[str]) -> None:
        if self._on_choice is not None:
            self._on_choice(ids)


def read_word(given: object) -> str:
    """Read the one word that a row's template has said."""
    first = given[0] if isinstance(given, Sequence) and not isinstance(given, str) and given else given
    return first if isinstance(first, str) else ""
