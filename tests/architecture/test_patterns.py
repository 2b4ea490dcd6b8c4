"""No regular expression of the product is worse than linear in the text it is given."""

import ast

import pytest

from imsg_testing.growth import Pattern, convict
from imsg_testing.patterns import collect, sources

SUBJECT = r"(?:[\x21-\x7e]+(?: (?=[\x21-\x7e]))?)*"
LANGUAGE = r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]+)?\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?))?\s*"
NAMED = r"[^<>＜＞]*[<＜]\s*(?:mailto:)?([^<>＜＞]+?)\s*[>＞]"

PATTERNS_OF_OLD = [
    Pattern(SUBJECT, uses=("fullmatch",), place="a subject: one message held the mail sender for good"),
    Pattern(LANGUAGE, uses=("fullmatch",), place="Accept-Language: one request held the gateway for 17 s"),
    Pattern(NAMED, uses=("fullmatch",), place="a cell of a paste: 2,000 blanks held the console for 8 s"),
    Pattern(NAMED, uses=("findall",), place="a piece of a paste"),
    Pattern(r"(?i)https?://|www\.|\b[a-z0-9-]+\.(?:com|cn)\b", uses=("findall",), place="a link in a variable"),
    Pattern(
        r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<name>[^"<>]*?))\s*<(?P<address>[^<>]*)>\s*',
        uses=("fullmatch",),
        place="a sender's name",
    ),
    Pattern(r"^(.+?)[0-9]+$", uses=("match",), place="a variable's name in the sandbox"),
]
"""As they stood, most of them in 39c43ba: what the measuring has to find."""

TEXTBOOK = [
    r"(a+)+$",
    r"(.*),(.*),(.*)x",
    r"x*x*y",
    r"(?:a?){99}b|(\d+,?)+z",
    r"begin[^>]*>",
    r"\s+$",
]

INNOCENT = [r"[a-z]+", r"\$\{([^{}]+)\}", r"(?<!\r)\n", r"^begin[^>]*>", r"[,;\s]+", r"[a-z]{1,64}@"]


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_no_pattern_of_the_product_is_worse_than_linear() -> None:
    found = convict(collect())

    assert [f"{one.pattern.place} {one.pattern.text}: {one.why}" for one in found] == []


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_the_measuring_convicts_what_froze_us() -> None:
    assert [one.pattern for one in convict(PATTERNS_OF_OLD)] == PATTERNS_OF_OLD


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_the_measuring_convicts_the_textbooks_patterns_and_spares_the_innocent() -> None:
    guilty = [Pattern(text, uses=("findall",)) for text in TEXTBOOK]

    assert [one.pattern for one in convict([*guilty, *map(Pattern, INNOCENT)])] == guilty


@pytest.mark.parametrize("name", ["regex_engine", "python-re"])
def test_patterns_of_fields_are_left_to_pydantics_own_engine(name: str) -> None:
    """It is Rust's, which is linear by construction, so that Field(pattern=…) needs no measuring."""
    users = [path for path in sources() if name in path.read_text(encoding="utf-8")]

    assert users == []


def test_one_library_alone_matches_patterns() -> None:
    """What another one compiled, nobody would have measured."""
    imported = {
        name.name
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import)
        for name in node.names
    }

    assert imported & {"regex", "re2", "pcre", "hyperscan", "sre_compile", "_sre", "fnmatch"} == set()
