"""Words of a template that cannot be rendered after all settle as `render`; those of everybody else are sent."""

from typing import Any

import pytest

from imsg_broker.port import Broker
from imsg_contract.templates import LIQUID
from imsg_contract.wire import Job, Recipient
from imsg_testing.worker_harness import HistoryListener, ScriptedProvider, accept, address, job, worker_at

TEXT = "{{ name }}{% for n in (1..times) %}.{% endfor %}"


def by_template(*params: dict[str, str], text: str = TEXT) -> Job:
    """Return a job by a template, with the params of each recipient."""
    content: dict[str, Any] = {
        "template": "loop",
        "version": 1,
        "language": "zh",
        "params": {"times": "1"},
        LIQUID: {"zh": {"subject": "{{ name }}", "text": text}},
    }
    recipients = tuple(
        Recipient(n=n, to=address(n), address=address(n), params=given) for n, given in enumerate(params)
    )
    return job(len(recipients), content=content, recipients=recipients)


async def test_whose_words_cannot_be_rendered_fails_at_once_and_the_rest_of_the_list_goes(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    """One lacks a param, one loops more than is allowed."""
    new = by_template({"name": "张三"}, {"times": "1"}, {"name": "李四", "times": "10001"}, {"name": "王五"})
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, new)
        await history.wait_settled(new.request, 4)
    assert history.statuses(new.request) == {0: ["sent"], 1: ["failed"], 2: ["failed"], 3: ["sent"]}
    assert [history.last(new.request, n).code for n in range(4)] == [None, "render", "render", None]
    assert history.last(new.request, 1).detail == "name: name is missing"
    assert str(history.last(new.request, 2).detail).startswith("text: ")
    assert provider.count(new.request) == {0: 1, 3: 1}


@pytest.mark.parametrize(
    "text",
    [
        "{{ name | unheard_of }}",
        "{% if name %}",
        "{% for a in (1..9999) %}{% for b in (1..9999) %}{{ a }}{% endfor %}{% endfor %}",
    ],
)
async def test_a_template_that_does_not_compile_or_end_fails_its_messages_and_no_others(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider, text: str
) -> None:
    broken, good = by_template({"name": "张三"}, {"name": "李四"}, text=text), by_template({"name": "王五"})
    async with worker_at(broker, redis_url, provider.port):
        for new in (broken, good):
            await accept(broker, new)
        await history.wait_settled(broken.request, 2)
        await history.wait_settled(good.request)
    assert history.statuses(broken.request) == {0: ["failed"], 1: ["failed"]}
    assert {history.last(broken.request, n).code for n in range(2)} == {"render"}
    assert history.last(good.request).status == "sent"
    assert [taken.request for taken in provider.taken] == [good.request]
