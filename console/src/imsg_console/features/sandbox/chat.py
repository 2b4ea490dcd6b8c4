"""The sandbox's WeChat: followers of the account, and a chat with each, menu button included."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from nicegui import ui

from imsg_console.client import path
from imsg_console.features.sandbox.arrivals import Arrivals
from imsg_console.features.sandbox.bubbles import draw_answer_field, draw_bubble, write_now
from imsg_console.features.sandbox.split import Item, Split, pane_head
from imsg_console.sanitize import block, line
from imsg_console.view import View
from imsg_console.widgets.copying import copy_button
from imsg_console.widgets.elements import attrs, button, element
from imsg_console.widgets.notices import empty, toast

FOLLOWERS = "/sandbox/wechat/followers"
BUTTON = "获取我的openID"
"""The menu's key (docs/wechat.md)."""

MAX_SHOWN = 300

MAX_CHARACTERS = 600

TO_THE_LAST = "document.querySelector('.chat-bubbles')?.scrollTo({top: 1e9})"

TAG = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{3}-[0-9A-HJKMNP-TV-Z]{3}-[0-9A-HJKMNP-TV-Z]{3}\b")

Side = Literal["account", "follower", "event"]


@dataclass(frozen=True, slots=True)
class ChatLine:
    """One line of a chat."""

    at: str
    side: Side
    text: str
    is_template: bool = False


@dataclass(frozen=True, slots=True)
class Follower:
    """A person who follows the account, or has unfollowed it."""

    openid: str
    account: str
    number: int
    follows: bool
    tag: str = ""


