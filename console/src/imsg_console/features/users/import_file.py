"""Users from a file: what was read is shown, the users are created or changed, and the result can be downloaded."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from imsg_console import spreadsheets
from imsg_console.client import ApiError, path
from imsg_console.features.users import sheet
from imsg_console.features.users.form import Refresh
from imsg_console.features.users.records import FIELDS, locate_error, make_password
from imsg_console.features.users.sheet import Line, UserSheet
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets import exports
from imsg_console.widgets.elements import button, element
from imsg_console.widgets.import_dialog import ImportDialog, Problem
from imsg_console.widgets.notices import notice
from imsg_console.widgets.work import Work, run_each
from imsg_console.workbooks import Sheet


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a row."""

    line: Line
    kind: str
    """`made`, `updated`, `skipped` or `failed`."""
    why: str = ""
    password: str = ""
    """The password that was generated; empty where the sheet has one."""


async def ask(view: View, refresh: Refresh) -> None:
    """Show the dialog of the import."""
    await UserImport(view, refresh).ask()


class UserImport:
    """The steps of the dialog."""

    def __init__(self, view: View, refresh: Refresh) -> None:
        self._view, self._t, self._refresh = view, view.t, refresh
        self._outcomes: list[Outcome] = []

    async def ask(self) -> None:
        """Show the dialog until it is left."""
        dialog = ImportDialog(self._view, spreadsheets.read_columns, self._draw_choice, self._read)
        await dialog.ask(self._t("users.import_title"))

    def _draw_choice(self, dialog: ImportDialog) -> None:
        t = self._t
        element("p", "", t("users.import_text"))
        dialog.draw_drop_zone(t("users.import_file"))
        button(t("users.import_template"), self._download_template, kind="quiet", symbol="download")
        dialog.draw_paste(t("users.import_paste"))

    async def _read(self, dialog: ImportDialog, sheets: Sequence[Sheet]) -> None:
        place = next((at for at, candidate in enumerate(sheets) if sheet.has_usernames(candidate.rows)), 0)
        users = await asyncio.to_thread(sheet.read, self._t, sheets[place].rows)
        dialog.show_sheet(sheets, place, lambda dialog: self._draw_read(dialog, users))

    def _draw_read(self, dialog: ImportDialog, users: UserSheet) -> None:
        """Show what was read: what can be imported, and what cannot."""
        t = self._t
        if users.problem:
            notice(users.problem, "bad")
        if users.good:
            notice(t("users.import_ready", n=len(users.good)), "good")
        if users.bad:
            notice(t("users.import_wrong", n=len(users.bad)), "warn")
            self._draw_problems(
                dialog,
                [(bad_line.number, bad_line.username, self._t.join(*bad_line.problems)) for bad_line in users.bad],
            )
        if users.ignored:
            notice(t("users.import_ignored", names=line(", ".join(users.ignored))), "info")
        if not users.good:
            if not users.problem:
                notice(t("users.import_nothing"), "bad")
            dialog.draw_foot(back=True)
            return
        with element("fieldset", "stack tight"):
            element("legend", "", t("users.import_existing"))
            existing = ui.radio({"skip": t("users.import_skip"), "update": t("users.import_update")}, value="skip")
            existing.props("inline dense")

        def begin() -> None:
            self._run(dialog, users, is_update=existing.value == "update")

        dialog.draw_foot(t("users.import_start", n=len(users.good)), begin, back=True)

    def _run(self, dialog: ImportDialog, users: UserSheet, *, is_update: bool) -> None:
        t = self._t
        outcomes: list[Outcome] = []
        self._outcomes = outcomes

        async def import_one(user_line: Line, work: Work) -> None:
            outcome = await self._import(user_line, is_update=is_update)
            outcomes.append(outcome)
            work.failed += outcome.kind == "failed"

        async def import_all(work: Work) -> None:
            try:
                await run_each(work, users.good, import_one)
            finally:
                failures = [Outcome(bad_line, "failed", self._t.join(*bad_line.problems)) for bad_line in users.bad]
                work.link = self._offer_result(sorted([*outcomes, *failures], key=lambda outcome: outcome.line.number))
                work.link_text = t("users.import_result")
            await self._refresh()

        count = len(users.good)
        dialog.run(t("users.work_import", n=count), count, import_all, lambda _: self._draw_outcomes(dialog))

    async def _import(self, user_line: Line, *, is_update: bool) -> Outcome:
        """Create the user of a row, or change the user that exists. Raises ApiError (unreachable), SessionOver."""
        api, fields = self._view.api, dict(user_line.fields)
        password = "" if fields.get("password") else make_password()
        try:
            await api.post("/api/v2/register", {**fields, "password": fields.get("password") or password})
        except ApiError as error:
            if error.reason != "username_taken":
                return self._fail(user_line, error)
        else:
            return Outcome(user_line, "made", password=password)
        return await self._update(user_line) if is_update else Outcome(user_line, "skipped")

    async def _update(self, user_line: Line) -> Outcome:
        fields: dict[str, Any] = {name: value for name, value in user_line.fields.items() if name != "username"}
        if not fields:
            return Outcome(user_line, "skipped")
        try:
            await self._view.api.patch(path("/api/v2/users", user_line.username), fields)
        except ApiError as error:
            return self._fail(user_line, error)
        return Outcome(user_line, "updated")

    def _fail(self, user_line: Line, error: ApiError) -> Outcome:
        if error.reason == "unreachable":
            raise error
        return Outcome(user_line, "failed", locate_error(self._t, error)[1])

    def _draw_outcomes(self, dialog: ImportDialog) -> None:
        t = self._t
        kinds = [outcome.kind for outcome in self._outcomes]
        counts = [t(f"users.import_{kind}", n=n) for kind in ("made", "updated", "skipped") if (n := kinds.count(kind))]
        if counts:
            notice(t.join(*counts), "good")
        if any(outcome.password for outcome in self._outcomes):
            notice(t("users.import_result_hint"), "warn")
        if failed := [outcome for outcome in self._outcomes if outcome.kind == "failed"]:
            notice(t("users.import_failed", n=len(failed)), "bad")
            self._draw_problems(
                dialog, [(outcome.line.number, outcome.line.username, outcome.why) for outcome in failed]
            )

    def _draw_problems(self, dialog: ImportDialog, problems: Sequence[Problem]) -> None:
        t = self._t
        dialog.draw_problems(problems, (t("files.line"), t("users.username"), t("files.problem")))

    def _offer_result(self, outcomes: Sequence[Outcome]) -> str:
        t = self._t
        heading = [t("files.line"), t("users.username"), t("users.password"), t("users.outcome")]
        rows = [
            [
                outcome.line.number,
                outcome.line.username,
                outcome.password,
                t(f"users.outcome_{outcome.kind}", why=outcome.why),
            ]
            for outcome in outcomes
        ]
        return exports.offer_rows(self._view, t("users.file_result"), heading, rows, texts=range(1, len(heading)))

    def _download_template(self) -> None:
        t = self._t
        role, yes = t("words.role_user"), t("words.yes")
        example = {"username": "王小明", "email": "xiaoming@example.com", "phone": "13800138000", "role": role,
                   "per_hour": 5, "per_day": 20, "available": yes}  # fmt: skip
        cells = [example.get(name, "") for name in FIELDS]
        heading, texts = sheet.heading(t, FIELDS), _list_texts(FIELDS)
        ui.navigate.to(exports.offer_rows(self._view, t("users.file_template"), heading, [cells], texts=texts))


def export(view: View, search: str, chosen: Sequence[Any], kind: str) -> None:
    """Download the chosen users, or without any those that the search finds; `kind` is `xlsx` or `csv`."""
    t = view.t

    async def read_rows() -> AsyncIterator[exports.Rows]:
        if chosen:
            yield [sheet.row(t, user) for user in chosen]
            return
        async for users in view.api.pages("/api/v2/users", "users", search=search):
            yield [sheet.row(t, user) for user in users]

    address = exports.offer_rows(
        view, t("users.file_users"), sheet.heading(t), read_rows(), kind=kind, texts=_list_texts(sheet.EXPORTED)
    )
    ui.navigate.to(address)


def _list_texts(columns: Sequence[str]) -> list[int]:
    """Return the places of the columns whose cells are no numbers, so that a spreadsheet takes them as they are."""
    return [place for place, name in enumerate(columns) if name not in sheet.NUMBERS]
