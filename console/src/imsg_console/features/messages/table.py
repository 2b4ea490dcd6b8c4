"""The table of messages: rows changed in place, chosen by tick, and cards where the window is narrow."""

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui
from nicegui.events import TableSelectionEventArguments

from imsg_console.texts import Texts

HEADER = """
<tr role="row">
  <th v-if="props.cols[0].pickable" role="columnheader" scope="col" class="messages-tick">
    <label class="messages-tick-area">
      <span class="messages-tick-name" aria-hidden="true">{{ props.cols[0].pick }}</span>
      <input type="checkbox" :aria-label="props.cols[0].pick" :checked="props.selected === true"
        :indeterminate.prop="props.selected === null" @change="props.selected = $event.target.checked">
    </label>
  </th>
  <th v-for="col in props.cols" :key="col.name" role="columnheader" scope="col" :class="'messages-' + col.name">
    {{ col.label }}
  </th>
</tr>
"""

BODY = """
<tr role="row" :class="['messages-row', {'is-chosen': props.selected, 'is-gone': props.row.gone}]">
  <td v-if="props.cols[0].pickable" role="cell" class="messages-tick">
    <label class="messages-tick-area">
      <input type="checkbox" :aria-label="props.row.pick" :checked="props.selected"
        @change="props.selected = $event.target.checked">
    </label>
  </td>
  <td role="cell" class="messages-status">
    <span :class="'chip chip-' + props.row.tone">
      <i class="q-icon material-icons" aria-hidden="true">{{ props.row.status_icon }}</i
      ><span>{{ props.row.status_text }}</span>
    </span>
    <span v-if="props.row.gone" class="messages-gone">{{ props.cols[0].gone }}</span>
  </td>
  <td role="cell" class="messages-message">
    <a class="messages-link" :href="props.row.href"><bdi>{{ props.row.title }}</bdi></a>
    <span class="messages-kind">
      <i class="q-icon material-icons" aria-hidden="true">{{ props.row.method_icon }}</i>{{ props.row.method_text
      }}<template v-if="props.row.files">
      <i class="q-icon material-icons" aria-hidden="true">attach_file</i>{{ props.row.files_text }}</template
      ><span v-if="props.row.note" class="messages-note" :data-status="props.row.status"> {{ props.row.note }}</span>
    </span>
  </td>
  <td role="cell" class="messages-to"><bdi>{{ props.row.to }}</bdi></td>
  <td v-if="props.cols.length > 4" role="cell" class="messages-username"><bdi>{{ props.row.who }}</bdi></td>
  <td role="cell" class="messages-created">
    <time :datetime="props.row.iso" :title="props.row.full">{{ props.row.at }}</time>
  </td>
</tr>
"""
"""Vue fills in text alone, so nothing that somebody sent is read as HTML. Roles stand, since cards undo the table's."""


class MessageTable:
    """Draws rows; `on_choice` is told the ids that are ticked."""

    def __init__(self, texts: Texts, *, everybody: bool, on_choice: Callable[[Sequence[str]], None]) -> None:
        names = ["status", "message", "to", *(["username"] if everybody else []), "created"]
        columns: list[dict[str, Any]] = [
            {"name": name, "label": texts(f"messages.column_{name}"), "field": name, "align": "left"} for name in names
        ]
        columns[0] |= {
            "pickable": True,
            "pick": texts("messages.pick_all"),
            "gone": texts("messages.no_longer_fits"),
        }
        self._on_choice = on_choice
        self._table = ui.table(
            rows=[],
            columns=columns,
            row_key="id",
            selection="multiple",
            pagination={"rowsPerPage": 0},
            on_select=self._chosen,
        )
        self._table.props["table-class"] = "messages-scroll"
        self._table.props["title"] = None
        self._table.props("flat hide-pagination hide-bottom separator=none wrap-cells")
        self._table.classes("messages-table")
        self._table.add_slot("header", HEADER)
        self._table.add_slot("body", BODY)

    def show(self, rows: Sequence[dict[str, Any]]) -> None:
        """Show other rows; nothing is ticked any more."""
        self._table.selected = []
        self._table.rows = list(rows)
        self._on_choice(())

    def change(self, rows: Sequence[dict[str, Any]]) -> None:
        """Show the same rows as they are now: ticks, focus and place stay."""
        self._table.rows = list(rows)

    def untick(self) -> None:
        """Take every tick away."""
        self._table.selected = []
        self._on_choice(())

    def hide(self, *, hidden: bool) -> None:
        """Make room for what stands here when there are no messages."""
        self._table.set_visibility(not hidden)

    def _chosen(self, event: TableSelectionEventArguments) -> None:
        self._on_choice([str(row["id"]) for row in event.selection])
