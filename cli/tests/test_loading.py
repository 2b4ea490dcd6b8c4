"""Loading that takes long shows a message."""

from threading import Event

from imsg.loading import loading


def test_a_person_is_told_what_lasts() -> None:
    told = Event()

    with loading(told.set, silent_s=0):
        assert told.wait(60)


def test_nothing_is_said_of_what_is_quick() -> None:
    told = Event()

    with loading(told.set, silent_s=3_600):
        pass

    assert not told.is_set()