class Chats:
    """Draws the chats, and refreshes them. This page alone knows what followers do: the sandbox keeps no record."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._t = view.t
        self._arrivals = Arrivals(view.sandbox, "wechat", MAX_SHOWN)
        self._followers: dict[str, Follower] = {}
        self._tags: dict[str, str] = {}
        self._local: dict[str, list[ChatLine]] = {}
        t = view.t
        with ui.row():
            button(t("sandbox.follow"), self._follow, kind="main", symbol="person_add")
        self._empty = empty(t("sandbox.wechat_none_title"), t("sandbox.wechat_none"), "forum")
        with element("div") as self._place:
            self._split = Split(view, t("sandbox.followers"), t("sandbox.wechat_choose"), self._open)
        self._place.set_visibility(False)

    async def refresh(self) -> None:
        """Show what has changed. Raises ApiError."""
        changed = await self._arrivals.refresh()
        listed = (await self._view.sandbox.call("GET", FOLLOWERS))["followers"]
        followers = {
            follower["openid"]: Follower(
                follower["openid"],
                follower["account"],
                n,
                bool(follower["following"]),
                self._tags.get(follower["openid"], ""),
            )
            for n, follower in enumerate(listed, 1)
        }
        if not changed and followers == self._followers:
            return
        self._followers = followers
        self._empty.set_visibility(not followers)
        self._place.set_visibility(bool(followers))
        self._split.show([self._item(follower) for follower in reversed(followers.values())])
        if self._split.chosen in followers:
            self._draw_lines(self._split.chosen)

    def _item(self, follower: Follower) -> Item:
        state = "" if follower.follows else self._t("sandbox.left")
        last = self._lines(follower.openid)
        text = line(last[-1].text, 60) if last else ""
        known = [words for words in (follower.tag, text if text != follower.tag else "") if words]
        return Item(
            follower.openid,
            self._t("sandbox.follower", n=follower.number),
            " · ".join(known) or follower.openid,
            state,
            "account_circle" if follower.follows else "no_accounts",
        )

    def _lines(self, openid: str) -> list[ChatLine]:
        sent = [
            ChatLine(message["at"], "account", str(message["text"] or ""), is_template=True)
            for message in self._arrivals.messages
            if message["to"] == openid
        ]
        return sorted([*sent, *self._local.get(openid, [])], key=lambda line: line.at)

    def _open(self, openid: str) -> None:
        follower, t = self._followers[openid], self._t
        head = pane_head(t("sandbox.follower", n=follower.number))
        with head, ui.row():
            self._leave_button(follower)
        with element("p", "muted small"):
            element("span", "", t("sandbox.account", name=line(follower.account)))
            element("code", "", openid)
        self._bubbles = attrs(element("div", "chat-bubbles"), tabindex="0")
        attrs(
            self._bubbles, role="log", aria_label=t("sandbox.chat_with", name=t("sandbox.follower", n=follower.number))
        )
        self._draw_lines(openid)
        if not follower.follows:
            return
        with ui.row().classes("chat-foot"):
            press = button(t("sandbox.press"), lambda: self._press(openid), symbol="menu")
            attrs(press, aria_label=t("sandbox.press_label"))
            draw_answer_field(
                t("sandbox.say"),
                t("sandbox.say_send"),
                partial(self._send, openid),
                max_length=MAX_CHARACTERS,
                symbol="send",
            )

    def _leave_button(self, follower: Follower) -> None:
        t = self._t
        if follower.follows:
            button(t("sandbox.unfollow"), lambda: self._unfollow(follower.openid), symbol="person_remove")
        else:
            again = t("sandbox.follow_again")
            button(again, lambda: self._follow_again(follower.openid), kind="main", symbol="person_add")

    def _draw_lines(self, openid: str) -> None:
        self._bubbles.clear()
        lines = self._lines(openid)
        with self._bubbles:
            if not lines:
                element("p", "muted", self._t("sandbox.chat_none"))
            for line_ in lines:
                self._draw_line(line_)
        ui.run_javascript(TO_THE_LAST)

    def _draw_line(self, chat_line: ChatLine) -> None:
        if chat_line.side == "event":
            with element("p", f"bubble bubble-{chat_line.side} muted small"):
                element("span", "", f"{block(chat_line.text, 2_000)} · {self._view.times.short(chat_line.at)}")
            return
        tag = find_tag(chat_line.text) if chat_line.side == "account" else ""
        text = chat_line.text if chat_line.text.strip() != tag else None
        name = self._t("sandbox.template_message") if chat_line.is_template else None
        with draw_bubble(self._view, chat_line.at, text, chat_line.side, name=name):
            if tag:
                copy_button(self._view, tag, tag, name=self._t("sandbox.tag_copy", tag=tag))

    async def _follow(self) -> None:
        answer = await self._view.sandbox.call("POST", FOLLOWERS, {})
        openid = str(answer["openid"])
        self._add_line(openid, "event", self._t("sandbox.joined"))
        self._show_answer(openid, answer)
        await self.refresh()
        self._split.choose(openid)
        toast(self._t("sandbox.followed"))

    async def _press(self, openid: str) -> None:
        self._add_line(openid, "follower", self._t("sandbox.pressed"))
        answer = await self._view.sandbox.call("POST", f"{path(FOLLOWERS, openid)}/press", {"key": BUTTON})
        await self._process(openid, answer)

    async def _send(self, openid: str, text: str) -> None:
        self._add_line(openid, "follower", text)
        answer = await self._view.sandbox.call("POST", f"{path(FOLLOWERS, openid)}/say", {"text": text})
        await self._process(openid, answer)

    async def _unfollow(self, openid: str) -> None:
        answer = await self._view.sandbox.call("DELETE", path(FOLLOWERS, openid))
        self._add_line(openid, "event", self._t("sandbox.left"))
        await self._redraw(openid)
        if answer["answered"]:
            toast(self._t("sandbox.unfollow_done"))
        else:
            toast(self._t("sandbox.not_answered"), good=False)

    async def _follow_again(self, openid: str) -> None:
        answer = await self._view.sandbox.call("POST", f"{path(FOLLOWERS, openid)}/follow")
        self._add_line(openid, "event", self._t("sandbox.joined"))
        self._show_answer(openid, answer)
        await self._redraw(openid)

    async def _process(self, openid: str, answer: Mapping[str, Any]) -> None:
        self._show_answer(openid, answer)
        self._draw_lines(openid)
        await self.refresh()

    async def _redraw(self, openid: str) -> None:
        await self.refresh()
        self._split.choose(openid)

    def _show_answer(self, openid: str, answer: Mapping[str, Any]) -> None:
        if not answer["answered"]:
            toast(self._t("sandbox.not_answered"), good=False)
        elif answer["reply"]:
            reply = str(answer["reply"])
            self._add_line(openid, "account", reply)
            if tag := find_tag(reply):
                self._tags[openid] = tag
        else:
            toast(self._t("sandbox.no_answer"))

    def _add_line(self, openid: str, side: Side, text: str) -> None:
        self._local.setdefault(openid, []).append(ChatLine(write_now(), side, text))


def find_tag(text: str) -> str:
    """Return the tag in an answer of the account; empty where there is none."""
    match = TAG.search(text)
    return match[0] if match else ""
