"""The examples of the interface document, word for word, with its ### placeholders filled in."""

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from imsg_testing.deployment import Deployment

pytestmark = pytest.mark.xdist_group("stories of users")

DOCUMENT = Path(__file__).parents[2] / "docs" / "interface.zh.md"

FILE = base64.b64encode("会议纪要\n".encode()).decode()
TAG = "7K3M9Q2XF"


@dataclass(frozen=True)
class Example:
    """One JSON block of the document, with its heading and its bullet."""

    section: str
    label: str
    text: str


def examples() -> list[Example]:
    """Read every JSON block, byte for byte but for the block's own indentation."""
    results: list[Example] = []
    section = label = ""
    block: list[str] | None = None
    for line in DOCUMENT.read_text(encoding="utf-8").split("\n"):
        stripped = line.strip()
        if block is not None:
            if stripped == "```":
                results.append(Example(section, label, "\n".join(block)))
                block = None
            else:
                block.append(line)
        elif stripped.startswith("## "):
            section = stripped.removeprefix("## ")
        elif stripped.startswith("- "):
            label = stripped.removeprefix("- ")
        elif stripped == "```json":
            block = []
    return results


def requests() -> list[Example]:
    """Return the examples that a client sends."""
    return [example for example in examples() if '"method"' in example.text]


PLACEHOLDERS: dict[str, list[tuple[str, str]]] = {
    "不带附件邮件": [],
    "群发": [
        ('"####@##.##","####@###.###"', '"li@example.com","wang@example.com"'),
        ('"to":["####","####","####"]', '"to":["13800138001","13800138002","13800138003"]'),
        ('"content":"###"', '"content":"明天下雨"'),
    ],
    "带附件邮件": [('"filename":"###.txt"', '"filename":"纪要.txt"'), ('"file":"#####"', f'"file":"{FILE}"')],
    "短信或微信": [('"to":"####"', '"to":"13800138000"'), ('"content":"###"', '"content":"明天下雨"')],
}
"""Bullet of the document → what stands for its placeholders. The token stands for `"token":"###"` everywhere."""


def fill(example: Example, token: str) -> str:
    """Replace the placeholders and nothing else; none may be left."""
    text = example.text.replace('"token":"###"', f'"token":"{token}"')
    for old, new in PLACEHOLDERS[example.label]:
        text = text.replace(old, new)
    assert "##" not in text, f"a placeholder of {example.label} has no replacement"
    return text


def read_printed_keys(section: str, label: str) -> set[str]:
    """Return the keys of an answer as the document prints it (its blocks are not all strict JSON)."""
    (answer,) = (e for e in examples() if e.section == section and e.label == label and '"method"' not in e.text)
    return set(re.findall(r'"(\w+)"\s*:', answer.text))


def test_the_document_has_the_examples_we_know() -> None:
    """If the copy changes, this table of placeholders must follow."""
    assert [example.label for example in requests()] == ["不带附件邮件", "群发", "带附件邮件", "短信或微信", "群发"]


def test_the_documented_account_logs_in_and_gets_the_printed_keys(deployment: Deployment) -> None:
    """Section 2: 天存-system-1001 with its password."""
    body = '{"username": "天存-system-1001", "password": "123456"}'
    answer = deployment.client.post("/api/login", content=body.encode()).json()
    assert answer["errorCode"] == 0
    assert read_printed_keys("2.获取access_token", "成功") == set(answer)


def test_a_failed_login_answers_as_printed(deployment: Deployment) -> None:
    """Section 2: an unknown user is 10006, with exactly this text."""
    answer = deployment.client.post("/api/login", json={"username": "没有此人", "password": "123456"}).json()
    (printed,) = (e for e in examples() if e.section == "2.获取access_token" and e.label == "失败")
    assert json.loads(printed.text) == answer


@pytest.mark.parametrize("example", requests(), ids=lambda example: example.label)
def test_a_documented_request_is_accepted_as_printed(deployment: Deployment, example: Example) -> None:
    """Section 3: every request example, tabs and all."""
    body = fill(example, deployment.token())
    answer = deployment.client.post("/api/send", content=body.encode()).json()
    assert answer["errorCode"] == 0, answer
    assert read_printed_keys("3.发送消息", "成功") == set(answer)


def test_a_documented_request_reaches_everybody_named_in_it(deployment: Deployment) -> None:
    """The list of section 3 arrives as one mail each, with the subject and text printed."""
    example = next(e for e in requests() if e.label == "群发")
    answer = deployment.client.post("/api/send", content=fill(example, deployment.token()).encode())
    assert answer.headers["x-imsg-count"] == "3"
    for address in ("zhang@163.com", "li@example.com", "wang@example.com"):
        mail = deployment.wait_arrived(to=address, subject="hello")
        assert mail["text"].strip() == "您好"


def test_over_the_limit_answers_as_printed(deployment: Deployment) -> None:
    """Section 3: 10013 with exactly this text, after the five an hour of a new user."""
    token = deployment.new_user_token(per_hour=5, per_day=20)
    example = requests()[0]
    answers = [deployment.client.post("/api/send", content=fill(example, token).encode()).json() for _ in range(6)]
    (printed,) = (e for e in examples() if e.section == "3.发送消息" and e.label == "失败")
    assert [answer["errorCode"] for answer in answers[:5]] == [0] * 5
    assert json.loads(printed.text) == answers[5]


def test_modify_answers_as_printed(deployment: Deployment) -> None:
    """Section 4: a username of any script in the path, the three parameters, and 10017 for a wrong type."""
    name = deployment.new_user()
    body = {"token": deployment.admin_token(), "per_day": 20, "per_hour": 5, "available": True}
    url = f"/api/modify/{name}"
    done = deployment.client.post(url, json=body).json()
    wrong = deployment.client.post(url, json={**body, "per_day": "20"}).json()
    (printed,) = (e for e in examples() if e.section == "4.更改发送频次" and e.label == "失败")
    assert read_printed_keys("4.更改发送频次", "成功") == set(done)
    assert done["errorCode"] == 0
    assert json.loads(printed.text) == wrong


def test_query_is_a_get_that_lists_what_was_sent(deployment: Deployment) -> None:
    """Section 5: GET with a token, which is all the document says of it."""
    answer = deployment.client.get("/api/query", params={"token": deployment.token()}).json()
    assert answer["errorCode"] == 0
    assert set(answer) == {"errorCode", "errorMessage", "messages", "next"}
