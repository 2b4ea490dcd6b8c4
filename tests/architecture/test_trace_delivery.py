"""A mail passes few modules and few switches from the broker to its server."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "trace-delivery"

MOST_SWITCHES, MOST_MODULES = 59, 22
TRIES = 3
"""On a busy machine what ends the mail before may be counted too."""


def test_a_single_mail_crosses_few_modules() -> None:
    said = []
    for _ in range(TRIES):
        done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=90, check=True)
        said.append(done.stdout)
        match = re.search(r"^(\d+) switches, (\d+) modules$", done.stdout, re.MULTILINE)
        assert match is not None, done.stdout
        switches, modules = map(int, match.groups())
        if 0 < switches <= MOST_SWITCHES and 0 < modules <= MOST_MODULES:
            return
    raise AssertionError("\n".join(said))
