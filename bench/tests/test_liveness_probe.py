"""What a listener wrote down is read as it was, and in the time that is asked for."""

from pathlib import Path

from imsg_bench.liveness_probe import ProbeReply, between, read


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "probe"
    file.write_text("1.0 2.5\n1.01 3.0\n1.0")
    assert read(file) == [ProbeReply(1.0, 2.5), ProbeReply(1.01, 3.0)]


def test_an_answer_that_was_still_waited_for_as_the_time_began_counts() -> None:
    """Else the longest stall could be the one that is not seen."""
    beats = [ProbeReply(1.0, 5), ProbeReply(1.9, 400), ProbeReply(2.5, 7), ProbeReply(3.0, 9)]
    assert between(beats, 2.0, 3.0) == [400, 7]
