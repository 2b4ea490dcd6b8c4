"""The forms: one address, or a file of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from nicegui import ui

from imsg_channels import METHODS
from imsg_console import spreadsheets
from imsg_console.client import ApiError
from imsg_console.features.suppressions import sheet
from imsg_console.readers import UnreadableError
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets import csvs, xlsx
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.dialogs import dialog
from imsg_console.widgets.elements import attrs, button, element
from imsg_console.widgets.fields import choice_field, sound, text_field
from imsg_console.widgets.formats import XLSX
from imsg_console.widgets.notices import notice, toast
from imsg_console.widgets.reading import run_reader
from imsg_console.widgets.uploads import drop_zone
from imsg_console.widgets.work import Work, progress, start

PATH = "/api/v2/suppressions"

MOST_BYTES = 20 * 1024 * 1024
SHOWN = 20
MOST_ADDRESS, MOST_NOTE, MOST_SENDER = 254, 500, 64

Done = Callable[[], Awaitable[None]]


def methods(view: View) -> dict[str, str]:
    """Name the channels as people read them."""
    return {name: method_name(view.t, name) for name in METHODS}


def reasons(view: View) -> dict[str, str]:
    """Name the reasons."""
    return {name: view.t(f"suppressions.reason_{name}") for name in sheet.REASONS}


async def add(view: View, done: Done) -> None:
    """Ask for one address, and add it."""
    t = view.t
    with dialog(t("suppressions.add_title")) as asked:
        element("p", "muted", t("suppressions.add_text"))
        method = choice_field(t("suppressions.column_method"), methods(view), METHODS[0])
        empty = t("suppressions.no_address")
        to = text_field(
            t("suppressions.column_to"), most=MOST_ADDRESS, check=lambda text: "" if text.strip() else empty
        )
        reason = choice_field(t("suppressions.column_reason"), reasons(view), "opt_out")
        kinds = {"": t("suppressions.category_any")} | {
            name: t(f"suppressions.category_{name}") for name in sheet.CATEGORIES
        }
        category = choice_field(t("suppressions.column_category"), kinds, "")
        sender = text_field(t("suppressions.column_sender"), most=MOST_SENDER, hint=t("suppressions.sender_hint"))
        note = text_field(t("suppressions.column_note"), most=MOST_NOTE)
        wrong = attrs(element("div", "bad-text"), role="alert")

        def narrow() -> None:
            is_for_all = reason.value in ("hard_bounce", "invalid")
            category.set_visibility(not is_for_all)
            sender.set_visibility(not is_for_all)

        reason.on_value_change(narrow)

        async def save() -> None:
            if not sound([to]):
                return
            values = {"sender": str(sender.value or ""), "category": str(category.value or "")}
            body: dict[str, Any] = {"method": method.value, "to": str(to.value).strip(), "reason": reason.value}
            if reason.value not in ("hard_bounce", "invalid") and any(values.values()):
                body["scope"] = {name: value or None for name, value in values.items()}
            if note.value:
                body["note"] = str(note.value)
            try:
                answer = await view.api.post(PATH, body)
            except ApiError as error:
                wrong.clear()
                with wrong:
                    element("span", "", error.detail or t("layout.unreachable"))
                return
            toast(t("suppressions.added") if answer["added"] else t("suppressions.stood"))
            asked.submit(True)  # noqa: FBT003  the answer itself

        with element("div", "actions dialog-foot"):
            button(t("layout.cancel"), lambda: asked.submit(None), kind="quiet")
            button(t("suppressions.add_action"), save, kind="main")
    if await asked:
        await done()
    asked.delete()


async def ask_file(view: View, done: Done) -> None:
    """Show the dialog of the import."""
    t = view.t
    with dialog(t("suppressions.import_title"), wide=True) as asked:
        body = attrs(element("div", "stack"), aria_live="polite")
    _choose(view, asked, body, done)
    await asked
    asked.delete()


def _choose(view: View, asked: ui.dialog, body: ui.element, done: Done) -> None:
    t = view.t
    body.clear()
    with body:
        element("p", "", t("suppressions.import_text"))
        with element("div", "side-by-side"):
            method = choice_field(t("suppressions.import_method"), methods(view), METHODS[0])
            reason = choice_field(t("suppressions.import_reason"), reasons(view), "opt_out")

        async def take(name: str, content: bytes) -> None:
            try:
                pieces = await run_reader(view, spreadsheets.read_lines, content)
            except UnreadableError as error:
                toast(t(error.why, name=line(name, 60)), good=False)
                return
            rows = spreadsheets.join(pieces)[0].rows
            read = await asyncio.to_thread(sheet.read, t, rows, str(method.value), str(reason.value))
            _look(view, asked, body, read, done)

        drop_zone(t, t("suppressions.import_file"), take, accept=spreadsheets.ACCEPT, most_bytes=MOST_BYTES)
        with element("div", "actions dialog-foot"):
            button(t("layout.cancel"), lambda: asked.submit(None), kind="quiet")


def _look(view: View, asked: ui.dialog, body: ui.element, read: sheet.Read, done: Done) -> None:
    """Show what was read before anything is done."""
    t = view.t
    body.clear()
    with body:
        if read.problems:
            notice(t("suppressions.import_wrong", n=len(read.problems)), "warn")
            _table(view, read.problems)
        notice(t("suppressions.import_ready", n=len(read.rows)), "good" if read.rows else "bad")
        with element("div", "actions dialog-foot"):
            back = button(t("layout.back"), lambda: _choose(view, asked, body, done), kind="quiet")
            back.classes("foot-left")
            button(t("layout.cancel"), lambda: asked.submit(None), kind="quiet")
            if read.rows:
                begin = partial(_run, view, asked, body, read, done)
                button(t("suppressions.import_start", n=len(read.rows)), begin, kind="main")


def _table(view: View, problems: Sequence[tuple[int, str, str]]) -> None:
    t = view.t
    with element("div", "numbers-scroll"), element("table", "small-table"):
        element("caption", "unseen", t("suppressions.problem"))
        with element("thead"), element("tr"):
            for title in (t("suppressions.line"), t("suppressions.column_to"), t("suppressions.problem")):
                attrs(element("th", "", title), scope="col")
        with element("tbody"):
            for number, address, problem in problems[:SHOWN]:
                with element("tr"):
                    attrs(element("th", "", str(number)), scope="row")
                    element("td", "wrap-anywhere", address)
                    element("td", "", problem)


def _run(view: View, asked: ui.dialog, body: ui.element, read: sheet.Read, done: Done) -> None:
    t = view.t

    async def import_rows(work: Work) -> None:
        for batch in read.batches():
            try:
                answer = await view.api.post(PATH, {**batch.fields, "to": list(batch.addresses)})
            except ApiError as error:
                if error.reason == "unreachable":
                    raise
                work.failed += len(batch.addresses)
                work.notes.append(error.detail)
            else:
                work.failed += answer["problems_total"]
            work.done += len(batch.addresses)
        await done()

    work = start(view, t("suppressions.work_import", n=len(read.rows)), import_rows, len(read.rows))
    body.clear()
    with body:
        progress(view, work)
        element("p", "muted", t("layout.work_leave"))
        with element("div", "actions dialog-foot"):
            button(t("layout.close"), lambda: asked.submit(None), kind="main")


def export(view: View, filters: dict[str, str], kind: str) -> None:
    """Download what the filters find; `kind` is `xlsx` or `csv`."""
    t = view.t
    heading = sheet.heading(t, sheet.EXPORTED)

    async def rows() -> AsyncIterator[Sequence[Sequence[object]]]:
        async for page in view.api.pages(PATH, "suppressions", **filters):
            yield [sheet.row(t, one) for one in page]

    async def write() -> AsyncIterator[bytes]:
        yield (csvs.BOM + csvs.line(heading)).encode()
        async for batch in rows():
            yield "".join(map(csvs.line, batch)).encode("utf-8", "replace")

    is_workbook = kind == XLSX
    write_it = partial(xlsx.stream, heading, rows(), range(len(heading))) if is_workbook else write
    media_type = xlsx.MEDIA_TYPE if is_workbook else csvs.MEDIA_TYPE
    ui.navigate.to(view.files.offer(view.session.key, f"{t('suppressions.file')}.{kind}", media_type, write_it))
