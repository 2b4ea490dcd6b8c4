"""Templates that a person may write: sound ones, broken ones, and bombs."""

from random import Random

NAMES = ("name", "code", "class_name", "时间", "n")
VALUES = ("张三", "<b>&'\"", "123456", "", "a\nb", "🙂{{ name }}", "中" * 40)
FILTERS = ("", " | upcase", " | truncate: 5", " | append: '!'", " | default: '–'", " | size", " | url_encode")

BROKEN = (
    "{% if a %}x",
    "{{ a",
    "{{ a | nofilter }}",
    "{% for x in y %}",
    "{% endif %}",
    "{% include 'a' %}",
    "{{ a ||}}",
    "{% if a == %}x{% endif %}",
    "{% case %}{% endcase %}",
    "{% raw %}{{",
    "{% capture x %}",
    "{{ 'a",
    "{%",
    "{{ a. }}",
    "{{ 'now' | date: '%s' }}",
    "{{ a | truncate: 1, 2, 3, 4 }}",
    "{% render 'x' %}",
    "{{ a | safe }}",
    "{% assign = 1 %}",
)  # fmt: skip
"""No one of them is a template, and each has a place where it is wrong."""

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
"""They would take too much time, memory or room."""


def make_text(draw: Random) -> str:
    """Make up a sound template."""
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


def make_broken(draw: Random, count: int) -> list[str]:
    """Return each broken one alone, and as many more behind sound text, in any line."""
    more = range(count - len(BROKEN))
    return [*BROKEN, *(make_text(draw) + "\n" * draw.randint(0, 9) + draw.choice(BROKEN) for _ in more)]
