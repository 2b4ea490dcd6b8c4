"""Followers: found by tag, user or account; bound to users; their tags renewed and revoked."""

from collections.abc import Sequence

from imsg_channels.wechat import WECHAT
from imsg_console.client import make_url, path
from imsg_console.features.followers import binding
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.dialogs import confirm
from imsg_console.widgets.elements import button
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.filters import Filter
from imsg_console.widgets.notices import toast
from imsg_console.widgets.paged_table import PagedTable
from imsg_console.widgets.paging import Loaded, Position, Row
from imsg_console.widgets.tables import Column

PATH = "/api/v2/followers"

MAX_NAME = 64
TAG_CHARACTERS = 16


async def show(view: View) -> None:
    """Draw the page."""
    answer = await view.api.get(PATH, limit=1)
    followers = Followers(view, answer["accounts"])
    followers.draw()
    await followers.table.load()


class Followers:
    """The search and the list."""

    def __init__(self, view: View, accounts: Sequence[str]) -> None:
        """`accounts` are the official accounts."""
        self._view, self._t, self._accounts = view, view.t, accounts

    def draw(self) -> None:
        """Draw everything but the rows."""
        view, t, has_several = self._view, self._t, len(self._accounts) > 1
        with page_head(t("layout.followers"), t("followers.lead")):
            if self._accounts and view.may("POST /followers/bind"):
                button(t("followers.bind"), self._bind, kind="main", symbol="qr_code_2")
        filters = [Filter("search", t("followers.search"), max_length=MAX_NAME)] if self._accounts else []
        if has_several:
            options = {"": t("followers.every_account"), **{name: name for name in self._accounts}}
            filters.append(Filter("account", t("followers.account"), options))
        account = Column("account", t("followers.account"), lambda row: line(row["account"], 32))
        self.table = PagedTable(
            view,
            t("followers.caption"),
            [
                Column("tag", t("followers.tag"), lambda row: cells.text(_tag(row), "mono"), is_main=True),
                *([account] if has_several else []),
                Column("user", t("followers.user"), self._user),
                Column("state", t("followers.state"), self._state),
                Column("actions", t("followers.actions"), self._actions),
            ],
            self._load,
            key="tag",
            texts="followers" if self._accounts else "no_account",
            symbol="group_add" if self._accounts else "link_off",
            filters=filters,
            has_refresh=True,
            actions={"renew": self._renew, "revoke": self._revoke},
        )

    async def _bind(self) -> None:
        await binding.bind(self._view, self._accounts, self.table.reload)

    async def _load(self, query: Position) -> Loaded:
        parameters = dict(query)
        search = str(parameters.pop("search", ""))
        parameters["tag" if WECHAT.address.parse(search) is not None else "user"] = search
        return Loaded.read(await self._view.api.get(PATH, **parameters), "followers")

    def _user(self, follower: Row) -> Cell:
        if follower["username"] is None:
            return cells.muted(self._t("followers.nobody"))
        return cells.link(line(follower["username"], MAX_NAME), make_url("/users", search=follower["username"]))

    def _state(self, follower: Row) -> Cell:
        t, since = self._t, cells.muted(self._view.times.full(follower["since"]))
        if follower["following"]:
            return [[cells.chip(t("followers.follows"), "check_circle", "good"), since]]
        return [[cells.chip(t("followers.left"), "person_off", "warn"), since]]

    def _actions(self, follower: Row) -> Cell:
        t, tag = self._t, _tag(follower)
        if not self._view.may("POST /followers/{tag}/renew"):
            return None
        return [
            [
                cells.button("renew", t("followers.renew"), t("followers.renew_of", tag=tag)),
                cells.button("revoke", t("followers.revoke"), t("followers.revoke_of", tag=tag), kind="quiet"),
            ]
        ]

    async def _renew(self, follower: Row) -> None:
        if await self._confirm(follower, "renew"):
            answer = await self._view.api.post(f"{path(PATH, follower['tag'])}/renew", {})
            toast(self._t("followers.renewed", tag=_tag(answer)))
            await self.table.reload()

    async def _revoke(self, follower: Row) -> None:
        if await self._confirm(follower, "revoke"):
            await self._view.api.delete(path(PATH, follower["tag"]))
            toast(self._t("followers.revoked", tag=_tag(follower)))
            await self.table.reload()

    async def _confirm(self, follower: Row, action: str) -> bool:
        t = self._t
        text = t(f"followers.{action}_user" if follower["username"] else f"followers.{action}_text")
        return await confirm(
            self._view, t(f"followers.{action}_title", tag=_tag(follower)), text, t(f"followers.{action}")
        )


def _tag(follower: Row) -> str:
    return line(follower["tag"], TAG_CHARACTERS)


PAGE = Page("/followers", "followers", Group.ADMIN, show, icon="qr_code_2")
