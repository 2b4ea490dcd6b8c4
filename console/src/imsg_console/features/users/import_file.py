"""The import of users: choose or paste, look at what was read, let it run, take the result along."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nicegui import ui

from imsg_console import spreadsheets
from imsg_console.client import ApiError, path
from imsg_console.features.users import secret, sheet
from imsg_console.features.users.form import Done
from imsg_console.features.users.records import MOST_NAME, place_error
from imsg_console.features.users.sheet import MOST_BYTES, Line, Sheet
from imsg_console.readers import UnreadableError
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets import csvs, xlsx
from imsg_console.widgets.dialogs import dialog
from imsg_console.widgets.elements import attrs, button, element
from imsg_console.widgets.formats import XLSX
from imsg_console.widgets.notices import notice
from imsg_console.widgets.reading import run_reader
from imsg_console.widgets.uploads import drop_zone
from imsg_console.widgets.work import Work, progress, start

AT_ONCE = 4
SHOWN = 50
"""Rows with a problem that are shown; the result file has them all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row."""

    line: Line
    kind: str
    """`made`, `updated`, `skipped` or `failed`."""
    why: str = ""
    password: str = ""
    """As it was made; empty where the sheet had one."""


async def ask(view: View, done: Done) -> None:
    """Show the dialog of the import."""
    t = view.t
    with dialog(t("users.import_title"), wide=True) as asked:
        body = element("div", "stack")
        attrs(body, aria_live="polite")
    _choose(view, asked, body, done)
    await asked
    asked.delete()


def _choose(view: View, asked: ui.dialog, body: ui.element, done: Done) -> None:
    t = view.t

    async def take(name: str, content: bytes) -> None:
        try:
            pieces = await run_reader(view, spreadsheets.read_columns, content)
        except UnreadableError as error:
            said = Sheet(problem=t(error.why, name=line(name or t("files.pasted"), 60)))
            _look(view, asked, body, said, done)
            return
        sheets = await asyncio.to_thread(spreadsheets.join, pieces)
        chosen = next((one for one in sheets if sheet.has_usernames(one.rows)), sheets[0])
        found = await asyncio.to_thread(sheet.read, t, chosen.rows)
        others = [one.name for one in sheets if one is not chosen]
        _look(view, asked, body, found, done, name=chosen.name, others=others)

    def template() -> None:
        heading = sheet.heading(t, sheet.COLUMNS)
        example = [
            "王小明",
            "",
            "xiaoming@example.com",
            "13800138000",
            "",
            t("words.role_user"),
            5,
            20,
            "",
            t("words.yes"),
        ]
        _download(view, t("users.file_template"), [heading, example])

    body.clear()
    with body:
        element("p", "", t("users.import_text"))
        drop_zone(
            t,
            t("users.import_file"),
            take,
            accept=spreadsheets.ACCEPT,
            most_bytes=MOST_BYTES,
        )
        pasted = ui.textarea(t("users.import_paste")).props("outlined autogrow input-style=max-height:10rem")
        pasted.classes("field mono")
        with element("div", "actions dialog-foot"):
            button(t("users.import_template"), template, kind="quiet", symbol="download").classes("foot-left")
            button(t("layout.cancel"), lambda: asked.submit(None), kind="quiet")
            button(
                t("layout.next_step"), lambda: take("", str(pasted.value or "").encode("utf-8", "replace")), kind="main"
            )


def _look(
    view: View,
    asked: ui.dialog,
    body: ui.element,
    read: Sheet,
    done: Done,
    *,
    name: str = "",
    others: Sequence[str] = (),
) -> None:
    """Show what was read before anything is done; of several sheets which one, and which were not."""
    t = view.t
    body.clear()
    with body:
        if others:
            said = line(t("users.import_listing").join(others), 200)
            notice(t("users.import_sheet", name=line(name, 60), others=said), "info")
        if read.problem:
            notice(read.problem, "bad")
            _foot(view, asked, body, done)
            return
        if read.good:
            notice(t("users.import_ready", n=len(read.good)), "good")
        if read.bad:
            notice(t("users.import_wrong", n=len(read.bad)), "warn")
            _table(view, [(one.number, one.username, " ".join(one.problems)) for one in read.bad])
        if read.ignored:
            notice(t("users.import_ignored", names=line(", ".join(read.ignored))), "info")
        if not read.good:
            notice(t("users.import_nothing"), "bad")
            _foot(view, asked, body, done)
            return
        with element("fieldset", "form-part"):
            element("legend", "", t("users.import_existing"))
            existing = ui.radio({"skip": t("users.import_skip"), "update": t("users.import_update")}, value="skip")
            existing.props("inline dense")

        def begin() -> None:
            _run(view, asked, body, read, updates=existing.value == "update", done=done)

        with _foot(view, asked, body, done):
            button(t("users.import_start", n=len(read.good)), begin, kind="main")


def _foot(view: View, asked: ui.dialog, body: ui.element, done: Done) -> ui.element:
    with element("div", "actions dialog-foot") as foot:
        back = button(view.t("layout.back"), lambda: _choose(view, asked, body, done), kind="quiet")
        back.classes("foot-left")
        button(view.t("layout.cancel"), lambda: asked.submit(None), kind="quiet")
    return foot


def _run(view: View, asked: ui.dialog, body: ui.element, read: Sheet, *, updates: bool, done: Done) -> None:
    t = view.t
    outcomes: list[Outcome] = []

    async def create_all(work: Work) -> None:
        try:
            await _import(view, read.good, outcomes, work, updates=updates)
        finally:
            failures = [Outcome(one, "failed", " ".join(one.problems)) for one in read.bad]
            everything = sorted([*outcomes, *failures], key=lambda one: one.line.number)
            work.link = view.files.offer(
                view.session.key, f"{t('users.file_result')}.xlsx", xlsx.MEDIA_TYPE, lambda: _result(view, everything)
            )
            work.link_text = t("users.import_result")
        await done()

    work = start(view, t("users.work_import", n=len(read.good)), create_all, len(read.good))
    body.clear()
    with body:
        progress(view, work)
        element("p", "muted", t("layout.work_leave"))
        after = element("div", "stack")
        with element("div", "actions dialog-foot"):
            button(t("layout.close"), lambda: asked.submit(True), kind="main")  # noqa: FBT003  the answer itself

    def look() -> None:
        if not work.runs:
            timer.deactivate()
            after.clear()
            with after:
                _draw_outcomes(view, outcomes)

    with after:
        timer = ui.timer(0.4, look)


async def _import(view: View, lines: Sequence[Line], outcomes: list[Outcome], work: Work, *, updates: bool) -> None:
    waiting = iter(lines)

    async def worker() -> None:
        for one in waiting:
            outcome = await _one(view, one, updates=updates)
            outcomes.append(outcome)
            work.done += 1
            work.failed += outcome.kind == "failed"

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(worker())
    except ExceptionGroup as group_error:
        raise group_error.exceptions[0] from group_error


async def _one(view: View, one: Line, *, updates: bool) -> Outcome:
    """Make a user of a row, or change the one who is there. Raises ApiError where nobody answers, SessionOver."""
    fields: dict[str, Any] = dict(one.fields)
    made = "" if fields.get("password") else secret.password()
    recipients = fields.pop("recipients_per_day", None)
    body = {**fields, "password": fields.get("password") or made}
    try:
        await view.api.post("/api/v2/register", body)
        if recipients is not None:
            await view.api.patch(path("/api/v2/users", one.username), {"recipients_per_day": recipients})
    except ApiError as error:
        if error.reason == "unreachable":
            raise
        if error.reason != "username_taken":
            return Outcome(one, "failed", place_error(view.t, error)[1])
    else:
        return Outcome(one, "made", password=made)
    return await _update(view, one) if updates else Outcome(one, "skipped")


async def _update(view: View, one: Line) -> Outcome:
    fields = {name: value for name, value in one.fields.items() if name != "username"}
    if "recipients_per_day" in fields and fields["recipients_per_day"] is None:
        fields["recipients_per_day"] = "none"
    if not fields:
        return Outcome(one, "skipped")
    try:
        await view.api.patch(path("/api/v2/users", one.username), fields)
    except ApiError as error:
        if error.reason == "unreachable":
            raise
        return Outcome(one, "failed", place_error(view.t, error)[1])
    return Outcome(one, "updated")


def _draw_outcomes(view: View, outcomes: Iterable[Outcome]) -> None:
    t = view.t
    kinds = [one.kind for one in outcomes]
    said = [t(f"users.import_{kind}", n=n) for kind in ("made", "updated", "skipped") if (n := kinds.count(kind))]
    failed = [one for one in outcomes if one.kind == "failed"]
    if said:
        notice(" ".join(said), "good")
    if any(one.password for one in outcomes):
        notice(t("users.import_result_hint"), "warn")
    if failed:
        notice(t("users.import_failed", n=len(failed)), "bad")
        _table(view, [(one.line.number, one.line.username, one.why) for one in failed])


def _table(view: View, rows: Sequence[tuple[int, str, str]]) -> None:
    t = view.t
    with element("div", "numbers-scroll"), element("table", "small-table sheet-problems"):
        element("caption", "unseen", t("users.problem"))
        with element("thead"), element("tr"):
            for title in (t("users.line"), t("users.username"), t("users.problem")):
                attrs(element("th", "", title), scope="col")
        with element("tbody"):
            for number, username, problem in rows[:SHOWN]:
                with element("tr"):
                    attrs(element("th", "", str(number)), scope="row")
                    element("td", "wrap-anywhere", line(username, MOST_NAME))
                    element("td", "", problem)
    if len(rows) > SHOWN:
        element("p", "muted", t("users.lines_more", n=len(rows) - SHOWN))


def _result(view: View, outcomes: Sequence[Outcome]) -> AsyncIterator[bytes]:
    t = view.t
    heading = [t("users.line"), t("users.username"), t("users.password"), t("users.outcome")]
    rows = [
        [one.line.number, one.line.username, one.password, t(f"users.outcome_{one.kind}", why=one.why)]
        for one in outcomes
    ]
    return xlsx.stream(heading, _batches([rows]), range(1, len(heading)))


def _download(view: View, name: str, rows: Sequence[Sequence[object]]) -> None:
    """Download a workbook whose columns of words are formatted as text: a phone number stays what was entered."""
    texts = [at for at, cell in enumerate(rows[1]) if not isinstance(cell, int)]
    write = partial(xlsx.stream, [str(cell) for cell in rows[0]], _batches([rows[1:]]), texts)
    ui.navigate.to(view.files.offer(view.session.key, f"{name}.xlsx", xlsx.MEDIA_TYPE, write))


async def _batches(rows: Iterable[Sequence[Sequence[object]]]) -> AsyncIterator[Sequence[Sequence[object]]]:
    for batch in rows:
        yield batch


def export(view: View, search: str, chosen: Sequence[Any], kind: str) -> None:
    """Download the users that are chosen, else those that the search finds, else all; `kind` is `xlsx` or `csv`."""
    t = view.t

    async def rows() -> AsyncIterator[Sequence[Sequence[object]]]:
        if chosen:
            yield [sheet.row(t, user) for user in chosen]
            return
        async for users in view.api.pages("/api/v2/users", "users", search=search):
            yield [sheet.row(t, user) for user in users]

    async def write() -> AsyncIterator[bytes]:
        yield (csvs.BOM + csvs.line(sheet.heading(t))).encode()
        async for batch in rows():
            yield "".join(map(csvs.line, batch)).encode("utf-8", "replace")

    heading, texts = sheet.heading(t), range(sheet.EXPORTED.index("per_hour"))
    is_workbook = kind == XLSX
    write_it = partial(xlsx.stream, heading, rows(), texts) if is_workbook else write
    media_type = xlsx.MEDIA_TYPE if is_workbook else csvs.MEDIA_TYPE
    ui.navigate.to(view.files.offer(view.session.key, f"{t('users.file_users')}.{kind}", media_type, write_it))
