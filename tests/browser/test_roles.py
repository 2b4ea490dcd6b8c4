"""Each role sees the buttons of what it may do, and no button or link that ends in a refusal."""

import json
import secrets
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, expect

from imsg_contract.roles import ROLES, Role
from imsg_testing.api import PASSWORD
from imsg_testing.browser import DESK, Look, Visit
from imsg_testing.deployment import Deployment
from imsg_testing.openapi import PERMISSIONS
from imsg_testing.page_actions import log_in, send_and_settle

Visits = Callable[..., Visit]

BUTTONS = (
    ("/users", "POST /register", "新建用户"),
    ("/users", "PATCH /users/{username}", "修改"),
    ("/channels", "PATCH /channels/{method}", "暂停"),
    ("/channels", "PATCH /providers/{method}/{name}", "停用"),
    ("/channels", "POST /messages", "试发"),
    ("/followers", "POST /followers/bind", "绑定微信"),
    ("/suppressions", "POST /suppressions", "添加"),
    ("/suppressions", "DELETE /suppressions/{id}", "移除"),
    ("/prices", "PUT /prices", "添加价格"),
    ("/windows", "PUT /windows", "添加时段"),
    ("/providers", "POST /providers", "添加服务商"),
    ("/messages", "POST /resend", "重发全部失败的"),
    ("/callbacks", "POST /callbacks", "添加回调地址"),
    ("/keys", "POST /keys", "创建密钥"),
)
"""Page, the operation of a button, and its text."""

REFUSAL = "此操作需要"
"""The beginning of what a refusal by role says."""

MAX_BUTTONS = 12
"""Of a page; lists repeat theirs."""

TEXTS = """() => [...document.querySelectorAll('main button')]
    .filter(one => one.checkVisibility({visibilityProperty: true}))
    .map(one => one.innerText.trim().split('\\n').pop())"""


@pytest.fixture(scope="module")
def message(deployment: Deployment) -> str:
    """Make data for each page: a failed message, a suppression, a price; return the message's id."""
    token = deployment.token()
    entry = {"method": "smtp", "to": "no.more@example.com", "token": token}
    assert deployment.call("POST", "/api/v2/suppressions", entry)["errorCode"] == 0
    headers = {"authorization": f"Bearer {token}"}
    etag = deployment.client.get("/api/v2/prices", headers=headers).headers["etag"]
    price = {
        "method": "smtp",
        "provider": "a",
        "per": "message",
        "amount": "1",
        "currency": "CNY",
        "from": "2026-01-01",
    }
    put = deployment.client.put(
        "/api/v2/prices", json={"prices": [price | {"from": "2026-01-01"}]}, headers={**headers, "if-match": etag}
    )
    assert put.status_code == 200, put.text
    return f"{send_and_settle(deployment, 'bounce@example.com', subject='returned')}-0"


def add_user(deployment: Deployment, role: Role) -> str:
    """Register a user with a role, and return the name."""
    name = f"{role}-{secrets.token_hex(4)}"
    body = {"token": deployment.token(), "username": name, "password": PASSWORD, "role": role}
    assert deployment.call("POST", "/api/v2/register", body)["errorCode"] == 0
    return name


def visit_pages(page: Page, message: str) -> Iterator[str]:
    """Open each page that the navigation offers, and a message."""
    page.goto("/password")
    offered = page.locator(".side-item").evaluate_all("items => items.map(item => item.getAttribute('href'))")
    for path in (*offered, f"/messages/{message}"):
        if path != "/inbox":  # the sandbox's, for administrators alone
            open_drawn(page, path)
            yield path


def open_drawn(page: Page, path: str) -> None:
    """Open a page, and wait until it is drawn."""
    try:
        page.goto(path)
    except PlaywrightError:  # a button that was clicked is leading elsewhere
        open_drawn(page, path)
    expect(page.get_by_role("heading", level=1).first).to_be_visible()
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize("role", ROLES)
def test_a_role_sees_what_it_may_do_and_no_more(
    deployment: Deployment, visit: Visits, message: str, role: Role
) -> None:
    may = json.loads(PERMISSIONS.read_text(encoding="utf-8"))
    seen = visit(Look("zh", DESK))
    log_in(seen, add_user(deployment, role), PASSWORD)
    page, wrong, links = seen.page, [], set[str]()
    for path in visit_pages(page, message):
        texts = page.evaluate(TEXTS)
        links |= set(page.locator("a[href^='/']").evaluate_all("found => found.map(one => one.getAttribute('href'))"))
        for at, operation, text in BUTTONS:
            if at == path and (text in texts) != (role in may[operation]):
                wrong.append((path, operation, text, texts))
    assert wrong == []
    refused = [link for link in links if page.request.get(link, headers={"accept": "text/html"}).status == 403]
    assert refused == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", ["operator", "auditor"])
def test_no_button_that_is_shown_ends_in_a_refusal(
    deployment: Deployment, visit: Visits, message: str, role: Role
) -> None:
    seen = visit(Look("zh", DESK))
    log_in(seen, add_user(deployment, role), PASSWORD)
    seen.complaints.expect("ERR_NETWORK_CHANGED|ERR_ABORTED")  # the next page is opened while a click leads elsewhere
    page, tried, shown = seen.page, 0, "main button:visible:enabled"
    for path in visit_pages(page, message):
        for at in range(min(page.locator(shown).count(), MAX_BUTTONS)):
            open_drawn(page, path)
            if at >= page.locator(shown).count():
                break
            page.locator(shown).nth(at).dispatch_event("click")  # an upload field lies over its button
            page.wait_for_load_state("networkidle")
            expect(page.get_by_text(REFUSAL)).to_have_count(0)
            tried += 1
    assert tried > 20
