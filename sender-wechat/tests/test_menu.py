"""Our button joins the menu that an account has; nothing that is in it is lost."""

from typing import Any

import pytest

from imsg_wechat.menu import OPENID_BUTTON, PARENT_NAME, CannotMerge, merge

NEWS = {"type": "view", "name": "新闻", "url": "https://example.com/?a=1&b=2", "sub_button": []}
APP = {
    "type": "miniprogram",
    "name": "小程序",
    "appid": "wx1",
    "pagepath": "p",
    "url": "https://x.cn",
    "sub_button": [],
}
WRITABLE_NEWS = {"type": "view", "name": "新闻", "url": "https://example.com/?a=1&b=2"}


def group(name: str, count: int) -> dict[str, Any]:
    return {
        "name": name,
        "sub_button": [{"type": "view", "name": f"{name}{n}", "url": "https://x.cn"} for n in range(count)],
    }


def test_a_bar_with_room_gets_a_button_more_and_keeps_the_others() -> None:
    merged = merge([NEWS, group("服务", 5)])
    assert merged == [WRITABLE_NEWS, group("服务", 5), {"name": PARENT_NAME, "sub_button": [OPENID_BUTTON]}]
    assert merge([]) == [{"name": PARENT_NAME, "sub_button": [OPENID_BUTTON]}]


def test_below_a_button_of_the_same_name_it_joins_the_others() -> None:
    merged = merge([group(PARENT_NAME, 2), NEWS])
    assert merged is not None
    assert [button["name"] for button in merged[0]["sub_button"]] == ["我的0", "我的1", OPENID_BUTTON["name"]]


def test_a_full_bar_takes_it_below_the_last_button_that_has_a_place() -> None:
    merged = merge([NEWS, group("服务", 4), group("更多", 5)])
    assert merged is not None
    assert merged[1]["sub_button"][-1] == OPENID_BUTTON
    assert len(merged[2]["sub_button"]) == 5


def test_a_full_menu_is_reported() -> None:
    with pytest.raises(CannotMerge, match="all places"):
        merge([NEWS, group("服务", 5), APP])


def test_a_menu_that_has_it_is_left_alone() -> None:
    assert merge([NEWS, {"name": "别的", "sub_button": [OPENID_BUTTON]}]) is None
    assert merge([dict(OPENID_BUTTON)]) is None


def test_a_menu_made_in_the_console_is_read_in_its_own_form() -> None:
    shown = [{"name": "服务", "sub_button": {"list": [{"type": "view", "name": "a", "url": "https://x.cn"}]}}]
    merged = merge(shown)
    assert merged is not None
    assert merged[0] == {"name": "服务", "sub_button": [{"type": "view", "name": "a", "url": "https://x.cn"}]}


@pytest.mark.parametrize("kind", ["text", "img", "news", "video"])
def test_what_only_the_console_can_make_is_not_lost_but_named(kind: str) -> None:
    shown = [{"name": "服务", "sub_button": {"list": [{"type": kind, "name": "关于我们", "value": "…"}]}}]
    with pytest.raises(CannotMerge, match="关于我们"):
        merge(shown)
