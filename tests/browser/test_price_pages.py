"""Prices in the page: added and removed by an administrator; the cost of a send is shown before and after it."""

import secrets
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in, open_page
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

ADD = {"zh": "添加价格", "en": "Add a price"}
SAVE = {"zh": "添加", "en": "Add"}
LABELS = {"zh": ("服务商", "国家或地区", "价格"), "en": ("Provider", "Country", "Price")}
REMOVE = {"zh": "删除", "en": "Remove"}


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)
def test_a_price_is_added_and_shown_in_usage_and_removed(deployment: Deployment, visit: Visits, look: Look) -> None:
    language = look.language
    auth = {"authorization": f"Bearer {deployment.token()}", "if-match": "*"}
    assert deployment.client.put("/api/v2/prices", json={"prices": []}, headers=auth).status_code == 200
    seen = visit(look)
    page = log_in(seen, "admin", "123")
    open_page(page, "/prices")
    expect(page.locator(".empty-title")).to_be_visible()
    page.get_by_role("button", name=ADD[language], exact=True).click()
    dialog = page.locator(".dialog:visible")
    for label, value in zip(LABELS[language], ("aliyun", "CN", "0.05x"), strict=True):
        dialog.get_by_label(label, exact=True).fill(value)
    dialog.get_by_role("button", name=SAVE[language], exact=True).click()
    expect(dialog).to_contain_text("amount")
    dialog.get_by_label(LABELS[language][2], exact=True).fill("0.05")
    seen.axe()
    dialog.get_by_role("button", name=SAVE[language], exact=True).click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".data-table")).to_contain_text("aliyun")
    expect(page.locator(".data-table")).to_contain_text("0.05 CNY")
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("prices")

    to = f"138{secrets.randbelow(10**8):08d}"
    body = {"token": deployment.token(), "method": "sms", "to": to, "content": "明天下雨"}
    sent = deployment.call("POST", "/api/v2/messages", body)

    def has_cost() -> bool:
        token = deployment.token()
        found = deployment.look_up("/api/v2/messages", id=sent["id"], token=token)["messages"]
        return bool(found) and found[0]["cost"] is not None

    wait(has_cost, 60)
    page.goto("/usage?by=provider")
    expect(page.locator(".table-row").filter(has_text="aliyun").locator(".table-cost")).to_contain_text("CNY")
    assert not scrolls_sideways(page)
    page.goto(f"/messages/{sent['id']}-0")
    expect(page.locator("body")).to_contain_text("0.05 CNY")

    open_page(page, "/prices")
    page.get_by_role("button", name=REMOVE[language]).first.click()
    page.locator(".dialog:visible").get_by_role("button", name=REMOVE[language]).click()
    expect(page.locator(".empty-title")).to_be_visible()
