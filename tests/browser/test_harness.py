"""The browser fixtures notice every fault of a bad page."""

import pytest
from playwright.sync_api import Browser

from imsg_testing.browser import Look, Visit, axe, scrolls_sideways
from imsg_testing.deployment import Deployment


def test_a_page_that_does_everything_wrong_is_seen_through(browser: Browser, deployment: Deployment) -> None:
    seen = Visit(browser, deployment.url, Look("zh", 390))
    seen.page.goto("/health/live")
    seen.page.evaluate("console.error('said')")
    seen.page.evaluate("setTimeout(() => { throw new Error('thrown') })")
    seen.page.evaluate("fetch('/nowhere')")
    seen.page.evaluate("fetch('http://127.0.0.1:1/').catch(() => 0)")
    seen.page.evaluate("document.body.innerHTML = '<img src=x><p style=\"width: 999px\">您好</p>'")
    with pytest.raises(AssertionError, match="image-alt"):
        axe(seen.page)
    assert scrolls_sideways(seen.page)
    told = "\n".join(seen.close())
    for complaint in (
        "console: said",
        "uncaught: thrown",
        "answered 404",
        "another host",
        "failed: GET http://127.0.0.1:1",
    ):
        assert complaint in told
