"""Followers: found by tag, by user or by account; bound to users, their tags renewed and revoked."""

from urllib.parse import urlencode

from nicegui import ui

from imsg_channels.wechat import WECHAT
from imsg_console.client import path
from imsg_console.features.followers import binding
from imsg_console.sanitize import line
from imsg_console.time_format import TimeFormat
from imsg_console.view import Group, Page, View
from imsg_console.widgets.chips import chip
from imsg_console.widgets.dialogs import confirm
from imsg_console.widgets.elements import attrs, button, element, heading, link_to, style_sheet
from imsg_console.widgets.fields import choice_field, text_field
from imsg_console.widgets.notices import empty, toast
from imsg_console.widgets.tables import Column, PagedTable, Row

PAGE_ROWS = 25
MOST_NAME = 64


async def show(view: View) -> None:
    """Draw the page."""
    style_sheet("users")
    board = Board(view)
    answer = await view.api.get("/api/v2/followers", limit=1)
    board.draw(answer["accounts"])
    await board.table.load()


class Board:
    """The page: search, list, and the codes that bind."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._moments = TimeFormat(view.timezone, english=view.t.language == "en")
        self._sought = view.query.get("search", "").replace("\0", "").strip()[:MOST_NAME]
        self._account = view.query.get("account", "")

    def draw(self, accounts: list[str]) -> None:
        """Draw everything but the rows; without an official account there is nothing to do here."""
        view, t = self._view, self._view.t
        with element("div", "spread page-head"):
            with element("div"):
                heading(1, t("layout.followers"))
                element("p", "page-lead", t("followers.lead"))
            with element("div", "actions"):
                if accounts:
                    button(
                        t("followers.bind"),
                        lambda: binding.bind(view, accounts, self.reload),
                        kind="main",
                        symbol="qr_code_2",
                    )
        with attrs(element("search", "side-by-side follower-tools")):
            self._field = text_field(t("followers.search"), self._sought, kind="search", most=MOST_NAME)
            self._field.props('clearable debounce="300"').classes("user-search")
            self._field.on_value_change(self._search)
            if len(accounts) > 1:
                options = {"": t("followers.every_account"), **{name: name for name in accounts}}
                chosen = self._account if self._account in accounts else ""
                self._choice = choice_field(t("followers.account"), options, chosen)
                self._choice.on_value_change(self._choose)
            button(t("followers.refresh"), self.reload, kind="quiet", symbol="refresh")
        self.table = PagedTable(
            view,
            t("followers.caption"),
            self._columns(has_several=len(accounts) > 1),
            self._load,
            key=lambda one: str(one["tag"]),
            when_empty=lambda: self._empty(has_accounts=bool(accounts)),
        )

    async def reload(self) -> None:
        """Show the page of the list anew."""
        await self.table.reload()

    def _columns(self, *, has_several: bool) -> list[Column]:
        t = self._view.t
        account = Column(t("followers.account"), lambda one: line(one["account"], 32))
        return [
            Column(t("followers.tag"), lambda one: element("span", "mono", line(one["tag"], 16)), "main"),
            *([account] if has_several else []),
            Column(t("followers.user"), self._user),
            Column(t("followers.state"), self._state),
            Column(t("followers.actions"), self._actions),
        ]

    def _user(self, one: Row) -> None:
        t = self._view.t
        if one["username"] is None:
            element("span", "muted", t("followers.nobody"))
        else:
            link_to(line(one["username"], MOST_NAME), f"/users?{urlencode({'search': one['username']})}")

    def _state(self, one: Row) -> None:
        t = self._view.t
        with element("div", "side-by-side"):
            if one["following"]:
                chip(t("followers.follows"), "check_circle", "good")
            else:
                chip(t("followers.left"), "person_off", "warn")
            element("span", "muted", self._moments.full(one["since"]))

    def _actions(self, one: Row) -> None:
        t, tag = self._view.t, line(one["tag"], 16)

        async def renew() -> None:
            await self._renew(one)

        async def revoke() -> None:
            await self._revoke(one)

        with element("div", "actions actions-tight"):
            attrs(button(t("followers.renew"), renew), aria_label=t("followers.renew_of", tag=tag))
            attrs(button(t("followers.revoke"), revoke, kind="quiet"), aria_label=t("followers.revoke_of", tag=tag))

    async def _renew(self, one: Row) -> None:
        t, tag = self._view.t, line(one["tag"], 16)
        text = t("followers.renew_user") if one["username"] else t("followers.renew_text")
        if await confirm(self._view, t("followers.renew_title", tag=tag), text, t("followers.renew")):
            answer = await self._view.api.post(f"{path('/api/v2/followers', one['tag'])}/renew", {})
            toast(t("followers.renewed", tag=line(answer["tag"], 16)))
            await self.reload()

    async def _revoke(self, one: Row) -> None:
        t, tag = self._view.t, line(one["tag"], 16)
        text = t("followers.revoke_user") if one["username"] else t("followers.revoke_text")
        if await confirm(self._view, t("followers.revoke_title", tag=tag), text, t("followers.revoke")):
            await self._view.api.delete(path("/api/v2/followers", one["tag"]))
            toast(t("followers.revoked", tag=tag))
            await self.reload()

    async def _load(self, cursor: str) -> tuple[list[Row], str | None]:
        asked = {"account": self._account, "limit": PAGE_ROWS, "cursor": cursor}
        if self._sought:
            is_tag = WECHAT.address.parse(self._sought) is not None
            asked["tag" if is_tag else "user"] = self._sought
        answer = await self._view.api.get("/api/v2/followers", **asked)
        return answer["followers"], answer["next"]

    async def _search(self) -> None:
        self._sought = str(self._field.value or "").replace("\0", "").strip()[:MOST_NAME]
        await self._show()

    async def _choose(self) -> None:
        self._account = str(self._choice.value or "")
        await self._show()

    async def _show(self) -> None:
        asked = {"search": self._sought, "account": self._account}
        query = urlencode({name: value for name, value in asked.items() if value})
        ui.navigate.history.replace(f"/followers?{query}" if query else "/followers")
        await self.table.load()

    def _empty(self, *, has_accounts: bool) -> None:
        t = self._view.t
        if not has_accounts:
            empty(t("followers.no_account_title"), t("followers.no_account_text"), "link_off")
        elif self._sought or self._account:
            title, text = t("followers.none_title"), t("followers.none_text")
            empty(title, text, "search_off", action=t("followers.search_clear"), target="/followers")
        else:
            empty(t("followers.empty_title"), t("followers.empty_text"), "group_add")


PAGE = Page("/followers", "followers", Group.ADMIN, show, icon="qr_code_2")
