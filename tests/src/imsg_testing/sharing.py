"""Which worker is given which file of tests: where one has started an `imsg up` for many, theirs go to it alone.

Each of these takes 4 s of a processor to start, and 3 % of one for as long as the run lasts. Of pytest-xdist's inside
this stands on `LoadScopeScheduling._assign_work_unit` and its `workqueue`.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

STACKS = {
    "tests/browser/": "browser",
    "tests/e2e/test_decisions": "decided",
    "tests/e2e/test_document": "up",
    "tests/e2e/test_erasure_apart": "services",
    "tests/e2e/test_first_message": "up",
    "tests/e2e/test_hidden_contacts": "up",
    "tests/e2e/test_life_and_death": "up",
    "tests/e2e/test_names_again": "up",
    "tests/e2e/test_services": "services",
    "tests/e2e/test_sms": "up",
    "tests/e2e/test_web_page": "up",
    "tests/e2e/test_wechat": "up",
    "tests/e2e/test_wecom": "up",
}
"""How a file's name begins → the fixture of the whole run that it stands on."""


def find_stack(file: str) -> str | None:
    """Name what a file shares with others; None where it starts its own, or needs none."""
    return next((stack for beginning, stack in STACKS.items() if file.startswith(beginning)), None)


class SharingScheduler(LoadFileScheduling):  # type: ignore[misc]  # it says no types
    """Hands out files in their order: to who has started something those for it, else what nobody has started."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        self._hosts: dict[str, WorkerController] = {}
        """What is shared → the worker that has started it."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Give a worker the next file; one of another's where no others are left, rather than leave it idle."""
        own = next((file for file in self.workqueue if self._find_host(file) is node), None)
        chosen = own or next((file for file in self.workqueue if self._find_host(file) is None), None)
        if chosen is not None:
            self.workqueue.move_to_end(chosen, last=False)
            if (stack := find_stack(chosen)) is not None:
                self._hosts[stack] = node
        super()._assign_work_unit(node)

    def _find_host(self, file: str) -> WorkerController | None:
        stack = find_stack(file)
        return None if stack is None else self._hosts.get(stack)
