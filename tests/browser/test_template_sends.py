"""A template on the send page: to a group whose fields are the params, previewed for its first members."""

import secrets
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from imsg_testing.api import PASSWORD
from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in, open_page

Visits = Callable[..., Visit]


MAIL = {"subject": "{{ 姓名 }}的成绩", "text": "{{ 成绩 }} 分，{{ 学期 }}学期"}


def publish(deployment: Deployment, token: str) -> str:
    """Publish a template; return its name."""
    name = f"grade-{secrets.token_hex(3)}"
    template = {"name": name, "category": "notice", "default_language": "zh", "languages": {"zh": {"smtp": MAIL}}}
    for path, body in (("", template), (f"/{name}/publish", {})):
        answer = deployment.call("POST", f"/api/v2/templates{path}", {"token": token, **body})
        assert answer["errorCode"] == 0, answer
    return name


def choose(page: Page, field: Locator, option: str) -> None:
    """Choose of a list."""
    field.click()
    page.locator(".q-menu .q-item", has_text=option).click()
    expect(page.locator(".q-menu")).to_have_count(0)


def confirm(seen: Visit) -> None:
    """Check that the preview shows the messages of the first three, and send."""
    page = seen.page
    expect(page.locator(".confirm-title")).to_be_visible(timeout=60_000)
    for number in range(3):
        expect(page.locator(".send-confirming")).to_contain_text(f"学生{number}的成绩")
        expect(page.locator(".send-confirming")).to_contain_text(f"{90 + number} 分，春季学期")
    expect(page.locator(".send-confirming")).not_to_contain_text("学生3的成绩")
    seen.axe()
    assert not scrolls_sideways(page)
    page.locator(".confirm-button").click()
    page.wait_for_url("**/sent/*", timeout=60_000)


def check_arrived(deployment: Deployment, domain: str, numbers: range) -> None:
    """Check that each recipient got their own text."""
    arrived = [deployment.wait_arrived(to=f"{number}@{domain}") for number in numbers]
    assert [(message["subject"], message["text"].strip()) for message in arrived] == [
        (f"学生{number}的成绩", f"{90 + number} 分，春季学期") for number in numbers
    ]


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("zh", PHONE)], ids=lambda look: look.name)
def test_a_group_gets_a_template_with_its_own_fields(deployment: Deployment, visit: Visits, look: Look) -> None:
    owner = deployment.new_user()
    token, domain = deployment.token(owner, PASSWORD), f"{secrets.token_hex(4)}.example"
    name = publish(deployment, token)
    deployment.call("POST", "/api/v2/groups", {"token": token, "name": name})
    members = [
        {"to": f"{number}@{domain}", "params": {"姓名": f"学生{number}", "成绩": f"{90 + number}", "班级": "三二班"}}
        for number in range(4)
    ]
    deployment.call("POST", f"/api/v2/groups/{name}/members", {"token": token, "members": members})
    seen = visit(look)
    page = log_in(seen, owner, PASSWORD)
    open_page(page, f"/send?group={name}")
    choose(page, page.get_by_label("已存的模板"), name)
    term = page.locator("input.field-param:visible, .field-param:visible input")
    expect(term).to_have_count(1, timeout=60_000)
    term.fill("春季")
    expect(page.locator(".send-side")).to_contain_text("90 分，春季学期", timeout=60_000)
    seen.axe()
    seen.shoot("send-template")
    page.locator(".send-button").click()
    confirm(seen)
    check_arrived(deployment, domain, range(4))


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("zh", PHONE)], ids=lambda look: look.name)
def test_the_columns_of_a_sheet_fill_a_template(deployment: Deployment, visit: Visits, look: Look) -> None:
    owner = deployment.new_user()
    token, domain = deployment.token(owner, PASSWORD), f"{secrets.token_hex(4)}.example"
    name = publish(deployment, token)
    seen = visit(look)
    page = log_in(seen, owner, PASSWORD)
    open_page(page, "/send")
    rows = [f"学生{number},{number}@{domain},{90 + number}" for number in range(4)]
    content = "\n".join(["三年级二班,,", "姓　名,邮箱,分数", *rows, f"学生4,4@{domain},", ""]).encode("gbk")
    chooser = page.locator(".upload-list input[type=file]")
    chooser.set_input_files({"name": "名单.csv", "mimeType": "text/csv", "buffer": content})
    page.get_by_role("dialog").get_by_role("button", name="导入 5 个").click()
    choose(page, page.get_by_label("已存的模板"), name)
    columns = page.locator(".param-column:visible")
    expect(columns).to_have_count(3, timeout=60_000)
    expect(columns.nth(0)).to_contain_text("姓 名")  # by its name, which has a wide blank in the sheet
    expect(columns.nth(1)).to_contain_text("分数")  # says the same as 成绩
    term = page.locator("input.field-param:visible, .field-param:visible input")
    expect(term).to_have_count(1, timeout=60_000)
    term.fill("春季")
    expect(page.locator(".send-side")).to_contain_text("90 分，春季学期", timeout=60_000)
    seen.axe()
    seen.shoot("send-columns")
    page.locator(".send-button").click()
    expect(page.locator(".send-trouble")).to_contain_text(f"第 7 行 4@{domain}：分数", timeout=60_000)
    seen.axe()
    seen.shoot("send-missing")
    page.get_by_role("button", name="去掉这些人再发送").click()
    confirm(seen)
    check_arrived(deployment, domain, range(4))
    deployment.wait_settled(page.url.rpartition("/")[2].partition("?")[0], count=4)  # history knows what was sent last
    page.goto("/send")
    page.get_by_role("link", name="照上一条写").click()
    expect(page.get_by_label("已存的模板")).to_have_value(name, timeout=60_000)
    expect(page.get_by_label("学期", exact=True).last).to_have_value("春季", timeout=60_000)
    seen.axe()
