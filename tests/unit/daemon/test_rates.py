"""Pages per second: of all, and of each folder."""

from ocrd.daemon.status import Rates
from ocrd.events import Events
from tests.unit.inbox.support import Clock


def test_each_folder_has_its_own_pages_of_the_last_minute() -> None:
    clock = Clock()
    rates = Rates(clock)
    events = Events(rates)
    clock.turn(100.0)
    for _ in range(30):
        events.emit("page.done", folder="pile")
    clock.turn(50.0)
    for _ in range(6):
        events.emit("page.failed", folder="mail")
    assert (rates.pages_per_s("pile"), rates.pages_per_s("mail")) == (0.5, 0.1)
    assert (rates.pages_per_s(), rates.pages_per_s("photos")) == (0.6, 0.0)
    clock.turn(20.0)
    assert (rates.pages_per_s("pile"), rates.pages_per_s("mail")) == (0.0, 0.1)
