"""The overview: failures by their causes, each with its messages, and what stops people first."""

from collections.abc import Callable

from playwright.sync_api import expect

from imsg_testing.browser import DESK, Look, Visit
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in, send_and_settle

Visits = Callable[..., Visit]


def test_each_cause_leads_to_its_messages_and_what_stops_people_comes_first(
    deployment: Deployment, visit: Visits
) -> None:
    for number, to in enumerate(("bounce+a@example.com", "bounce+b@example.com", "spam@example.com")):
        send_and_settle(deployment, to, subject=f"cause {number}")
    body = {"paused": True, "reason": "搬迁", "token": deployment.token()}
    assert deployment.call("PATCH", "/api/v2/channels/wecom", body)["errorCode"] == 0
    seen = visit(Look("zh", DESK))
    log_in(seen)
    page = seen.page
    page.goto("/")

    first = page.locator(".needs > li").first
    expect(first).to_contain_text("企业微信")
    causes = page.get_by_role("region", name="失败原因")
    causes.get_by_text("查看数字").click()
    expect(causes.locator(".table-row").first).to_be_visible()
    legend = causes.locator(".legend li").filter(has=page.locator("a"))
    counted = [(one.locator("a").get_attribute("href"), one.locator("strong").inner_text()) for one in legend.all()]
    assert len(counted) >= 2
    cells = causes.locator(".table-row a")
    counted += [(one.get_attribute("href"), one.inner_text()) for one in cells.all()]
    for address, shown in counted:
        page.goto(str(address))
        expect(page.locator(".table-row")).to_have_count(int(shown))
        expect(page.locator(".table-row").first).to_contain_text("失败")
    body["paused"] = False
    assert deployment.call("PATCH", "/api/v2/channels/wecom", body)["errorCode"] == 0
