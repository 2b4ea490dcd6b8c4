"""What an edit's answer runs: what imports or names the changed file, the nearest first, within a budget."""

import subprocess
from pathlib import Path

import pytest

from imsg_testing.changed import build_graph, choose, list_changed, rank

FILES = {
    "room/src/imsg_room/__init__.py": "",
    "room/src/imsg_room/rules.py": "import json\n\nWORDS = json\n",
    "room/src/imsg_room/routes.py": "from imsg_room.rules import (\n    WORDS,\n)\n",
    "room/src/imsg_room/texts.zh.json": "{}",
    "room/src/imsg_room/reader.py": 'NAME = "texts.zh.json"\n',
    "room/tests/conftest.py": "from imsg_room import routes\n",
    "room/tests/test_rules.py": "def test() -> None:\n    from imsg_room import rules\n    rules\n",
    "room/tests/test_reader.py": "import imsg_room.reader\n",
    "other/tests/test_other.py": "import json\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, source in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source, encoding="utf-8")
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "all"]):
        author = ["-c", "user.name=imsg", "-c", "user.email=imsg@example.com"]
        subprocess.run(["git", *author, *words], cwd=tmp_path, check=True, timeout=60)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "reached"),
    [
        ("room/src/imsg_room/rules.py", {"room/tests/test_rules.py": 1, "room/tests/test_reader.py": 3}),
        ("room/src/imsg_room/texts.zh.json", {"room/tests/test_reader.py": 2}),
        ("room/tests/conftest.py", {"room/tests/test_rules.py": 1, "room/tests/test_reader.py": 1}),
        ("other/tests/test_other.py", {"other/tests/test_other.py": 0}),
    ],
)
def test_a_test_is_reached_by_what_imports_or_names_what_changed(
    tree: Path, changed: str, reached: dict[str, int]
) -> None:
    (tree / changed).write_text(FILES[changed] + "\n", encoding="utf-8")
    (tree / "new.txt").touch()
    assert list_changed(tree, "HEAD") == sorted([changed, "new.txt"])
    assert rank([changed], build_graph(tree, [changed])) == reached


def test_the_nearest_and_quickest_are_chosen_and_one_at_least() -> None:
    ranked, durations = {"far": 2, "slow": 1, "quick": 1}, {"far": 1.0, "slow": 9.0, "quick": 2.0}
    assert choose(ranked, durations, 3.0) == ["quick", "far"]
    assert choose(ranked, durations, 12.0) == ["quick", "slow", "far"]
    assert choose({"slow": 0}, durations, 3.0) == ["slow"]
