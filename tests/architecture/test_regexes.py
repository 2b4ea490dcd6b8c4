"""No regular expression of the product takes more than linear time."""

import ast

import pytest

from imsg_testing.regex_growth import Pattern, find_slow_shape
from imsg_testing.regexes import collect, sources

SUBJECT = r"(?:[\x21-\x7e]+(?: (?=[\x21-\x7e]))?)*"
LANGUAGE = r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]+)?\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?))?\s*"
ADDRESS = r"[^<>＜＞]*[<＜]\s*(?:mailto:)?([^<>＜＞]+?)\s*[>＞]"

SLOW = [
    Pattern(SUBJECT, methods=("fullmatch",)),
    Pattern(LANGUAGE, methods=("fullmatch",)),
    Pattern(ADDRESS, methods=("fullmatch",)),
    Pattern(r"(?i)https?://|www\.|\b[a-z0-9-]+\.(?:com|cn)\b", methods=("findall",)),
    Pattern(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^"<>]*?))\s*<([^<>]*)>\s*', methods=("fullmatch",)),
    Pattern(r"^(.+?)[0-9]+$", methods=("match",)),
    *(
        Pattern(text, methods=("findall",))
        for text in (
            ADDRESS,
            r"(a+)+$",
            r"(.*),(.*),(.*)x",
            r"x*x*y",
            r"(?:a?){99}b|(\d+,?)+z",
            r"begin[^>]*>",
            r"<={30}[^>]*>",
            r"\s+$",
        )
    ),
]

LINEAR = [r"[a-z]+", r"\$\{([^{}]+)\}", r"(?<!\r)\n", r"^begin[^>]*>", r"[,;\s]+", r"[a-z]{1,64}@"]


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_every_pattern_of_the_product_is_linear() -> None:
    slow = {f"{pattern.place} {pattern.text}": find_slow_shape(pattern) for pattern in collect()}

    assert {place: shape for place, shape in slow.items() if shape} == {}


def test_the_measurement_finds_slow_patterns_and_no_linear_ones() -> None:
    patterns = [*SLOW, *map(Pattern, LINEAR)]

    assert [pattern for pattern in patterns if find_slow_shape(pattern)] == SLOW


def test_pydantic_matches_fields_with_its_own_engine() -> None:
    """It is Rust's, which is linear by construction, so that Field(pattern=…) needs no measuring."""
    users = [
        path for path in sources() if any(name in path.read_text("utf-8") for name in ("regex_engine", "python-re"))
    ]

    assert users == []


def test_the_product_matches_with_re_alone() -> None:
    """Patterns that another library compiles are not measured."""
    others = {"regex", "re2", "pcre", "hyperscan", "sre_compile", "_sre", "fnmatch"}
    imported = {
        name.name
        for path in sources()
        if any(f"import {other}" in (text := path.read_text(encoding="utf-8")) for other in others)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import)
        for name in node.names
    }

    assert imported & others == set()
