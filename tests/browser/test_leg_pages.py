"""A person's legs in the page of a message: each channel that was tried, as one story."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in
from imsg_testing.waiting import wait

REFUSED = "19900000002"
"""A number that the sandbox refuses."""


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)
def test_a_message_shows_the_channels_that_were_tried_for_its_person(
    deployment: Deployment, visit: Callable[..., Visit], look: Look
) -> None:
    content = {"subject": "another way", "text": "明天下雨"}
    answer = deployment.call(
        "POST",
        "/api/v2/messages",
        {
            "token": deployment.token(), "method": "sms", "content": "明天下雨",
            "to": {"to": REFUSED, "contacts": {"smtp": "legs@example.com"}},
            "fallback": [{"method": "smtp", "after_s": 60, "content": content}],
        },
    )  # fmt: skip
    first, second = (f"{leg['id']}-0" for leg in answer["legs"])
    path = f"/api/v2/requests/{answer['id']}"
    wait(lambda: deployment.call("GET", path, token=deployment.token()).get("state") == "settled", 60)
    seen = visit(look)
    page = log_in(seen, "admin", "123")
    page.goto(f"/messages/{first}")
    link = page.locator(f"a[href='/messages/{second}']")
    expect(link).to_be_visible()
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("legs")
    link.click()
    expect(page.locator(f"a[href='/messages/{first}']")).to_be_visible()
