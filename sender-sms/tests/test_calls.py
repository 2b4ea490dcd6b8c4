"""Calls to providers go through the environment's proxy, over enough connections."""

import pytest

from imsg_sms.channel import CONCURRENCY
from imsg_sms.providers.calls import MAX_CONNECTIONS, open_pool
from imsg_sms.router import MAX_CONCURRENT_CALLS
from imsg_testing.http_stub import HttpStub, reply


async def test_the_environments_proxy_is_used_except_for_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, provider = HttpStub(lambda _: reply({})), HttpStub(lambda _: reply({}))
    async with proxy.running(), provider.running():
        monkeypatch.setenv("http_proxy", proxy.url.replace("://", "://me:pass@"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with open_pool() as pool:
            await pool.call("GET", "http://provider.test/send?n=1", {})
            await pool.call("GET", provider.url, {})
    (asked,) = proxy.asked
    assert asked.target == "http://provider.test/send?n=1"
    assert asked.headers["proxy-authorization"] == "Basic bWU6cGFzcw=="
    assert len(provider.asked) == 1


def test_no_call_waits_for_a_connection() -> None:
    """A call that waited too long would be taken for a provider that can't be reached."""
    assert max(CONCURRENCY.values()) * MAX_CONCURRENT_CALLS < MAX_CONNECTIONS
