"""Every page in both languages, widths and colour schemes: no finding of axe-core, no error in the console."""

import re
import secrets
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from imsg_testing.browser import DESK, PHONE, SIDEWAYS, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment, make_attachment
from imsg_testing.page_actions import log_in, open_page, send_and_settle
from imsg_testing.waiting import wait

Visits = Callable[..., Visit]

LOOKS = [
    Look("zh", DESK),
    Look("en", PHONE),
    Look("en", DESK, dark=True),
    Look("zh", PHONE, dark=True),
    Look("zh", SIDEWAYS),
]
"""All pages in one look take 20 s."""

ALONE = ("/password", "/totp", "/nowhere")
"""Pages that the navigation does not name."""


@pytest.fixture(scope="module")
def request_id(deployment: Deployment) -> Iterator[str]:
    """Make data to show: a request with one refused recipient, an SMS and its reply, a template, a group."""
    number = f"139{secrets.randbelow(10**8):08d}"  # it unsubscribes, and other files share this deployment
    sms = {"token": deployment.token(), "method": "sms", "to": number, "content": "明天下雨"}
    assert deployment.call("POST", "/api/send", sms)["errorCode"] == 0
    body = {"from": number, "text": "退订"}
    wait(lambda: deployment.call("POST", "/sandbox/sms/replies", body)["errorCode"] == 0, 60, every_s=0.1)
    to = [f"reader-{secrets.token_hex(4)}@example.com", "bounce@example.com"]
    token, name = deployment.token(), f"shown-{secrets.token_hex(4)}"
    words = {"smtp": {"subject": "{{ name }}您好", "text": "{{ name }}，您有一封信。"}}
    template = {"name": name, "category": "notice", "default_language": "zh", "languages": {"zh": words, "en": words}}
    assert deployment.call("POST", "/api/v2/templates", template, token=token)["errorCode"] == 0
    assert deployment.call("POST", f"/api/v2/templates/{name}/publish", {}, token=token)["errorCode"] == 0
    assert deployment.call("POST", "/api/v2/groups", {"name": name}, token=token)["errorCode"] == 0
    yield send_and_settle(deployment, to, subject="三季度报表", attachment=make_attachment("报表.pdf", b"x" * 2048))
    deployment.call("DELETE", f"/api/v2/templates/{name}", token=token)
    deployment.call("DELETE", f"/api/v2/groups/{name}", token=token)


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
def test_every_page_is_sound(visit: Visits, request_id: str, look: Look) -> None:
    seen = visit(look)
    page = seen.page
    seen.complaints.expect(r"/nowhere|status of 404")
    page.goto("/login")
    seen.axe()
    seen.shoot("login")
    log_in(seen)
    open_page(page, "/")
    listed = page.locator(".side-item").evaluate_all("items => items.map(item => item.getAttribute('href'))")
    assert len(listed) >= 8, listed
    for path in (*listed, *ALONE, f"/sent/{request_id}", f"/messages/{request_id}-1"):
        open_page(page, path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.wait_for_load_state("networkidle")
        seen.axe()
        assert not scrolls_sideways(page), path
        seen.shoot(_name(path))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_user_sees_their_own_pages_and_no_others(deployment: Deployment, visit: Visits, language: str) -> None:
    seen = visit(Look("zh" if language == "zh" else "en", DESK))
    seen.complaints.expect(r"/users|status of 403")
    page = log_in(seen, deployment.new_user(), "correct horse")
    open_page(page, "/")
    expect(page).to_have_url(re.compile("/mine$"))
    listed = page.locator(".side-item").evaluate_all("items => items.map(item => item.getAttribute('href'))")
    assert listed == ["/send", "/templates", "/groups", "/mine", "/replies", "/usage", "/limits", "/keys", "/callbacks"]
    seen.axe()
    seen.shoot("mine-of-a-newcomer")
    page.goto("/users")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.locator(".user-tools").count() == 0
    seen.axe()
    seen.shoot("not-for-users")


def test_the_switches_of_language_and_theme_keep_the_page(visit: Visits) -> None:
    seen = visit(Look("zh", DESK))
    page = log_in(seen)
    page.goto("/limits?a=b")
    page.get_by_role("link", name="Switch to English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("My limits")
    assert page.url.endswith("/limits?a=b")
    assert page.locator("html").get_attribute("lang") == "en-US"
    page.get_by_role("button", name="Account: admin").click()
    page.locator(".menu .q-item", has_text="Dark").click()
    expect(page.locator("body")).to_have_class(re.compile("body--dark"))
    assert page.url.endswith("/limits?a=b")


def _name(path: str) -> str:
    first = path.strip("/").split("/")[0] or "overview"
    return f"page-{first}{'-one' if '-' in path else ''}"
