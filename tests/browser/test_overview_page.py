"""The overview: failures by their causes and users, each with its messages, and what stops people first."""

from collections.abc import Callable
from functools import partial

from playwright.sync_api import expect

from imsg_testing.api import PASSWORD
from imsg_testing.browser import DESK, Look, Visit
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in, send_and_settle
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]


def has_failed(deployment: Deployment, request: str) -> bool:
    """Return whether the only message of a request has failed."""
    return [message["status"] for message in deployment.messages(request)] == ["failed"]


def test_each_cause_leads_to_its_messages_and_what_stops_people_comes_first(
    deployment: Deployment, visit: Visits
) -> None:
    for number, to in enumerate(("bounce+a@example.com", "bounce+b@example.com", "spam@example.com")):
        send_and_settle(deployment, to, subject=f"cause {number}")
    for to in ("19900000001", "19900000002", "19900000007"):  # a fifth cause: the rarest share a name
        request = send_and_settle(deployment, to, method="sms", content="明天下雨")
        wait(partial(has_failed, deployment, request), 60)
    body = {"paused": True, "reason": "搬迁", "token": deployment.token()}
    assert deployment.call("PATCH", "/api/v2/channels/wecom", body)["errorCode"] == 0
    seen = visit(Look("zh", DESK))
    page = log_in(seen)
    page.goto("/")

    first = page.locator(".needs > li").first
    expect(first).to_contain_text("企业微信")
    causes = page.get_by_role("region", name="失败原因")
    causes.get_by_text("查看数字").click()
    expect(causes.locator(".table-row").first).to_be_visible()
    legend = causes.locator(".legend li").filter(has=page.locator("a"))
    counted = [(item.locator("a").get_attribute("href"), item.locator("strong").inner_text()) for item in legend.all()]
    assert len(counted) >= 2
    cells = causes.locator(".table-row a")
    counted += [(cell.get_attribute("href"), cell.inner_text()) for cell in cells.all()]
    for address, shown in counted:
        page.goto(str(address))
        expect(page.locator(".table-row")).to_have_count(int(shown))
        expect(page.locator(".table-row").first).to_contain_text("失败")
    body["paused"] = False
    assert deployment.call("PATCH", "/api/v2/channels/wecom", body)["errorCode"] == 0


def test_a_user_is_counted_and_leads_to_their_messages(deployment: Deployment, visit: Visits) -> None:
    username = deployment.new_user()
    token = deployment.token(username, PASSWORD)
    for to in ("bounce+user@example.com", "one@example.com", "another@example.com"):
        send_and_settle(deployment, to, token=token)
    seen = visit(Look("zh", DESK))
    page = log_in(seen)
    for range_name in ("", "hour", "week", "month"):  # the first two are counted from messages, the others from days
        row = page.get_by_role("region", name="各用户").locator(".table-row").first
        for column, count in (("messages", 3), ("failed", 1)):
            page.goto(f"/?range={range_name}&username={username}")
            expect(row).to_contain_text(username)
            link = row.locator(f".table-{column} a")
            expect(link).to_have_text(str(count))
            page.goto(str(link.get_attribute("href")))
            expect(page.locator(".table-row")).to_have_count(count)
            expect(page.locator(".table-row").filter(has_text="失败")).to_have_count(1)
