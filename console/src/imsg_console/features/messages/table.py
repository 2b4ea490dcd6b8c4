"""The tables of messages: one of recipients, one of requests that open into theirs."""

from collections.abc import Callable, Sequence

from imsg_console.texts import Texts
from imsg_console.widgets.data_table import TICK, DataTable, Head

KIND = """
<span class="messages-kind side-by-side small muted">
  <q-icon :name="props.row.method_icon" class="icon" aria-hidden="true"></q-icon>
  <span>{{ props.row.method_text }}</span>
  <template v-if="props.row.files">
    <q-icon name="attach_file" class="icon" aria-hidden="true"></q-icon>
    <span>{{ props.row.files_text }}</span>
  </template>
  <span v-if="props.row.note" class="messages-note" :data-status="props.row.status">{{ props.row.note }}</span>
</span>
"""

ENDING = """
<q-td v-if="props.colsMap.username" role="cell" class="table-username"><bdi>{{ props.row.who }}</bdi></q-td>
<q-td role="cell" class="table-created">
  <time :datetime="props.row.iso" :title="props.row.full">{{ props.row.at }}</time>
</q-td>
"""

MESSAGE = f"""
<q-tr role="row" :class="['messages-row', {{'is-chosen': props.selected, 'is-gone': props.row.gone}}]">
  {TICK}
  <q-td role="cell" class="table-status">
    <q-chip dense :icon="props.row.status_icon" :label="props.row.status_text" :class="'chip chip-' + props.row.tone" />
    <span v-if="props.row.gone" class="messages-gone">{{{{ props.row.gone_text }}}}</span>
  </q-td>
  <q-td role="cell" class="table-message">
    <a class="messages-link" :href="props.row.href"><bdi>{{{{ props.row.title }}}}</bdi></a>
    {KIND}
  </q-td>
  <q-td role="cell" class="table-to"><bdi>{{{{ props.row.to }}}}</bdi></q-td>
  {ENDING}
</q-tr>
"""

REQUEST = f"""
<q-tr role="row" :class="['messages-row', {{'is-chosen': props.selected}}]">
  {TICK}
  <q-td role="cell" class="table-message">
    <a v-if="props.row.href" class="messages-link" :href="props.row.href"><bdi>{{{{ props.row.title }}}}</bdi></a>
    <button v-else type="button" class="messages-link" :aria-expanded="props.row.opened ? 'true' : 'false'"
      @click="$parent.$emit('open', props.row.id)">
      <q-icon class="icon" aria-hidden="true" :name="props.row.opened ? 'expand_less' : 'expand_more'"></q-icon>
      <bdi>{{{{ props.row.title }}}}</bdi>
    </button>
    {KIND}
  </q-td>
  <q-td role="cell" class="table-to">
    <bdi>{{{{ props.row.to }}}}</bdi>
    <span v-if="props.row.others" class="small muted">{{{{ props.row.others }}}}</span>
  </q-td>
  <q-td role="cell" class="table-status">
    <span class="line messages-counts">
      <q-chip v-for="one in props.row.counts" :key="one.status" dense :icon="one.icon" :label="one.text"
        :class="'chip chip-' + one.tone" />
    </span>
  </q-td>
  {ENDING}
</q-tr>
<q-tr v-if="props.row.opened" role="row" class="messages-opened">
  <q-td role="cell" :colspan="props.cols.length + 1">
    <ul>
      <li v-for="one in props.row.opened" :key="one.id" class="line">
        <a :href="one.href"><bdi>{{{{ one.to }}}}</bdi></a>
        <q-chip dense :icon="one.status_icon" :label="one.status_text" :class="'chip chip-' + one.tone" />
        <span v-if="one.note" class="messages-note" :data-status="one.status">{{{{ one.note }}}}</span>
      </li>
    </ul>
    <a :href="props.row.all">{{{{ props.row.all_text }}}}</a>
  </q-td>
</q-tr>
"""


def draw_messages(texts: Texts, *, everybody: bool, on_choice: Callable[[Sequence[str]], None]) -> DataTable:
    """Draw the table of recipients; `on_choice` is told the ids that are ticked."""
    heads = [
        _head(texts, "status", "status_text"),
        _head(texts, "message", "title"),
        _head(texts, "to", "to"),
        *_list_last_heads(texts, everybody=everybody),
    ]
    return DataTable(heads, MESSAGE, pick=texts("messages.pick_all"), on_choice=on_choice)


def draw_requests(texts: Texts, *, everybody: bool, on_choice: Callable[[Sequence[str]], None]) -> DataTable:
    """Draw the table of requests; a row says `open` with its id where somebody wants its recipients."""
    heads = [
        _head(texts, "message", "title"),
        _head(texts, "to", "recipients"),
        _head(texts, "status", "failed"),
        *_list_last_heads(texts, everybody=everybody),
    ]
    return DataTable(heads, REQUEST, pick=texts("messages.pick_all"), on_choice=on_choice)


def _list_last_heads(texts: Texts, *, everybody: bool) -> list[Head]:
    who = [_head(texts, "username", "who")] if everybody else []
    return [*who, _head(texts, "created", "iso")]


def _head(texts: Texts, name: str, field: str) -> Head:
    """Make a head that sorts the page in view: the API lists the newest first, and in no other order."""
    label = texts(f"messages.column_{name}")
    return Head(name, label, field, hint=texts("messages.sort_page", column=label))
