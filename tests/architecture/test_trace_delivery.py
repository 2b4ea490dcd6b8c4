"""A mail passes few modules and few switches from the broker to its server."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "trace-delivery"

MAX_SWITCHES, MAX_MODULES = 62, 22
"""56 and 20 on a quiet machine; on a busy one what ends the mail before may be counted too."""


def test_a_single_mail_crosses_few_modules() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=60, check=True)
    match = re.search(r"^(\d+) switches, (\d+) modules$", done.stdout, re.MULTILINE)
    assert match is not None, done.stdout
    switches, modules = map(int, match.groups())
    assert 0 < switches <= MAX_SWITCHES, done.stdout
    assert 0 < modules <= MAX_MODULES, done.stdout
