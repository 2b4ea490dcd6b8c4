"""The reader at /docs: in both languages, from this server alone, with a request that is really sent."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from imsg_testing.api import DOCUMENTED
from imsg_testing.browser import DESK, PATIENCE_MS, PHONE, Look, Visit, axe
from imsg_testing.deployment import Deployment

Visits = Callable[..., Visit]

WORDS = {
    "zh": {
        "summary": "查看各渠道的状态",
        "authorize": "填写密钥或 token",
        "try": "试一试",
        "execute": "发送请求",
        "other": "English",
    },
    "en": {
        "summary": "Show how each channel is",
        "authorize": "Authorize",
        "try": "Try it out",
        "execute": "Execute",
        "other": "中文",
    },
}


def open_docs(visit: Visits, deployment: Deployment, look: Look) -> Page:
    seen = visit(look)
    seen.page.set_default_timeout(2 * PATIENCE_MS)  # each click draws hundreds of operations anew
    seen.page.goto(f"{deployment.url}/docs")
    expect(seen.page.locator(".opblock").first).to_be_visible(timeout=2 * PATIENCE_MS)
    return seen.page


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)
def test_every_operation_of_both_versions_is_listed_for_everybody(
    visit: Visits, deployment: Deployment, look: Look
) -> None:
    """Fit for everybody: closed, and with an operation open. A page costs seconds, so that it is opened once."""
    page = open_docs(visit, deployment, look)
    words = WORDS[look.language]
    document = deployment.call("GET", "/openapi.json")
    described = {(verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs}
    listed = page.locator(".opblock").evaluate_all(
        """all => all.map(one => [one.querySelector('.opblock-summary-method').innerText,
                                  one.querySelector('[data-path]').dataset.path])"""
    )
    assert {(verb, path) for verb, path in listed} == described
    assert len(listed) == len(described)
    assert {"/api/send", "/api/v2/messages"} <= {path for _, path in described}
    expect(page.get_by_text(words["summary"])).to_be_visible()
    expect(page.get_by_role("button", name=words["authorize"]).first).to_be_visible()
    assert page.locator("html").get_attribute("lang") == look.language
    axe(page)
    page.locator("[id$='-send_message'] .opblock-summary-control").click()
    expect(page.locator("[id$='-send_message'] .responses-wrapper")).to_be_visible()
    axe(page)


def test_the_language_is_switched_by_a_link(visit: Visits, deployment: Deployment) -> None:
    page = open_docs(visit, deployment, Look("zh", DESK))
    page.get_by_role("link", name=WORDS["zh"]["other"]).click()
    expect(page.get_by_text(WORDS["en"]["summary"])).to_be_visible()
    assert page.url.endswith("/docs?lang=en")


def run(page: Page, operation: str, words: dict[str, str], body: str = "") -> str:
    """Try an operation, return the answer's status."""
    box = page.locator(f"[id$='-{operation}']")
    box.locator(".opblock-summary-control").click()
    box.get_by_role("button", name=words["try"]).click()
    if body:
        box.locator("textarea").first.fill(body)
    box.get_by_role("button", name=words["execute"]).click()
    status = box.locator(".live-responses-table .response-col_status").nth(1)
    expect(status).to_be_visible(timeout=2 * PATIENCE_MS)
    return status.inner_text().strip()[:3]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_log_in_fills_in_the_token_and_a_message_is_accepted(
    visit: Visits, deployment: Deployment, language: str
) -> None:
    page = open_docs(visit, deployment, Look("zh" if language == "zh" else "en", DESK))
    words = WORDS[language]
    login = json.dumps({"username": "admin", "password": DOCUMENTED["admin"]})
    assert run(page, "login", words, login) == "200"
    # The body is the example of the document.
    assert run(page, "send_message", words) == "202"
