"""Loading that takes long shows a message."""

from threading import Event

from imsg.loading import loading


def test_a_long_load_is_reported_to_a_terminal() -> None:
    told = Event()

    with loading(told.set, silent_s=0):
        assert told.wait(60)


def test_a_quick_load_prints_nothing() -> None:
    told = Event()

    with loading(told.set, silent_s=3_600):
        pass

    assert not told.is_set()
