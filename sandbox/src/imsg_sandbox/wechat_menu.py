"""WeChat's rules for a menu: the number of its buttons, and the bytes of their names."""

from collections.abc import Mapping
from typing import Any

from imsg_sandbox.wechat_errors import Refused

MAX_BUTTONS, MAX_SUB_BUTTONS = 3, 5
MAX_NAME_BYTES, MAX_SUB_NAME_BYTES, MAX_KEY_BYTES = 16, 60, 128


def check(menu: object) -> list[object]:
    """Return the buttons of a menu. Raises Refused."""
    buttons = menu.get("button") if isinstance(menu, dict) else None
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= MAX_BUTTONS:
        raise Refused(40016, "invalid button size")
    for button in buttons:
        _check_button(button, MAX_NAME_BYTES, may_have_children=True)
    return buttons


def _check_button(button: object, name_bytes: int, *, may_have_children: bool) -> None:
    if not isinstance(button, dict) or not isinstance(button.get("name"), str) or not button["name"]:
        raise Refused(40018)
    if len(button["name"].encode()) > name_bytes:
        raise Refused(40018)
    children = button.get("sub_button")
    if children and may_have_children:
        if not isinstance(children, list) or len(children) > MAX_SUB_BUTTONS:
            raise Refused(40023, "invalid sub button size")
        for child in children:
            _check_button(child, MAX_SUB_NAME_BYTES, may_have_children=False)
        return
    if button.get("type") == "click" and not 1 <= len(str(button.get("key", "")).encode()) <= MAX_KEY_BYTES:
        raise Refused(40019, "invalid button key size")
    if not isinstance(button.get("type"), str):
        raise Refused(40015, "invalid button type")


def as_shown(menu: Mapping[str, Any]) -> dict[str, Any]:
    """Return a menu as `get_current_selfmenu_info` does: the children of a button are in a `list`."""
    buttons = [dict(button) for button in menu.get("button", [])]
    for button in buttons:
        if button.get("sub_button"):
            button["sub_button"] = {"list": button["sub_button"]}
    return {"button": buttons}
