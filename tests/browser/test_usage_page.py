"""Usage in the page: from the log-in to what a system sent in a month, and the same as a workbook."""

from collections.abc import Callable
from pathlib import Path

import pytest
from openpyxl import load_workbook
from playwright.sync_api import expect

from imsg_testing.api import PASSWORD
from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

NAMES = {"zh": ("导出", "用户", "月份"), "en": ("Export", "User", "Month")}


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)
def test_what_a_system_sent_this_month_is_seen_and_exported(
    deployment: Deployment, visit: Visits, look: Look, tmp_path: Path
) -> None:
    export, user, month = NAMES[look.language]
    name = deployment.new_user()
    token = deployment.token(name, PASSWORD)
    to, content = [f"reader{n}@example.com" for n in range(37)], {"subject": "hello", "text": "您好"}
    body = {"token": token, "method": "smtp", "to": to, "content": content}
    request = deployment.call("POST", "/api/v2/messages", body)["id"]

    def is_sent() -> bool:
        shown = deployment.call("GET", f"/api/v2/requests/{request}", token=token)
        return bool(shown.get("counts", {}).get("sent") == 37)

    wait(is_sent, 60)

    seen = visit(look)
    page = log_in(seen)
    page.goto("/usage")
    row = page.locator(".table-row").filter(has_text=name)
    expect(row.locator(".table-messages")).to_contain_text("37")
    expect(row.locator(".table-sent")).to_contain_text("37")
    expect(page.locator(".chart svg")).to_be_visible()
    assert not scrolls_sideways(page)
    seen.axe()

    page.get_by_role("button", name=export).click()
    with page.expect_download() as started:
        page.locator(".menu:visible [role=button]").first.click()
    started.value.save_as(tmp_path / "usage.xlsx")
    head, *rows = load_workbook(tmp_path / "usage.xlsx").worksheets[0].iter_rows(values_only=True)
    assert head[0] == user
    assert [row[1] for row in rows if row[0] == name] == [37]

    page.get_by_label(month).click()
    page.get_by_role("option").nth(1).click()
    expect(page.get_by_role("listbox")).to_have_count(0)
    expect(page.locator(".empty-title")).to_be_visible()
    expect(page.locator(".table-row")).to_have_count(0)


def test_a_user_sees_their_own_usage_alone(deployment: Deployment, visit: Visits) -> None:
    assert deployment.send("reader@example.com")["errorCode"] == 0
    seen = visit(Look("zh", DESK))
    page = log_in(seen, deployment.new_user(), PASSWORD)
    page.goto("/usage")
    expect(page.locator(".empty-title")).to_contain_text("没有用量")
