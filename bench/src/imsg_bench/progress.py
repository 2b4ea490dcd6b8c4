"""Progress messages of a run."""

import sys
import time

from imsg_bench.figures import round_figure


class Progress:
    """Writes lines to standard error, each with the time since the run began."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def show(self, text: str) -> None:
        """Write a line."""
        seconds = time.monotonic() - self._began
        print(f"[{seconds // 60:2.0f}:{seconds % 60:02.0f}] {text}", file=sys.stderr, flush=True)

    def round(self, key: str, number: int, of: int, **figures: float) -> None:
        """Write the figures of a round."""
        text_of_figures = ", ".join(
            f"{name.replace('_', ' ')} {round_figure(value)}" for name, value in figures.items()
        )
        self.show(f"{key}  round {number + 1}/{of}: {text_of_figures}")
