"""The templates: listed, written, previewed, published and deleted."""

from functools import partial
from typing import Any

from nicegui import ui

from imsg_console.client import ApiError, make_url, path
from imsg_console.features.templates.approved import ask_approved
from imsg_console.features.templates.words import Words
from imsg_console.message.content import draw_body, draw_text
from imsg_console.message.languages import name_language
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.dialogs import ask_to_delete
from imsg_console.widgets.elements import button, element
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.forms import Field, FieldMaker, Form, ask_form
from imsg_console.widgets.notices import toast
from imsg_console.widgets.paged_table import PagedTable
from imsg_console.widgets.paging import Loaded, Position, Row
from imsg_console.widgets.tables import Column

PATH = "/api/v2/templates"
CATEGORIES = ("notice", "marketing", "code")
MAX_VERSIONS = 50


async def show(view: View) -> None:
    """Draw the page."""
    await Templates(view).show()


class Templates:
    """Draws the list of templates, and performs its actions."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t

    async def show(self) -> None:
        """Draw the list. Raises ApiError, SessionOver."""
        t = self._t
        with page_head(t("layout.templates"), t("templates.lead")):
            if self._view.may("POST /templates"):
                button(t("templates.add"), self._add, kind="main", symbol="add")
        self._table = PagedTable(
            self._view,
            t("layout.templates"),
            [
                Column("name", t("templates.name"), self._name, lambda row: row["name"], is_main=True),
                Column("methods", t("templates.methods"), self._methods),
                Column("version", t("templates.version"), self._version),
                Column("actions", t("templates.actions"), self._actions),
            ],
            self._load,
            key="key",
            texts="templates",
            symbol="article",
            actions={
                "send": self._send,
                "preview": self._preview,
                "change": self._change,
                "publish": self._publish,
                "delete": self._delete,
            },
        )
        await self._table.load()

    async def _load(self, position: Position) -> Loaded:
        answer = await self._view.api.get(PATH, **position)
        rows = [{**row, "key": f"{row.get('method', '')} {row['name']}"} for row in answer["templates"]]
        return Loaded(rows, answer["next"])

    def _name(self, row: Row) -> Cell:
        name = cells.text(line(row["name"], 64))
        if row["from"] == "settings":
            return [name, cells.muted(line(row["text"], 120))]
        return [name, cells.muted(self._t("templates.is_shared"))] if row["shared"] else name

    def _methods(self, row: Row) -> Cell:
        if row["from"] == "settings":
            return method_name(self._t, row["method"])
        methods = dict.fromkeys(method for methods in row["languages"].values() for method in methods)
        languages = self._t.join_names(name_language(self._t, tag) for tag in row["languages"])
        return [cells.text(self._t.join_names(method_name(self._t, name) for name in methods)), cells.muted(languages)]

    def _version(self, row: Row) -> Cell:
        t = self._t
        if row["from"] == "settings":
            return t("templates.of_settings")
        if row["published"] is None:
            return t("templates.draft")
        in_force = t("templates.in_force", n=row["published"])
        return [cells.text(in_force), cells.muted(t("templates.has_draft"))] if row["state"] == "draft" else in_force

    def _actions(self, row: Row) -> Cell:
        t, name = self._t, line(row["name"], 64)
        if row["from"] == "settings" or not self._view.may("POST /templates"):
            return ""
        preview = cells.button("preview", t("templates.preview"), t("templates.preview_of", name=name), kind="quiet")
        shown = [preview]
        if row["published"] is not None:
            shown.insert(0, cells.button("send", t("templates.send"), t("templates.send_by", name=name), kind="quiet"))
        elif self._may_change(row):
            title = t("templates.publish_title", name=name)
            shown.append(cells.button("publish", t("templates.publish"), title, kind="quiet"))
        if not self._may_change(row):
            return [shown]
        more = cells.menu(
            t("templates.more", name=name),
            cells.button("publish", t("templates.publish"), icon="publish"),
            cells.button("change", t("templates.change"), icon="edit"),
            cells.button("delete", t("templates.delete_action"), icon="delete"),
        )
        return [[*shown, more]]

    def _may_change(self, row: Row) -> bool:
        return self._view.session.is_admin or row["username"] == self._view.session.username

    def _send(self, row: Row) -> None:
        ui.navigate.to(make_url("/send", template=row["name"]))

    async def _add(self) -> None:
        if await self._ask(None) is not None:
            toast(self._t("templates.saved"))
            await self._table.reload()

    async def _change(self, row: Row) -> None:
        known = await self._view.api.get(path(PATH, row["name"]))
        if await self._ask(known) is not None:
            toast(self._t("templates.saved"))
            await self._table.reload()

    async def _ask(self, known: dict[str, Any] | None) -> Any:  # noqa: ANN401  any JSON
        """Show the form of a template's texts, channel by channel and language by language; return the API's answer."""
        t = self._t
        may_choose = self._view.may("GET /providers/{method}/{name}/templates")
        words = Words(t, known, partial(ask_approved, self._view) if may_choose else None)

        async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
            read, languages = form.read(), words.read(form)
            body = {"category": read["category"], "shared": bool(read["shared"]), "languages": languages}
            try:
                if known is not None:
                    return await self._view.api.patch(path(PATH, known["name"]), body)
                new = {**body, "name": read["name"], "default_language": next(iter(languages))}
                return await self._view.api.post(PATH, new)
            except ApiError as error:
                raise words.show_place(form, error) from error

        make = FieldMaker(t, "templates.", known or {"category": "notice"})
        categories = {name: t(f"templates.category_{name}") for name in CATEGORIES}
        fields = [
            *([] if known else [make("name", max_length=64)]),
            make("category", "choice", options=categories),
            *words.fields,
            make("shared", "switch"),
        ]
        title = t("templates.add") if known is None else t("templates.change_title", name=line(known["name"], 64))
        return await ask_form(self._view, title, fields, t("templates.save"), save, wide=True, prepare=words.prepare)

    async def _preview(self, row: Row) -> None:
        t, shown = self._t, list[Any]()
        known = await self._view.api.get(path(PATH, row["name"]))
        choices = {
            f"{language} {method}": f"{method_name(t, method)}（{name_language(t, language)}）"
            for language, methods in known["languages"].items()
            for method in methods
        }

        def prepare(_: Form) -> None:
            shown.append(ui.column())

        async def save(form: Form) -> None:
            values = form.read()
            language, _, method = str(values.pop("words")).partition(" ")
            params = {name.removeprefix("param "): value for name, value in values.items() if value}
            body = {"method": method, "language": language, "params": params}
            answer = await self._view.api.post(path(PATH, row["name"], "preview"), body)
            shown[0].clear()
            with shown[0]:
                self._draw_preview(answer)

        fields = [
            Field("words", t("templates.words"), next(iter(choices)), "choice", options=choices),
            *(
                Field(
                    f"param {param['name']}", line(param["name"], 64), param["example"] if param["required"] else "",
                    max_length=param["max"],
                )
                for param in known["params"]
            ),
        ]  # fmt: skip
        title = t("templates.preview_of", name=line(row["name"], 64))
        await ask_form(self._view, title, fields, t("templates.preview"), save, wide=True, prepare=prepare)

    def _draw_preview(self, answer: dict[str, Any]) -> None:
        content = answer["content"]
        if "subject" in content:
            element("p", "", line(content["subject"], 255))
            draw_body(self._view, content.get("text", ""), content.get("html"))
        for text in answer["texts"]:
            segments = self._t("templates.segments", n=text["segments"]) if text["segments"] else ""
            element("p", "muted", f"{line(text['provider'], 64)} {segments}")
            entry = content["providers"][text["provider"]].get("variables", {})
            values = "\n".join(f"{name}: {value}" for name, value in entry.items())
            draw_text(self._view, text["text"] or values)

    async def _publish(self, row: Row) -> None:
        t = self._t
        answer = await self._view.api.get(path(PATH, row["name"], "versions"), limit=MAX_VERSIONS)
        versions = {
            str(version["version"]): t("templates.version_by", n=version["version"]) for version in answer["versions"]
        }

        async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
            version = int(form.read()["version"])
            return await self._view.api.post(path(PATH, row["name"], "publish"), {"version": version})

        fields = [Field("version", t("templates.version"), next(iter(versions)), "choice", options=versions)]
        title, text = t("templates.publish_title", name=line(row["name"], 64)), t("templates.publish_text")
        if await ask_form(self._view, title, fields, t("templates.publish"), save, text=text) is not None:
            toast(t("templates.published"))
            await self._table.reload()

    async def _delete(self, row: Row) -> None:
        if await ask_to_delete(self._view, path(PATH, row["name"]), "templates.delete", name=line(row["name"], 64)):
            await self._table.reload()


PAGE = Page("/templates", "templates", Group.USER, show, icon="article")
