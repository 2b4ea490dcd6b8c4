"""Whatever a person writes as a template is rendered alike everywhere, or refused with its place in bounded time."""

import json
import random
from collections.abc import AsyncIterator, Mapping
from html import escape
from random import Random

import pytest

from imsg_rendering.problems import MAX_SOURCE_CHARACTERS, MAX_VALUE_CHARACTERS, Problem, TemplateError
from imsg_rendering.renderer import Renderer

SEED = random.SystemRandom().getrandbits(64)
"""Another one each time; a failure shows it."""

NAMES = ("name", "code", "class_name", "时间", "n")
VALUES = ("张三", "<b>&'\"", "123456", "", "a\nb", "🙂{{ name }}", "中" * 40)
FILTERS = ("", " | upcase", " | truncate: 5", " | append: '!'", " | default: '–'", " | size", " | url_encode")

BROKEN = (
    "{% if a %}x", "{{ a", "{{ a | nofilter }}", "{% for x in y %}", "{% endif %}", "{% include 'a' %}", "{{ a ||}}",
    "{% if a == %}x{% endif %}", "{% case %}{% endcase %}", "{% raw %}{{", "{% capture x %}", "{{ 'a", "{%", "{{ a. }}",
    "{{ 'now' | date: '%s' }}", "{{ a | truncate: 1, 2, 3, 4 }}", "{% render 'x' %}", "{{ a | safe }}",
    "{% assign = 1 %}",
)  # fmt: skip
BOMBS = (
    "{% for i in (1..999999999) %}{{ i }}{% endfor %}",
    "{% for i in (1..5000) %}{% for j in (1..5000) %}{% endfor %}{% endfor %}",
    "{% assign a = 'xx' %}" + "{% assign a = a | append: a %}" * 40 + "{{ a }}",
    "{% assign a = 99999999999 %}" + "{% assign a = a | times: a %}" * 40 + "{{ a }}",
    "{{ (1..999999999) | join: 'x' }}",
    "{% assign x = '" + "x" * 2_000 + "' %}{{ x | replace: 'x', x | replace: 'x', x }}",
    "{% if a %}" * 2_000,
    "{{" * 20_000,
    "{% " * 15_000,
    "{" * 45_000,
    "{{ a" + " | upcase" * 4_000,
    "x" * 1_000_000,
)


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    async with Renderer() as made:
        yield made


def make_text(draw: Random) -> str:
    pieces = ["您好，", "\n", "<p>", "}}", "'", "100%"]
    for _ in range(draw.randint(1, 8)):
        name = draw.choice(NAMES)
        use = f"{{{{ {name}{draw.choice(FILTERS)} }}}}"
        pieces.append(
            draw.choice(
                (use, f"{{% if {name} %}}{use}{{% endif %}}", f"{{% for i in (1..3) %}}{use}{{{{ i }}}}{{% endfor %}}")
            )
        )
    draw.shuffle(pieces)
    return "".join(pieces)


async def test_hundreds_of_templates_render_to_the_same_bytes_in_every_process() -> None:
    draw = Random(SEED)  # noqa: S311  made-up texts
    async with Renderer() as one, Renderer() as other:
        for _ in range(300):
            source = {"subject": make_text(draw), "html": make_text(draw)}
            taken = await one.inspect(source)
            rows = [{param.name: draw.choice(VALUES) for param in taken} for _ in range(3)]
            alone = [await other.render_one(source, row) for row in rows]
            assert json.dumps(await one.render(source, rows)) == json.dumps(alone), SEED


async def test_two_hundred_broken_ones_end_in_an_error(renderer: Renderer) -> None:
    draw = Random(SEED)  # noqa: S311  as above
    texts = [*BROKEN, *(make_text(draw) + "\n" * draw.randint(0, 9) + draw.choice(BROKEN) for _ in range(170))]
    for text in (*texts, *BOMBS):
        problem = await find_problem(renderer, text)
        assert problem is not None, (SEED, text[:200])
        assert problem.zh, text[:200]
        assert problem.en, text[:200]


async def find_problem(renderer: Renderer, text: str) -> Problem | None:
    """Do what a save does: find the params, and render with values."""
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
