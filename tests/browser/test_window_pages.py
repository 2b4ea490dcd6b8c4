"""Windows in the page: added, holidays corrected, and what a window holds is sent now."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in, open_page
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

ADD = {"zh": "添加时段", "en": "Add a window"}
SAVE = {"zh": "保存", "en": "Save"}
MAIL = {"zh": "邮件", "en": "Mail"}
LABELS = {"zh": ("名称", "开始", "结束", "时区"), "en": ("Name", "From", "To", "Time zone")}
RELEASE = {"zh": "全部立即发送", "en": "Send all now"}
REMOVE = {"zh": "删除", "en": "Remove"}


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)
def test_a_window_is_added_and_what_it_holds_is_sent_now(deployment: Deployment, visit: Visits, look: Look) -> None:
    language, name = look.language, f"quiet-{look.language}"
    auth = {"authorization": f"Bearer {deployment.token()}", "if-match": "*"}
    deployment.client.put("/api/v2/windows", json={"windows": []}, headers=auth)
    seen = visit(look)
    page = log_in(seen, "admin", "123")
    open_page(page, "/windows")
    page.get_by_role("button", name=ADD[language], exact=True).click()
    dialog = page.locator(".dialog:visible")
    since = datetime.now(UTC) + timedelta(hours=2)
    values = (name, "8 o'clock", f"{since + timedelta(hours=1):%H:%M}", "UTC")
    for label, value in zip(LABELS[language], values, strict=True):
        dialog.get_by_label(label, exact=True).fill(value)
    dialog.get_by_role("button", name=SAVE[language], exact=True).click()
    expect(dialog).to_contain_text("from")
    dialog.get_by_label(LABELS[language][1], exact=True).fill(f"{since:%H:%M}")
    seen.axe()
    dialog.get_by_role("button", name=SAVE[language], exact=True).click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".data-table").first).to_contain_text(name)
    assert not scrolls_sideways(page)

    body = {
        "token": deployment.token(),
        "method": "sms",
        "content": "大减价",
        "category": "marketing",
    }

    def is_held() -> bool:
        to = f"138{secrets.randbelow(10**8):08d}"  # each has a cap of its own
        return deployment.call("POST", "/api/v2/messages", {**body, "to": to}).get("held_by") == name

    wait(is_held, 60)
    token = deployment.token()
    wait(lambda: bool(deployment.look_up("/api/v2/requests", state="held", token=token)["requests"]), 60)
    page.reload()
    page.wait_for_function("window.did_handshake")
    expect(page.locator(".data-table").last).to_contain_text(name)
    seen.axe()
    seen.shoot("windows")
    page.get_by_role("button", name=RELEASE[language]).first.click()
    page.locator(".dialog:visible").get_by_role("button", name=RELEASE[language], exact=True).click()
    wait(lambda: not deployment.look_up("/api/v2/requests", state="held", token=token)["requests"], 60)
    deployment.client.put("/api/v2/windows", json={"windows": []}, headers=auth)
