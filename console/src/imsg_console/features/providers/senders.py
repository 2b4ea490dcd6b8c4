"""The senders below the providers, addresses of mail and signatures of SMS: those of the settings too."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from nicegui import ui

from imsg_console.client import path
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.chips import chip, method_name
from imsg_console.widgets.copying import copy_button
from imsg_console.widgets.dialogs import ask_to_delete, reading_dialog
from imsg_console.widgets.elements import button, element, heading
from imsg_console.widgets.facts import code_block
from imsg_console.widgets.forms import Field, FieldMaker, Form, ask_form
from imsg_console.widgets.notices import toast
from imsg_console.widgets.paging import Row
from imsg_console.widgets.tables import Column, Table

SENDERS = "/api/v2/senders"
MAX_NAME = 32
MAX_SIGNATURE = 66
"""The most characters of a signature, with its 【】."""

VERDICTS = {
    "good": ("check_circle", "good"),
    "missing": ("error", "bad"),
    "wrong": ("error", "bad"),
    "unknown": ("help", "calm"),
}
"""Symbol and tone of the verdict on a DNS record."""


class Senders:
    """The list."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t

    async def draw(self) -> None:
        """Draw everything."""
        t = self._t
        with element("section", "stack"):
            with ui.row():
                heading(2, t("providers.senders"))
                button(t("providers.dns_default"), partial(self._show_dns, {"name": "default"}), kind="quiet")
                if self._view.session.is_admin:
                    button(t("providers.sender_add"), self._add, kind="quiet", symbol="add")
                    button(t("providers.signature_add"), self._add_signature, kind="quiet", symbol="add")
            element("p", "small", t("providers.senders_lead"))
            self._place = ui.column()
        await self.load()

    async def load(self) -> None:
        """Read the senders, and draw them."""
        t = self._t
        answer = await self._view.api.get(SENDERS)
        self._place.clear()
        if not answer["senders"]:
            return
        columns = [
            Column("name", t("providers.name"), lambda row: row["name"], is_main=True),
            Column("method", t("providers.method"), lambda row: method_name(t, row["method"])),
            Column("address", t("providers.address_or_signature"), _describe),
            Column("reply_to", t("senders.reply_to"), lambda row: line(row["reply_to"] or "", 200)),
            Column("actions", t("providers.actions"), self._actions),
        ]
        with self._place:
            table = Table(
                self._view,
                t("providers.senders"),
                columns,
                key="name",
                actions={"dns": self._show_dns, "change_sender": self._change, "remove_sender": self._remove},
            )
            table.show(answer["senders"])

    def _actions(self, row: Row) -> Cell:
        t, name = self._t, line(row["name"], MAX_NAME)
        actions = {"dns": "providers.dns"} if row["signature"] is None else {}
        if row["from"] != "settings" and self._view.session.is_admin:
            actions |= {"change_sender": "providers.change", "remove_sender": "providers.remove_action"}
        buttons = [
            cells.button(action, t(text), t("providers.of", action=t(text), name=name), kind="quiet")
            for action, text in actions.items()
        ]
        return [buttons, cells.muted(t("providers.in_settings"))] if row["from"] == "settings" else [buttons]

    async def _show_dns(self, row: Row) -> None:
        """Show the records that the sender's domain has to have, and those that it has."""
        t = self._t
        answer = await self._view.api.get(f"{path(SENDERS, row['name'])}/dns")
        with reading_dialog(self._view, t("providers.dns_of", domain=line(answer["domain"], 200)), wide=True):
            element("p", "small", t("providers.dns_lead"))
            for record in answer["records"]:
                self._draw_record(record)
            heading(3, t("providers.dns_receivers"))
            for receiver in answer["receivers"]:
                element("p", "small", t("providers.dns_receiver", **receiver))

    def _draw_record(self, record: Row) -> None:
        t = self._t
        with element("section", "stack tight"):
            with ui.row():
                heading(3, line(record["record"], 80))
                chip(t(f"providers.dns_{record['verdict']}"), *VERDICTS[record["verdict"]])
            element("p", "small", line(record["why"], 1_000))
            if record["remedy"]:
                element("p", "small", line(record["remedy"], 1_000))
            if not record["remedy"] or not record["wanted"]:
                return
            for found in record["found"]:
                element("p", "small muted", t("providers.dns_found", text=line(found, 1_000)))
            for what in ("name", "wanted"):
                label, text = t(f"providers.dns_{what}", type=record["type"]), line(record[what], 4_000)
                element("p", "small muted", label)
                code_block(text, label)
                copy_button(
                    self._view, text, name=t("providers.dns_copy", what=label, record=line(record["record"], 80))
                )

    async def _add(self) -> None:
        make = FieldMaker(self._t, "senders.")
        fields = [make("name", max_length=MAX_NAME), make("address"), make("reply_to")]

        async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
            return await self._view.api.post(SENDERS, {**_read(form), "method": "smtp"})

        await self._ask(self._t("providers.sender_add"), fields, save)

    async def _add_signature(self) -> None:
        make = FieldMaker(self._t, "senders.")
        fields = [make("name", max_length=MAX_NAME), make("signature", max_length=MAX_SIGNATURE)]

        async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
            return await self._view.api.post(SENDERS, {**form.read(), "method": "sms"})

        await self._ask(self._t("providers.signature_add"), fields, save)

    async def _change(self, row: Row) -> None:
        t, make = self._t, FieldMaker(self._t, "senders.", row)

        async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
            return await self._view.api.patch(path(SENDERS, row["name"]), _read(form))

        title = t("providers.of", action=t("providers.change"), name=line(row["name"], MAX_NAME))
        is_mail = row["signature"] is None
        await self._ask(
            title,
            [make("address"), make("reply_to")] if is_mail else [make("signature", max_length=MAX_SIGNATURE)],
            save,
        )

    async def _ask(self, title: str, fields: Sequence[Field], save: Callable[[Form], Awaitable[Any]]) -> None:
        t = self._t
        saved = await ask_form(self._view, title, fields, t("providers.save"), save)
        if saved is None:
            return
        toast(t("providers.sender_saved"))
        await self.load()
        if saved["remarks"]:
            self._show_remarks(saved)

    def _show_remarks(self, saved: Row) -> None:
        """Show what providers say of a signature."""
        with reading_dialog(self._view, self._t("providers.signature_remarks", name=line(saved["name"], MAX_NAME))):
            for remark in saved["remarks"]:
                with element("section", "stack tight"):
                    heading(3, line(remark["provider"], MAX_NAME))
                    element("p", "", line(remark["what"], 1_000))
                    element("p", "small", line(remark["remedy"], 1_000))

    async def _remove(self, row: Row) -> None:
        name = line(row["name"], MAX_NAME)
        if await ask_to_delete(self._view, path(SENDERS, row["name"]), "providers.sender_remove", name=name):
            await self.load()


def _read(form: Form) -> dict[str, Any]:
    read = form.read()
    return {**read, "reply_to": read["reply_to"] or None} if "reply_to" in read else read


def _describe(row: Row) -> str:
    return f"【{line(row['signature'], MAX_SIGNATURE)}】" if row["signature"] else line(row["address"] or "", 200)
