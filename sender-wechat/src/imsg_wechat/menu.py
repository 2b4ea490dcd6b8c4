"""An account's menu with our button in it.

Once an API has an account's menu, WeChat's console can change it no more; so what is there already stays in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imsg_wechat.api import Api
from imsg_wechat.codes import ErrorAnswer
from imsg_wechat.replies import ASKING_KEY
from imsg_wechat.transport import Answer, CallFailure

Button = Mapping[str, Any]

NO_MENU = 46003
"""The account has no menu that an API made."""

MAX_TOP, MAX_BELOW = 3, 5
"""The most buttons in the bar, and below one of them (api_createcustommenu)."""

OURS: Button = {"type": "click", "name": "获取我的openID", "key": ASKING_KEY}
ABOVE = "我的"
"""A name in the bar may have 16 bytes only, so that our button stands below one."""

KEPT_TYPES = frozenset(
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
"""Types that an API may write; others (`text`, `img`, `news`, `video`) only WeChat's console makes."""


class CannotMerge(Exception):  # noqa: N818  its name says the error
    """The menu can't take our button as it is; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class MenuResult:
    """The result for an account's menu."""

    buttons: Sequence[Button] = ()
    has_button_already: bool = False
    """The menu had our button: nothing was written."""
    why: str | None = None
    """Why the button is not in the menu; None if it is."""


def merge(buttons: Sequence[Button]) -> Sequence[Button] | None:
    """Add our button to a menu; return None if the menu has it. Raises CannotMerge.

    Below 我的 where there is one, else as a new button of the bar, else below the last one that has a place.
    """
    read = [_read(button) for button in buttons]
    if any(one.get("key") == ASKING_KEY for button in read for one in (button, *button.get("sub_button", ()))):
        return None
    for button in read:
        if button["name"] == ABOVE and _has_place(button):
            button["sub_button"].append(OURS)
            return read
    if len(read) < MAX_TOP:
        return [*read, {"name": ABOVE, "sub_button": [OURS]}]
    for button in reversed(read):
        if _has_place(button):
            button["sub_button"].append(OURS)
            return read
    raise CannotMerge(
        "all places of its menu are taken: remove a button in WeChat's console or by its API, or give --replace, "
        "which makes a menu of our button alone"
    )


def _has_place(button: Button) -> bool:
    return "sub_button" in button and len(button["sub_button"]) < MAX_BELOW


def _read(button: Button) -> dict[str, Any]:
    """Read a button from either call. Raises CannotMerge."""
    below = button.get("sub_button") or []
    below = below.get("list", []) if isinstance(below, dict) else below
    if below:
        return {"name": button["name"], "sub_button": [_read(one) for one in below]}
    kind = button.get("type")
    if kind not in KEPT_TYPES:
        raise CannotMerge(
            f"“{button.get('name')}” was made in WeChat's console and shows what only the console can ({kind}): "
            "an API that adds a button would lose it. Give --replace to make a menu of our button alone, or tell "
            "people to write “openID”, which is answered as well"
        )
    return {name: value for name, value in button.items() if name != "sub_button" and value not in ("", None)}


async def make_menu(api: Api, *, replace: bool = False) -> MenuResult:
    """Add our button to the menu of an account, or with `replace` make a menu of it alone."""
    buttons: Sequence[Button] = ()
    if not replace:
        found = await _find(api)
        if isinstance(found, MenuResult):
            return found
        buttons = found
    try:
        merged = merge(buttons)
    except CannotMerge as error:
        return MenuResult(why=str(error))
    if merged is None:
        return MenuResult(buttons, has_button_already=True)
    answer = await api.write_menu(merged)
    return MenuResult(merged, why=_explain(answer))


async def _find(api: Api) -> Sequence[Button] | MenuResult:
    """Return the buttons of the menu that an API made, else of the console's menu, else none."""
    answer = await api.read_menu()
    if isinstance(answer, ErrorAnswer) and answer.code == NO_MENU:
        answer = await api.read_console_menu()
        if not isinstance(answer, ErrorAnswer | CallFailure):
            is_open = answer.get("is_menu_open")
            return answer.get("selfmenu_info", {}).get("button", []) if is_open else []
    if isinstance(answer, ErrorAnswer | CallFailure):
        return MenuResult(why=_explain(answer))
    found: Sequence[Button] = answer.get("menu", {}).get("button", [])
    return found


def _explain(answer: Answer) -> str | None:
    if isinstance(answer, ErrorAnswer):
        return f"{answer.code}: {answer.detail}"
    return answer.detail if isinstance(answer, CallFailure) else None


def describe_menu(account: str, made: MenuResult) -> str:
    """Return a sentence about the result."""
    if made.why is not None:
        return f"{account} has not got the button: {made.why}"
    bar = " | ".join(
        button["name"] + "".join(f" › {one['name']}" for one in button.get("sub_button", ())) for button in made.buttons
    )
    if made.has_button_already:
        return f"{account} has the button already: {bar}"
    return f"{account}: {bar}. People see it within minutes, or at once after following anew."
