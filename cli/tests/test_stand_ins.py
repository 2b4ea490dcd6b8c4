"""Whether the settings name a provider of their own, or the sandbox."""

from typing import Any

import pytest

from imsg.stand_ins import names_provider, names_sandbox
from imsg_channels.sms import SMS


@pytest.mark.parametrize(
    ("accounts", "provided"),
    [
        ({"aliyun": {"variable_characters": "500"}}, False),
        ({"aliyun": {"access_key_id": "LTAI"}}, True),
        ({"spare": {"kind": "tencent", "secret_id": "AKID"}}, True),
        ({"aliyun": {"countries": "*"}, "bao": {"kind": "http", "use": "smsbao"}}, True),
        ({}, False),
        ("broken", False),
    ],
)
def test_an_account_names_a_provider_by_whichever_name_it_has(accounts: Any, *, provided: bool) -> None:  # noqa: ANN401  as it is written
    assert names_provider(SMS, {"accounts": accounts}) is provided


@pytest.mark.parametrize(("path", "pointed"), [("/sandbox/aliyun/", True), ("/sandbox/spare", True), ("/", False)])
def test_an_account_of_any_name_may_be_the_sandboxs(path: str, *, pointed: bool) -> None:
    account = {"kind": "aliyun", "endpoint": f"http://127.0.0.1:8000{path}"}
    assert names_sandbox(SMS, {"accounts": {"spare": account}}) is pointed
