"""Whatever a person writes as a template is rendered alike everywhere, or refused with its place in bounded time."""

import json
import random
from collections.abc import AsyncIterator, Mapping
from html import escape
from random import Random

import pytest

from imsg_rendering.problems import MAX_SOURCE_CHARACTERS, MAX_VALUE_CHARACTERS, Problem, TemplateError
from imsg_rendering.renderer import Renderer
from imsg_testing.broken_templates import VALUES, make_text

SEED = random.SystemRandom().getrandbits(64)
"""Another one each time; a failure shows it."""


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    async with Renderer() as made:
        yield made


async def test_hundreds_of_templates_render_to_the_same_bytes_in_every_process() -> None:
    draw = Random(SEED)  # noqa: S311  made-up texts
    async with Renderer() as one, Renderer() as other:
        for _ in range(300):
            source = {"subject": make_text(draw), "html": make_text(draw)}
            taken = await one.inspect(source)
            rows = [{param.name: draw.choice(VALUES) for param in taken} for _ in range(3)]
            alone = [await other.render_one(source, row) for row in rows]
            assert json.dumps(await one.render(source, rows)) == json.dumps(alone), SEED


async def find_problem(renderer: Renderer, text: str) -> Problem | None:
    """Find the params and render with values, as a save does; return the problem."""
    try:
        params = {param.name: "1" for param in await renderer.inspect({"text": text})}
        await renderer.render_one({"text": text}, params)
    except TemplateError as error:
        return error.problem
    return None


@pytest.mark.parametrize(
    ("text", "line", "column", "zh"),
    [
        ("您好\n  {% if a %}x", 2, 6, "缺少 {% endif %}"),
        ("a\nb\n{{ a | nofilter }}", 3, 8, "没有过滤器 nofilter"),
        ("a {% if a == %}x{% endif %}", 1, 11, "“==”处语法不正确"),
        ("{% foo %}", 1, 4, "标签 foo 不存在，或没有与它对应的开始标签"),
        ("{{ a", 1, 1, "缺少 }}"),
    ],
)
async def test_an_error_names_its_line_and_column(
    renderer: Renderer, text: str, line: int, column: int, zh: str
) -> None:
    problem = await find_problem(renderer, text)
    assert problem is not None
    assert (problem.field, problem.line, problem.column, problem.zh) == ("text", line, column, zh)


@pytest.mark.parametrize(
    ("text", "required"),
    [
        ("{{ a }}", {"a": True}),
        ("{{ a | default: 'x' }}", {"a": False}),
        ("{{ a | default: 'x' }}{{ a }}", {"a": True}),
        ("{% if a %}{{ a }}{% endif %}", {"a": False}),
        ("{% if a %}{{ b }}{% else %}{{ a }}{% endif %}", {"a": False, "b": True}),
        ("{% assign x = a %}{{ x }}{% for i in (1..2) %}{{ i }}{{ forloop.index }}{% endfor %}", {"a": True}),
        ("{{ 姓名 }}{{ a_b }}", {"姓名": True, "a_b": True}),
    ],
)
async def test_the_params_follow_from_the_source(renderer: Renderer, text: str, required: Mapping[str, bool]) -> None:
    params = await renderer.inspect({"text": text})
    assert {param.name: param.required for param in params} == required
    rendered = await renderer.render_one({"text": text}, {name: "1" for name, needed in required.items() if needed})
    assert isinstance(rendered["text"], str)


async def test_html_alone_is_escaped(renderer: Renderer) -> None:
    source = {"subject": "{{ a }}", "html": "<p>{{ a }}</p>", "providers": {"aliyun": {"variables": {"x": "{{a}}"}}}}
    value = "<b>&\"'</b>"
    rendered = await renderer.render_one(source, {"a": value})
    assert rendered["subject"] == rendered["providers"]["aliyun"]["variables"]["x"] == value
    assert rendered["html"] == f"<p>{escape(value).replace('&quot;', '&#34;').replace('&#x27;', '&#39;')}</p>"


@pytest.mark.parametrize(
    ("params", "reason"),
    [({}, "missing"), ({"a": "x" * (MAX_VALUE_CHARACTERS + 1)}, "value")],
)
async def test_params_that_do_not_fit_are_named(renderer: Renderer, params: dict[str, str], reason: str) -> None:
    (problem,) = await renderer.render({"text": "{{ a }}"}, [params])
    assert isinstance(problem, Problem)
    assert (problem.reason, problem.field) == (reason, "a")


async def test_the_longest_source_is_read_within_its_bounds(renderer: Renderer) -> None:
    text = "{{ a }}" + "x" * (MAX_SOURCE_CHARACTERS - 7)
    assert (await renderer.render_one({"text": text}, {"a": "1"}))["text"] == "1" + text[7:]
