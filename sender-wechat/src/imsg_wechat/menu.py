"""Adds the button 获取我的openID to an account's menu.

A menu that was written by the API can't be changed in WeChat's console any more; so its other buttons are kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imsg_wechat.api import Api
from imsg_wechat.codes import ErrorAnswer
from imsg_wechat.replies import TAG_BUTTON_KEY
from imsg_wechat.transport import ApiAnswer, CallFailure

Button = Mapping[str, Any]

NO_MENU = 46003
"""The error code of an account without a menu made by the API."""

MAX_BUTTONS, MAX_SUB_BUTTONS = 3, 5
"""The most buttons of the menu bar, and of one sub-menu (api_createcustommenu)."""

OPENID_BUTTON: Button = {"type": "click", "name": "获取我的openID", "key": TAG_BUTTON_KEY}
PARENT_NAME = "我的"
"""The name of the sub-menu with the button, whose own name exceeds the 16 bytes of the bar."""

WRITABLE_TYPES = frozenset(
    {
        "click",
        "view",
        "miniprogram",
        "scancode_push",
        "scancode_waitmsg",
        "pic_sysphoto",
        "pic_photo_or_album",
        "pic_weixin",
        "location_select",
        "media_id",
        "view_limited",
        "article_id",
        "article_view_limited",
    }
)
"""The types of buttons that the API can write; only WeChat's console makes others (`text`, `img`, `news`, `video`)."""


class CannotMerge(Exception):  # noqa: N818  its name says the error
    """The button can't be added to the menu; the text says why, and the remedy."""


@dataclass(frozen=True, slots=True)
class MenuResult:
    """The result of adding the button to an account's menu."""

    buttons: Sequence[Button] = ()
    had_button: bool = False
    """Whether the menu had the button before, and nothing was written."""
    why: str | None = None
    """Why the button is not in the menu; None if it is."""


def merge(buttons: Sequence[Button]) -> Sequence[Button] | None:
    """Add the button to a menu; return None if the menu has it. Raises CannotMerge.

    The place is the sub-menu 我的 if there is one, else a new one, else the last sub-menu with space.
    """
    menu = [_read_button(button) for button in buttons]
    if any(item.get("key") == TAG_BUTTON_KEY for button in menu for item in (button, *button.get("sub_button", ()))):
        return None
    for button in menu:
        if button["name"] == PARENT_NAME and _has_space(button):
            button["sub_button"].append(OPENID_BUTTON)
            return menu
    if len(menu) < MAX_BUTTONS:
        return [*menu, {"name": PARENT_NAME, "sub_button": [OPENID_BUTTON]}]
    for button in reversed(menu):
        if _has_space(button):
            button["sub_button"].append(OPENID_BUTTON)
            return menu
    raise CannotMerge(
        "all places of its menu are taken: remove a button in WeChat's console or by its API, or give --replace, "
        "which makes a menu of our button alone"
    )


def _has_space(button: Button) -> bool:
    return "sub_button" in button and len(button["sub_button"]) < MAX_SUB_BUTTONS


def _read_button(button: Button) -> dict[str, Any]:
    """Return a button, from either call, as the API writes it. Raises CannotMerge."""
    children = button.get("sub_button") or []
    children = children.get("list", []) if isinstance(children, dict) else children
    if children:
        return {"name": button["name"], "sub_button": [_read_button(child) for child in children]}
    kind = button.get("type")
    if kind not in WRITABLE_TYPES:
        raise CannotMerge(
            f"“{button.get('name')}” was made in WeChat's console and shows what only the console can ({kind}): "
            "an API that adds a button would lose it. Give --replace to make a menu of our button alone, or tell "
            "people to write “openID”, which is answered as well"
        )
    return {name: value for name, value in button.items() if name != "sub_button" and value not in ("", None)}


async def make_menu(api: Api, *, replace: bool = False) -> MenuResult:
    """Add the button to the menu of an account; with `replace`, make a menu of this button only."""
    buttons: Sequence[Button] = ()
    if not replace:
        current = await _fetch_buttons(api)
        if isinstance(current, MenuResult):
            return current
        buttons = current
    try:
        merged = merge(buttons)
    except CannotMerge as error:
        return MenuResult(why=str(error))
    if merged is None:
        return MenuResult(buttons, had_button=True)
    answer = await api.write_menu(merged)
    return MenuResult(merged, why=_explain(answer))


async def _fetch_buttons(api: Api) -> Sequence[Button] | MenuResult:
    """Return the buttons of the API's menu, else of the console's menu; empty if there is neither."""
    answer = await api.read_menu()
    if isinstance(answer, ErrorAnswer) and answer.code == NO_MENU:
        answer = await api.read_console_menu()
        if not isinstance(answer, ErrorAnswer | CallFailure):
            is_open = answer.get("is_menu_open")
            return answer.get("selfmenu_info", {}).get("button", []) if is_open else []
    if isinstance(answer, ErrorAnswer | CallFailure):
        return MenuResult(why=_explain(answer))
    buttons: Sequence[Button] = answer.get("menu", {}).get("button", [])
    return buttons


def _explain(answer: ApiAnswer) -> str | None:
    if isinstance(answer, ErrorAnswer):
        return f"{answer.code}: {answer.detail}"
    return answer.detail if isinstance(answer, CallFailure) else None


def describe_menu(account: str, result: MenuResult) -> str:
    """Return a sentence about the result."""
    if result.why is not None:
        return f"{account} does not have the button: {result.why}"
    bar = " | ".join(
        button["name"] + "".join(f" › {child['name']}" for child in button.get("sub_button", ()))
        for button in result.buttons
    )
    if result.had_button:
        return f"{account} has the button already: {bar}"
    return f"{account}: {bar}. People see it within minutes, or at once after following anew."
