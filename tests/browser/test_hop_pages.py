"""A message that the first provider refused, in the page: the provider, its code, and the reason in words.

Two SMS providers are played by a sandbox of its own; Aliyun's account has no money, so that it says "blocked".
"""

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import expect

from imsg_testing.browser import DESK, PHONE, Look, Visit, scrolls_sideways
from imsg_testing.deployment import Deployment
from imsg_testing.page_actions import log_in
from imsg_testing.sandbox_process import run_sandbox
from imsg_testing.sms_accounts import write_accounts, write_endpoints

Visits = Callable[..., Visit]

FIRMS = ("ALIYUN", "TENCENT")
BROKE = "isv.AMOUNT_NOT_ENOUGH"


@pytest.fixture(scope="module")
def two_providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Run iMSG with both, in this order."""
    folder = tmp_path_factory.mktemp("hops")
    accounts = write_accounts(FIRMS)
    with ExitStack() as stack:
        sandbox = stack.enter_context(run_sandbox(folder, {**accounts, "IMSG_SANDBOX__SMS_BALANCE": "0"}))
        deployment = Deployment(folder, {**accounts, **write_endpoints(sandbox.port, FIRMS)})
        stack.callback(deployment.close)
        deployment.start()
        deployment.open_wide()
        yield deployment


@pytest.mark.parametrize("look", [Look("zh", DESK), Look("en", PHONE)], ids=lambda look: look.name)
def test_who_was_asked_first_is_a_line_of_its_own(two_providers: Deployment, visit: Visits, look: Look) -> None:
    body = {"to": f"137{secrets.randbelow(10**8):08d}", "method": "sms", "content": "明天下雨"}
    sent = two_providers.call("POST", "/api/v2/messages", body, token=two_providers.token())
    assert sent["errorCode"] == 0, sent
    two_providers.wait_settled(sent["id"])

    seen = visit(look, two_providers.url)
    page = log_in(seen)
    page.goto(f"/messages/{sent['id']}-0")
    lines = page.locator(".timeline > li")
    hop = lines.filter(has_text="aliyun")
    expect(hop).to_have_count(1)
    expect(hop.locator("code")).to_have_text(BROKE)
    expect(hop.locator("q")).to_contain_text("余额不足")
    expect(hop).to_contain_text(re.compile("第 1 次|[Aa]ttempt 1"))
    expect(lines.filter(has_text="tencent").first).to_be_visible()
    wanted = ["aliyun", "tencent"]
    names = lines.locator("strong").all_inner_texts()
    assert [text for name in names for text in wanted if text in name][:2] == wanted, names
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("message-hop")


@pytest.mark.parametrize("look", [Look("zh", PHONE), Look("en", DESK)], ids=lambda look: look.name)
def test_a_blocked_provider_shows_the_reason_in_words_and_its_own_text(
    two_providers: Deployment, visit: Visits, look: Look
) -> None:
    body = {"to": f"137{secrets.randbelow(10**8):08d}", "method": "sms", "content": "明天下雨"}
    sent = two_providers.call("POST", "/api/v2/messages", body, token=two_providers.token())
    two_providers.wait_settled(sent["id"])
    seen = visit(look, two_providers.url)
    page = log_in(seen)
    page.goto("/channels")
    line = page.locator("[data-key='sms/aliyun']")
    expect(line).to_contain_text("短信账户余额不足。" if look.language == "zh" else "no money left")
    expect(line).to_contain_text(BROKE)
    expect(line).to_contain_text("余额不足")
    assert not scrolls_sideways(page)
    seen.axe()
    seen.shoot("provider-blocked")
