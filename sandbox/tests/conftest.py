"""A webhook in the test's own process is waited for as long as a busy machine needs."""

import pytest

from imsg_sandbox import sms_callbacks, wechat_push


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sms_callbacks, "ANSWER_TIMEOUT_S", 60.0)
    monkeypatch.setattr(wechat_push, "TIMEOUT_S", 60.0)
