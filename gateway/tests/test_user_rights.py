"""The rights and the department of a user: countries, the category of v1, the department on the Job."""

from typing import Any

import httpx
import pytest

from imsg_contract.topology import Lane
from imsg_contract.wire import Category
from imsg_testing.callers import id_of
from imsg_testing.gateway import RunningGateway, mail

SMS = {"method": "sms", "content": "天黑了"}


async def send(gateway: RunningGateway, path: str = "/api/v2/messages", **fields: Any) -> httpx.Response:  # noqa: ANN401  any JSON
    return await gateway.client.post(path, json=fields, headers={"accept-language": "en"})


@pytest.mark.parametrize(
    ("countries", "to", "refused"),
    [
        ("CN", "13800138000", None), ("CN", "+85291234567", "HK"), ("CN,HK", "+85291234567", None),
        ("CN,HK", "+85366123456", "MO"), ("CN", "+886912345678", "TW"), ("US", "+12125550123", None),
        ("US", "+14165550123", "CA"), ("*", "+14165550123", None), ("", "13800138000", "CN"),
        ("CN", ["13800138000", "+442071838750", "13900139000"], "GB"),
    ],
)  # fmt: skip
async def test_sms_go_to_the_users_countries_alone(
    gateway: RunningGateway, countries: str, to: object, refused: str | None
) -> None:
    """And nothing is counted of what is refused."""
    token = await gateway.user(sms_countries=countries, per_hour=1)
    answer = await send(gateway, token=token, to=to, **SMS)
    if refused is None:
        assert answer.status_code == 202, answer.text
        return
    body = answer.json()
    assert (answer.status_code, body["errorCode"], body["reason"]) == (403, 10016, "country_not_allowed")
    assert f"to {refused};" in body["detail"]
    assert (await send(gateway, **mail(token=token))).status_code == 202


async def test_v1_sends_what_is_the_users_default_category_from_the_next_request_on(gateway: RunningGateway) -> None:
    """v2 without a category is a notice; through a token that the gateway has verified before."""
    token = await gateway.user(may_send_codes="1")
    fields = {"token": token, "to": "13800138000", **SMS}
    assert (await send(gateway, "/api/send", **fields)).json()["errorCode"] == 0
    (notice,) = await gateway.jobs(method="sms")
    assert notice.category is Category.NOTICE
    for category, lane in (("code", Lane.PRIORITY), ("marketing", Lane.NORMAL), ("notice", Lane.NORMAL)):
        await gateway.user(may_send_codes="1", default_category=category)
        assert (await send(gateway, "/api/send", **fields)).json()["errorCode"] == 0
        (job,) = await gateway.jobs(method="sms", lane=lane)
        assert job.category is Category(category)
        assert ((job.expires_at - job.accepted_at).total_seconds() == 600) is (category == "code")
    await gateway.user(may_send_codes="1", default_category="code")
    assert (await send(gateway, **fields)).status_code == 202
    (job,) = await gateway.jobs(method="sms")
    assert job.category is Category.NOTICE


async def test_a_default_category_takes_the_right_of_codes(gateway: RunningGateway) -> None:
    token = await gateway.user(default_category="code")
    answer = await send(gateway, "/api/send", token=token, to="13800138000", **SMS)
    assert (answer.json()["errorCode"], answer.headers["x-imsg-reason"]) == (10016, "may_not_send_codes")


async def test_a_job_names_the_department_of_its_user(gateway: RunningGateway) -> None:
    await send(gateway, **mail(token=await gateway.user(department="研发“部”")))
    await send(gateway, **mail(token=await gateway.user("li")))
    jobs = await gateway.jobs(2)
    assert {job.user_id: job.department for job in jobs} == {id_of("zhang"): "研发“部”", id_of("li"): None}
