"""A template on the send page: to a group whose fields are the params, checked as the first of them will see it."""

import secrets
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from imsg_testing.api import PASSWORD
from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in

Visits = Callable[..., Visit]


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("zh", PHONE)], ids=lambda look: look.name)
def test_a_group_gets_a_template_with_its_own_fields(deployment: Deployment, visit: Visits, look: Look) -> None:
    owner, name = deployment.new_user(), f"grade-{secrets.token_hex(3)}"
    token, domain = deployment.token(owner, PASSWORD), f"{secrets.token_hex(4)}.example"
    mail = {"subject": "{{ 姓名 }}的成绩", "text": "{{ 成绩 }} 分，{{ 学期 }}学期"}
    template = {"name": name, "category": "notice", "default_language": "zh", "languages": {"zh": {"smtp": mail}}}
    for path, body in (("", template), (f"/{name}/publish", {})):
        answer = deployment.call("POST", f"/api/v2/templates{path}", {"token": token, **body})
        assert answer["errorCode"] == 0, answer
    deployment.call("POST", "/api/v2/groups", {"token": token, "name": name})
    members = [
        {"to": f"{number}@{domain}", "params": {"姓名": f"学生{number}", "成绩": f"{90 + number}", "班级": "三二班"}}
        for number in range(4)
    ]
    deployment.call("POST", f"/api/v2/groups/{name}/members", {"token": token, "members": members})
    seen = visit(look)
    log_in(seen, owner, PASSWORD)
    page = seen.page
    page.goto(f"/send?group={name}")
    page.wait_for_function("window.socket && window.socket.connected")
    page.get_by_label("已存的模板").click()
    page.locator(".q-menu .q-item", has_text=name).click()
    expect(page.locator(".field-param")).to_have_count(3, timeout=60_000)
    page.locator("input.field-param, .field-param input").nth(2).fill("春季")
    expect(page.locator(".send-side")).to_contain_text("春季学期", timeout=60_000)
    seen.axe()
    page.locator(".send-button").click()
    expect(page.locator(".confirm-title")).to_be_visible(timeout=60_000)
    for number in range(3):
        expect(page.locator(".send-confirming")).to_contain_text(f"学生{number}的成绩")
        expect(page.locator(".send-confirming")).to_contain_text(f"{90 + number} 分，春季学期")
    expect(page.locator(".send-confirming")).not_to_contain_text("学生3的成绩")
    seen.axe()
    assert not scrolls_sideways(page)
    page.locator(".confirm-button").click()
    page.wait_for_url("**/sent/*", timeout=60_000)
    arrived = [deployment.wait_arrived(to=f"{number}@{domain}") for number in range(4)]
    assert [(one["subject"], one["text"].strip()) for one in arrived] == [
        (f"学生{number}的成绩", f"{90 + number} 分，春季学期") for number in range(4)
    ]
