"""What tests of the page begin with: a session, an open page, settled messages, dead letters."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from playwright.sync_api import Locator, Page, expect

from imsg.valkey import find_running
from imsg_broker.port import Broker
from imsg_contract.topology import DEAD
from imsg_testing.api import DOCUMENTED, SETTLED
from imsg_testing.brokers import open_ready
from imsg_testing.browser import Visit, still
from imsg_testing.deployment import Deployment
from imsg_testing.history import job
from imsg_testing.waiting import wait

PATIENCE_S = 60.0

MAX_RECIPIENTS = 500
"""Messages of a request that one look sees."""

CONTENT = ("subject", "text", "html")


def log_in(visit: Visit, username: str = "admin", password: str = DOCUMENTED["admin"]) -> Page:
    """Log in as the form does, without drawing it: the cookie is the visit's from now on. Return the visit's page."""
    answer = visit.context.request.post(
        "/login",
        form={"username": username, "password": password},
        headers={"origin": visit.origin},
        max_redirects=0,
    )
    assert answer.status == 303, answer.text()
    return visit.page


def open_page(page: Page, path: str) -> None:
    """Open a page, and wait until its socket is joined and its form, if it has one, has looked for a draft."""
    page.goto(path)
    page.wait_for_function("window.did_handshake && (window.imsgDraft || !document.querySelector('.send-form'))")


def choose(page: Page, field: Locator, option: str) -> None:
    """Choose an option of a list by its whole text; return when the list is gone."""
    field.click()
    still(page)  # a list draws its options again while it opens
    page.get_by_role("option", name=option, exact=True).click()
    expect(page.get_by_role("listbox")).to_have_count(0)


def choose_in_menu(page: Page, button: str, entry: str) -> None:
    """Choose what a button's menu offers; return when the menu is gone."""
    page.get_by_role("button", name=button).click()
    page.locator(".menu").get_by_text(entry, exact=True).click()
    expect(page.locator(".q-menu")).to_have_count(0)


def copy_by(page: Page, button: Locator) -> str:
    """Return what a button copies: the browser writes it a moment after the click."""
    page.evaluate("navigator.clipboard.writeText('')")
    button.click()
    copied: str = page.wait_for_function("() => navigator.clipboard.readText()").json_value()
    return copied


def send_and_settle(deployment: Deployment, to: str | Sequence[str], *, token: str = "", **fields: object) -> str:
    """Send a mail and return its request's id once all of it is settled."""
    content = {"subject": "hello", "text": "您好", **{name: fields.pop(name) for name in CONTENT if name in fields}}
    body = {"token": token or deployment.token(), "to": to, "method": "smtp", "content": content, **fields}
    sent = deployment.call("POST", "/api/send", body)
    assert sent["errorCode"] == 0, sent

    def is_settled() -> bool:
        answer = deployment.call("GET", "/api/query", token=deployment.token(), id=sent["id"], limit="500")
        listed = answer.get("messages", [])
        wanted = min(int(sent["count"]), MAX_RECIPIENTS)
        return len(listed) == wanted and all(message["status"] in SETTLED for message in listed)

    wait(is_settled, PATIENCE_S, every_s=0.2)
    return str(sent["id"])


def dead_letter(deployment: Deployment, unreadable: int, to: str, subject: str) -> str:
    """Dead-letter unreadable messages, and then a mail as its sender does; return the mail's request."""
    url = find_running(deployment.data)
    assert url is not None
    with ThreadPoolExecutor(1) as apart:  # Playwright has a loop of its own in this thread
        return apart.submit(asyncio.run, _publish_dead(url, unreadable, to, subject)).result(3 * PATIENCE_S)


async def _publish_dead(url: str, unreadable: int, to: str, subject: str) -> str:
    letter = job(to=(to,), username="admin", content={"subject": subject, "text": "您好"})
    async with open_ready(url) as broker:
        for number in range(unreadable):
            body = f"<script>alert({number})</script> 读不懂的内容".encode()
            await _dead(broker, body, "unreadable")
        await _dead(broker, letter.encode(), "broke the worker 3 times")
    return letter.request


async def _dead(broker: Broker, body: bytes, reason: str) -> None:
    await broker.publish(body, broker.topology.new(DEAD), {"reason": reason, "queue": "imsg.smtp.normal"})
