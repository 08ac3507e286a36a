"""The leader's pace: whoever lags and moves is waited for until it has caught up; nobody stops the cluster."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ballot.ledger.raft.config import Config
from ballot.ledger.raft.progress import UNLIMITED, Pace, Progress

CONFIG = Config(1, max_lag_entries=1000, patience_ticks=20, max_write_entries=1000)
FULL_LOAD = 500


class Race:
    """A leader that appends all it may, at most FULL_LOAD entries a tick, and one follower."""

    def __init__(self, behind: int) -> None:
        self.pace, self.follower, self.last = Pace(CONFIG), Progress(1, match=1, still=0), 1 + behind

    @property
    def lag(self) -> int:
        return self.last - self.follower.match

    def tick(self, stores: int) -> int:
        """The follower stores up to `stores` entries; how many the leader appends."""
        gained = min(stores, self.lag)
        if gained:
            self.pace.stored(2, gained)
            self.follower.match, self.follower.still = self.follower.match + gained, 0
        self.pace.tick(self.last, {2: self.follower})
        appended = min(FULL_LOAD, self.pace.room)
        self.pace.spend(appended)
        self.last += appended
        return appended


@settings(max_examples=50, deadline=None)
@given(behind=st.integers(0, 20_000), stores=st.integers(100, 2000), every=st.integers(1, 20))
def test_a_follower_that_stores_something_catches_up_under_full_load(behind: int, stores: int, every: int) -> None:
    race = Race(behind)
    # It gains at least half of what it stores, less the one entry that goes on each tick.
    gain = stores / every / 2 - 1
    for tick in range(int(behind / gain) + 40 * every + 40):
        race.tick(stores if tick % every == 0 else 0)
    # From here on its lag stays near the bound, whatever the load.
    for tick in range(10 * every):
        race.tick(stores if tick % every == 0 else 0)
        assert race.lag <= CONFIG.max_lag_entries + CONFIG.max_write_entries + 2 * FULL_LOAD * every


def test_nobody_is_waited_for_who_is_close_behind() -> None:
    race = Race(0)
    assert [race.tick(FULL_LOAD) for _ in range(50)] == [FULL_LOAD] * 50
    assert race.pace.room == UNLIMITED


def test_one_entry_a_tick_goes_on_while_the_follower_hesitates() -> None:
    race = Race(5000)
    race.tick(1)
    assert [race.tick(0) for _ in range(10)] == [1] * 10


def test_a_follower_that_stores_nothing_is_left_behind() -> None:
    race = Race(5000)
    appended = [race.tick(0) for _ in range(CONFIG.patience_ticks + 2)]
    assert appended[:-2] == [0, *[1] * (CONFIG.patience_ticks - 1)]
    assert appended[-1] == FULL_LOAD


def test_a_follower_that_never_answered_in_this_term_is_not_waited_for() -> None:
    pace = Pace(CONFIG)
    pace.tick(10_000, {2: Progress(1), 3: Progress(10_001, match=10_000, still=0)})
    assert (pace.waits_for, pace.room) == (0, UNLIMITED)


def test_the_furthest_behind_sets_the_pace() -> None:
    pace = Pace(CONFIG)
    peers = {2: Progress(1, match=500, still=0), 3: Progress(1, match=200, still=0)}
    pace.tick(10_000, peers)
    pace.stored(2, 400)
    assert (pace.waits_for, pace.room) == (3, 0)
    pace.stored(3, 400)
    assert pace.room == 200


def test_what_was_stored_while_nothing_was_asked_makes_no_flood() -> None:
    pace = Pace(CONFIG)
    peers = {2: Progress(1, match=1, still=0)}
    pace.tick(1_000_000, peers)
    pace.stored(2, 500_000)
    assert pace.room == CONFIG.max_write_entries
