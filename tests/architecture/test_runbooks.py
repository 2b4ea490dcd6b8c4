"""Each alert has its runbook in both languages, and what a runbook names exists."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from imsg.command import app
from imsg_testing.deployed import ROOT

FOLDER = ROOT / "docs" / "runbooks"
RULES = yaml.safe_load((ROOT / "deploy/prometheus/imsg.rules.yml").read_text())["groups"]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in RULES for rule in group["rules"]}
PAGES = sorted(FOLDER.glob("Imsg*.md"))
TASKS = sorted((ROOT / "docs" / "tasks").glob("*.md"))

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = set(COMPOSE["services"])
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

HEADS = {"": ["Command", "What you see", "What to do"], ".zh": ["执行命令", "看到什么", "怎么处理"]}

MAX_LINES = 40
"""Half a page."""

CLI = "docker compose run --rm cli "


def name_alert(page: Path) -> str:
    """Return the alert of a page."""
    return page.name.partition(".")[0]


def list_block(page: Path) -> list[str]:
    """Return the commands of the page's blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return "".join(blocks).splitlines()


def test_the_list_names_every_runbook() -> None:
    for suffix in HEADS:
        named = re.findall(r"\]\((Imsg\S+\.md)\)", (FOLDER / f"README{suffix}.md").read_text())
        assert set(named) == {
            page.name for page in PAGES if page.name.removesuffix(".md").endswith(".zh") == bool(suffix)
        }


def list_commands(page: Path) -> Iterator[str]:
    """Yield the commands of the block and those inside sentences."""
    yield from list_block(page)
    yield from re.findall(r"`((?:imsg|make|docker) [^`]+)`", re.sub(r"(?s)```.*?```", "", page.read_text()))


def test_each_alert_has_its_runbook_in_both_languages_and_names_it() -> None:
    assert {name_alert(page) for page in PAGES} == set(ALERTS)
    for alert, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"docs/runbooks/{alert}.md"
        english, chinese = FOLDER / f"{alert}.md", FOLDER / f"{alert}.zh.md"
        assert list_block(english) == list_block(chinese) != []
        marks = [re.findall(r"`[^`]+`", page.read_text().rpartition("```")[2]) for page in (english, chinese)]
        assert set(marks[0]) == set(marks[1])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_runbook_goes_from_the_command_to_what_is_to_be_done_in_half_a_page(page: Path) -> None:
    text = page.read_text()

    assert re.match(rf"# {name_alert(page)}[:：]", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADS[page.suffixes[0] if len(page.suffixes) > 1 else ""]
    assert len(text.splitlines()) <= MAX_LINES


def test_every_event_that_a_runbook_names_is_logged_or_answered() -> None:
    code = "\n".join(path.read_text() for path in (*ROOT.glob("*/src/**/*.py"), *ROOT.glob("shared/*/src/**/*.py")))
    known = set(re.findall(r"[a-z]+(?:_[a-z]+)+", code))
    named = {word for page in PAGES for word in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", page.read_text())}

    assert len(named) > 10
    assert {word.removesuffix("_over") for word in named} <= known


@pytest.mark.parametrize("alert", ["ImsgNothingScraped", "ImsgSendersUnseen"])
def test_the_networks_that_prometheus_needs_are_those_of_the_containers(alert: str) -> None:
    needed = set(COMPOSE["services"]["prometheus"]["networks"]) - {"monitoring"}
    for suffix in HEADS:
        words = set(re.findall(r"`([a-z]+)`", (FOLDER / f"{alert}{suffix}.md").read_text()))
        assert words - {"monitoring"} == needed


@pytest.mark.parametrize("page", [*PAGES, *TASKS], ids=lambda page: page.name)
def test_every_command_of_a_page_exists(page: Path) -> None:
    for command in list_commands(page):
        if not command.startswith(("imsg ", "make ", "docker ")):
            continue
        words = shlex.split(command.removeprefix(CLI))
        if command.startswith((CLI, "imsg ")):
            require_verb([word for word in words if word != "imsg"])
        elif words[0] == "make":
            assert words[1] in TARGETS, command
        elif words[:2] == ["docker", "compose"]:
            require_services(command, words)


def require_verb(words: list[str]) -> None:
    """Parse a verb as the command does, without running it. Raises the command's usage error."""
    verb: Any = typer.main.get_command(app)
    while words and words[0] in getattr(verb, "commands", {}):
        verb, words = verb.commands[words[0]], words[1:]
    assert getattr(verb, "invoke_without_command", True), f"no verb of imsg: {verb.name} {' '.join(words)}"
    assert not getattr(verb, "commands", {}) or not words, f"no verb of imsg: {verb.name} {' '.join(words)}"
    verb.make_context(verb.name, list(words))


@pytest.mark.parametrize("words", ["chanels list", "channels lst", "query --stat x", "providers disable"])
def test_a_verb_that_is_none_is_found(words: str) -> None:
    with pytest.raises(Exception, match=r"no verb of imsg|[Nn]o such|[Mm]issing"):
        require_verb(words.split())


def require_services(command: str, words: list[str]) -> None:
    """Require that the words of `docker compose` which are no options and no verbs are services."""
    match words[2]:
        case "exec":
            named = [next(word for word in words[3:] if not word.startswith("-"))]
        case "up":
            named = [word for word in words[3:] if not word.startswith("-") and "=" not in word]
            named += [word.partition("=")[0] for word in words if "=" in word]
        case "logs":
            values = {words[n + 1] for n, word in enumerate(words) if word == "--since"}
            named = [word for word in words[3:] if not word.startswith("-") and word not in values]
        case _:
            named = []
    assert set(named) - {"SERVICE"} <= SERVICES, command
