"""Followers in the page: bound by a code, found by tag and user, tags renewed and revoked."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in, open_page

Visits = Callable[..., Visit]

BIND = {"zh": "绑定微信", "en": "Bind a follower"}
MAKE = {"zh": "生成二维码", "en": "Make the code"}
CONFIRM = {"zh": "一致，确认绑定", "en": "It is the same: bind"}
RENEW = {"zh": "更换标记", "en": "Renew the tag"}
REVOKE = {"zh": "作废标记", "en": "Revoke the tag"}
CODE = {"zh": "绑定用户 {name} 的二维码", "en": "QR code that binds user {name}"}


def scan_newest(deployment: Deployment, openid: str) -> None:
    """Scan the code that is on the page, as a phone's camera reads it."""
    (account,) = deployment.call("GET", "/sandbox/wechat")["accounts"]
    scanned = deployment.call("POST", f"/sandbox/wechat/followers/{openid}/scan", {"url": account["codes"][-1]})
    assert scanned["errorCode"] == 0, scanned


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)
def test_a_follower_is_bound_found_renewed_and_revoked(deployment: Deployment, visit: Visits, look: Look) -> None:
    language, name = look.language, deployment.new_user()
    openid = deployment.call("POST", "/sandbox/wechat/followers")["openid"]
    seen = visit(look)
    page = log_in(seen, "admin", "123")
    open_page(page, "/followers")
    page.get_by_role("button", name=BIND[language]).click()
    dialog = page.locator(".dialog:visible")
    dialog.locator("input[type=text]:visible").last.fill(name)
    dialog.get_by_role("button", name=MAKE[language]).click()
    code = dialog.locator("img.follower-code")
    expect(code).to_be_visible()
    expect(code).to_have_attribute("alt", CODE[language].format(name=name))
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("binding")
    scan_newest(deployment, openid)
    shown = dialog.locator(".follower-tag")
    expect(shown).to_be_visible()
    tag = shown.inner_text()
    seen.axe()
    dialog.get_by_role("button", name=CONFIRM[language]).click()
    expect(dialog).to_have_count(0)
    (bound,) = deployment.call("GET", "/api/v2/followers", {"token": deployment.token()}, user=name)["followers"]
    assert bound["tag"] == tag

    open_page(page, f"/followers?search={tag}")
    expect(page.locator(".data-table")).to_contain_text(name)
    seen.axe()
    seen.shoot("followers")
    page.get_by_role("button", name=RENEW[language]).click()
    expect(page.locator(".dialog:visible")).to_have_count(1)
    seen.axe()
    page.locator(".dialog:visible").get_by_role("button", name=RENEW[language]).click()
    expect(page.locator(".data-table")).to_be_hidden()

    open_page(page, f"/followers?search={name}")
    expect(page.locator(".data-table")).to_contain_text(name)
    expect(page.locator(".data-table")).not_to_contain_text(tag)
    page.get_by_role("button", name=REVOKE[language]).click()
    expect(page.locator(".dialog:visible")).to_have_count(1)
    seen.axe()
    page.locator(".dialog:visible").get_by_role("button", name=REVOKE[language]).click()
    expect(page.locator(".data-table")).to_be_hidden()
    assert deployment.call("GET", "/api/v2/followers", {"token": deployment.token()}, user=name)["followers"] == []
