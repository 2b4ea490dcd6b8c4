"""Downloads of rows, as a workbook or as CSV, which are written while they are downloaded."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from functools import partial

from nicegui import ui

from imsg_console.texts import Texts
from imsg_console.view import View
from imsg_console.widgets import csvs, xlsx
from imsg_console.widgets.elements import act_in_page, attrs, button, element

Rows = Iterable[Sequence[object]]

XLSX, CSV = "xlsx", "csv"

MEDIA_TYPES = {XLSX: xlsx.MEDIA_TYPE, CSV: csvs.MEDIA_TYPE}


def write(
    kind: str, heading: Sequence[str], batches: AsyncIterable[Rows], texts: Sequence[int]
) -> AsyncGenerator[bytes]:
    """Yield the bytes of a file; `texts` are the columns whose cells a workbook formats as text."""
    return xlsx.stream(heading, batches, texts) if kind == XLSX else csvs.stream(heading, batches)


def offer(view: View, filename: str, content: Callable[[], AsyncIterator[bytes]]) -> str:
    """Offer a file for one download; return its address. `content` is a call of `write`."""
    return view.files.offer(view.session.key, filename, MEDIA_TYPES[filename.rpartition(".")[2]], content)


def offer_rows(
    view: View,
    name: str,
    heading: Sequence[str],
    rows: Rows | AsyncIterable[Rows],
    *,
    kind: str = XLSX,
    texts: Sequence[int] | None = None,
) -> str:
    """Offer rows, or batches of rows that are yet to come. `texts` are the columns of text; None: all of them."""
    batches = rows if isinstance(rows, AsyncIterable) else _yield_once(rows)
    columns = range(len(heading)) if texts is None else texts
    return offer(view, f"{name}.{kind}", partial(write, kind, heading, batches, columns))


async def _yield_once(rows: Rows) -> AsyncIterator[Rows]:
    yield rows


def download_button(t: Texts, label: str, on_choose: Callable[[str], object]) -> ui.button:
    """Draw a button that asks for the kind of the file; `on_choose` gets `xlsx` or `csv`."""
    made = attrs(button(label, lambda: None, symbol="download"), aria_haspopup="dialog")

    def choose(kind: str) -> None:
        menu.close()
        on_choose(kind)

    with made, attrs(ui.menu().classes("menu"), role="dialog", aria_label=label) as menu:
        for kind in MEDIA_TYPES:
            with ui.item(on_click=act_in_page(partial(choose, kind))).props('clickable role="button"'):
                element("span", "", t(f"files.as_{kind}"))
    return made
