"""The page of the system's status: the worst first, with its next step; it changes by itself."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from imsg_testing.browser import DESK, Look, Visit
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in

Visits = Callable[..., Visit]

WAIT_MS = 60_000


@pytest.mark.parametrize(
    ("language", "words"), [("zh", ("故障", "已暂停", "副本就绪")), ("en", ("Fault", "paused", "ready"))]
)
def test_a_fault_comes_first_with_its_next_step(
    deployment: Deployment, visit: Visits, language: str, words: tuple[str, str, str]
) -> None:
    fault, paused, ready = words
    seen = visit(Look("zh" if language == "zh" else "en", DESK))
    page = log_in(seen)
    page.goto("/status")
    expect(page.locator(".table-row").filter(has_text=ready).filter(has_text="sender-sms")).to_have_count(1)

    body = {"paused": True, "reason": "搬迁", "token": deployment.token()}
    assert deployment.call("PATCH", "/api/v2/channels/wecom", body)["errorCode"] == 0
    row = page.locator(".table-row").filter(has_text=paused)
    expect(row).to_contain_text("imsg channels resume wecom", timeout=WAIT_MS)
    expect(row).to_contain_text(fault)
    levels = page.locator(".table-row .table-level").all_inner_texts()
    assert fault in levels[0]
    deployment.call("PATCH", "/api/v2/channels/wecom", {**body, "paused": False})
    expect(row).to_have_count(0, timeout=WAIT_MS)
