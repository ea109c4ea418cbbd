"""The pace of asynchronous collecting: requests, how long they are, and what comes of them at all speeds."""

import heapq
import math

import pytest

from algos.data import DataSpec
from framework.distributed import pacing as module
from framework.distributed.pacing import Pacing

CALL = 0.001  # seconds
PPO = DataSpec("rollout", n_steps=8)
DQN = DataSpec("replay", batch_size=4, capacity=100)
BY_FOUR = DataSpec("replay", batch_size=4, capacity=100, train_freq=4, gradient_steps=2)
COLLECTED = DataSpec("none", n_steps=64)


@pytest.fixture(autouse=True)
def worth(monkeypatch):
    """A rollout should take as long as ten calls, a lesson as twenty."""
    monkeypatch.setattr(module, "CALLS", 10)
    monkeypatch.setattr(module, "UPDATE_CALLS", 20)


def pacing_of(spec, n_workers=2, n_envs=1):
    return Pacing(spec, n_workers, n_envs, CALL)


def requests(pacing, version=0, left=None, settling=False, most=50):
    """All requests that are made now."""
    given, pacing.settling = [], settling
    while len(given) < most and (request := pacing.request(version, f"weights {version}", left)) is not None:
        given.append(request)
        left = None if left is None else left - request.n_steps * pacing.n_envs
    pacing.settling = False
    return given


# On-policy: groups


def test_a_group_is_one_order_for_every_worker():
    pacing = pacing_of(PPO, n_workers=3, n_envs=2)
    group = [pacing.request(7, "seven", None) for _ in range(3)]
    assert [(request.n_steps, request.step, request.group) for request in group] == [(8, 0, 0)] * 3
    assert [(request.version, request.weights) for request in group] == [(7, "seven")] * 3
    assert pacing.sent == 3 * 2 * 8 and pacing.places == 0


def test_workers_that_are_learned_from_one_by_one_have_the_newest_weights():
    pacing = pacing_of(DataSpec("rollout", n_steps=8, by_worker=True), n_workers=2, n_envs=3)
    given = [pacing.request(version, version, None) for version in (1, 2, 3)]
    assert [(request.group, request.version, request.n_steps, request.step) for request in given] == [
        (0, 1, 8, 0), (1, 2, 8, 24), (2, 3, 8, 48),
    ]  # fmt: skip
    assert pacing.request(4, 4, None) is None  # two under way, one to be learned
    pacing.learned += 1
    assert [request.version for request in requests(pacing, version=5)] == [5]


def test_weights_that_come_within_a_group_wait_for_the_next():
    pacing = pacing_of(PPO, n_workers=2)
    orders_of_both = [pacing.request(version, version, None) for version in (1, 2, 3, 4)]
    assert [request.version for request in orders_of_both] == [1, 1, 3, 3]
    assert [request.weights for request in orders_of_both] == [1, 1, 3, 3]


@pytest.mark.parametrize("n_workers", [1, 3])
def test_one_group_is_collected_while_the_one_before_is_learned(n_workers):
    pacing = pacing_of(PPO, n_workers=n_workers)
    assert [request.group for request in requests(pacing)] == [0] * n_workers + [1] * n_workers
    for lesson in range(1, 6):
        assert pacing.request(lesson, "", None) is None  # nobody collects group g + 2 before g is learned
        pacing.learned += 1
        assert [(request.group, request.version) for request in requests(pacing, lesson)] == [
            (lesson + 1, lesson)
        ] * n_workers


def test_without_begin_only_what_has_begun_is_completed():
    pacing = pacing_of(PPO, n_workers=3)
    assert requests(pacing, settling=True) == []
    pacing.request(0, "", None)
    assert pacing.places == 2
    assert [request.group for request in requests(pacing, settling=True)] == [0, 0]
    assert requests(pacing, settling=True) == [] and pacing.places == 0


def test_a_group_is_completed_whatever_is_left():
    pacing = pacing_of(PPO, n_workers=3)
    first = pacing.request(0, "", 5)
    rest = [pacing.request(0, "", 0), pacing.request(0, "", -1)]
    assert rest == [first, first] and pacing.request(0, "", 0) is None


def test_restart_forgets_what_was_under_way():
    pacing = pacing_of(PPO, n_workers=2)
    requests(pacing)
    pacing.request(0, "", None)
    pacing.owed = 1
    pacing.restart(96)
    assert (pacing.sent, pacing.owed, pacing.learned, pacing.places) == (96, 0, 0, 0)
    assert [(request.group, request.step) for request in requests(pacing)] == [(0, 96), (0, 96), (1, 112), (1, 112)]


# Replay and collection: one by one


def test_replay_is_held_back_by_what_is_owed():
    pacing = pacing_of(BY_FOUR, n_workers=3)  # a rollout of every worker: 3 x 4 steps, 2 updates for each 4
    assert [request.group for request in requests(pacing, most=9)] == list(range(9))  # nothing is owed
    pacing.owed = 6
    assert pacing.request(0, "", None).n_steps == 4
    pacing.owed = 7
    assert pacing.request(0, "", None) is None and requests(pacing, settling=True) == []
    pacing.owed = 6
    assert pacing.request(0, "", None) is not None


def test_every_order_of_replay_begins_where_the_one_before_ends():
    pacing = pacing_of(BY_FOUR, n_envs=2)
    given = [pacing.request(version, "", None) for version in range(3)]
    assert [(request.n_steps, request.step, request.version) for request in given] == [(2, 0, 0), (2, 4, 1), (2, 8, 2)]
    assert pacing.sent == 12


def test_nothing_holds_back_a_collection():
    pacing = pacing_of(COLLECTED, n_workers=2)
    assert [request.n_steps for request in requests(pacing, most=20)] == [64] * 20


@pytest.mark.parametrize(
    ("spec", "n_envs", "base", "per_step"),
    [
        (DQN, 1, 1, 1.0),
        (DQN, 4, 1, 1.0),  # four env steps with each vector step: no fewer
        (BY_FOUR, 1, 4, 0.5),
        (BY_FOUR, 2, 2, 0.5),
        (BY_FOUR, 3, 1, 0.5),
        (DataSpec("replay", train_freq=16, gradient_steps=-1), 2, 8, 1.0),
        (COLLECTED, 4, 64, 0.0),
        (PPO, 4, 8, 0.0),
    ],
)
def test_the_shortest_rollout(spec, n_envs, base, per_step):
    pacing = pacing_of(spec, n_envs=n_envs)
    assert pacing.base == pacing.request(0, "", None).n_steps == base and pacing.updates_per_step == per_step


@pytest.mark.parametrize(
    ("spec", "n_workers", "n_envs", "step_ms", "update_ms", "steps"),
    [
        # ten calls of 1 ms are worth 10 ms of work; two workers make a vector step every step_ms / 2
        (DQN, 2, 1, 2.0, 0.1, 10),
        (DQN, 1, 1, 2.0, 0.1, 5),
        (DQN, 2, 1, 2.0, 5.0, 2),  # each step makes 5 ms of learning due
        (DQN, 2, 4, 2.0, 0.75, 3),  # 3 ms: 3.3 steps
        (DQN, 2, 1, 2.0, 0.5, 10),  # learning is faster than collecting
        (DQN, 2, 1, 1000.0, 1.0, 1),  # one at least
        (DQN, 2, 1, 1e-6, 1e-6, 10_000),  # ten thousand at most
        (DQN, 2, 1, 0.1, 0.0, 1),  # no more before it is known how long learning takes
        (BY_FOUR, 2, 1, 1.6, 0.1, 12),  # 12.5: the nearest multiple of 4
        (BY_FOUR, 1, 1, 0.9, 0.1, 12),  # 11.1
        (BY_FOUR, 1, 1, 10.0, 0.1, 4),  # 1
        (BY_FOUR, 1, 1, 0.5, 2.4, 8),  # half an update a step, 1.2 ms: 8.3
        (COLLECTED, 2, 4, 0.2, 0.0, 128),  # 100: the nearest multiple of 64
        (COLLECTED, 2, 4, 2.0, 0.0, 64),
    ],
)
def test_length_of_rollouts(spec, n_workers, n_envs, step_ms, update_ms, steps):
    pacing = pacing_of(spec, n_workers, n_envs)
    if update_ms:
        pacing.saw_updates(6 * update_ms / 1000, 6)
    pacing.saw_rollout(20 * step_ms / 1000, 20)
    assert pacing.rollout_length == steps
    assert pacing.request(0, "", None).n_steps == steps


def test_the_length_follows_a_running_mean():
    pacing = pacing_of(DQN)
    pacing.saw_updates(0.0001, 1)
    pacing.saw_rollout(0.02, 10)
    assert pacing.rollout_length == 10
    pacing.saw_rollout(0.12, 10)  # 12 ms a step: the mean is 0.8 x 2 + 0.2 x 12 = 4 ms, two workers make it 2
    assert pacing.step_seconds == pytest.approx(0.004) and pacing.rollout_length == 5


def test_a_group_has_whole_rollouts_however_long_they_take():
    pacing = pacing_of(PPO)
    pacing.saw_rollout(1e-6, 8)
    pacing.saw_rollout(10.0, 8)
    assert pacing.request(0, "", None).n_steps == 8


def test_a_lesson_is_short_below_ten_calls():
    pacing = pacing_of(DQN)
    assert not pacing.short(1)  # nothing is known of it
    pacing.saw_updates(0.004, 2)  # 2 ms an update
    assert pacing.short(4) and not pacing.short(5)
    on_policy = pacing_of(PPO)  # one rollout of every worker is a lesson: it does not grow
    on_policy.saw_updates(0.004, 2)
    assert not on_policy.short(1)


def test_batches_of_a_call():
    pacing = pacing_of(DQN)
    assert pacing.batches() == 1  # not known yet
    pacing.saw_updates(0.006, 1)
    assert pacing.batches() == 4  # 20 ms / 6 ms, rounded up
    pacing.saw_updates(0.032, 2)  # 16 ms: 0.8 x 6 + 0.2 x 16 = 8
    assert pacing.batches() == 3
    pacing.saw_updates(100.0, 10)
    assert pacing.batches() == 1
    pacing.update_seconds = 0.0001
    assert pacing.batches() == module.BATCHES  # rather than 200


# Limits


@pytest.mark.parametrize("limit", [1, 7, 63, 64, 65, 1000])
@pytest.mark.parametrize(("n_workers", "n_envs"), [(1, 1), (3, 1), (2, 3)])
@pytest.mark.parametrize("spec", [PPO, DQN, BY_FOUR, COLLECTED], ids=["PPO", "DQN", "by four", "collect"])
def test_orders_end_at_the_limit(spec, n_workers, n_envs, limit):
    pacing = pacing_of(spec, n_workers, n_envs)
    ordered = 0
    while (request := pacing.request(0, "", limit - pacing.sent)) is not None:
        ordered += request.n_steps * n_envs
        pacing.learned = request.group
        assert request.n_steps >= 1
    one_step_of_all = n_envs * (n_workers if spec is PPO else 1)
    assert limit <= ordered < limit + one_step_of_all
    assert ordered == pacing.sent and pacing.places == 0


# All speeds


class Run:
    """A run by the clock of its events: `steps` are the seconds of a vector step of each worker."""

    def __init__(self, spec, steps, update, limit, n_envs=1, call=CALL):
        self.pacing = Pacing(spec, len(steps), n_envs, call)
        self.spec, self.steps, self.update, self.limit, self.call = spec, steps, update, limit, call
        self.now, self.env_step, self.updates, self.version, self.serial = 0.0, 0, 0, 0, 0
        self.free_at, self.busy = [0.0] * len(steps), [0] * len(steps)  # of each worker: when, with how many requests
        self.learning, self.events, self.landed = False, [], {}
        self.owed, self.longest = [], 0  # updates due and not made, the longest rollout in env steps
        self.next_group, self.versions = 0, []  # on-policy: of the weights that made each group
        self.collecting_time = self.learning_time = 0.0
        while self.go_on():
            pass

    def due(self):
        """Updates that the env steps so far are for."""
        spec = self.spec
        if spec.kind == "rollout":
            return self.env_step // (spec.n_steps * self.pacing.n_envs * len(self.steps))
        return self.env_step // spec.train_freq * spec.gradient_steps

    def at(self, moment, arrives, *what):
        self.serial += 1
        heapq.heappush(self.events, (moment, self.serial, arrives, what))

    def go_on(self):
        """What a driver does between two arrivals, and the next arrival."""
        pacing, most = self.pacing, 1 if self.pacing.on_policy else 2
        while (
            min(self.busy) < most
            and (request := pacing.request(self.version, "", self.limit - pacing.sent)) is not None
        ):
            worker = self.busy.index(min(self.busy))
            seconds = request.n_steps * self.steps[worker]
            self.longest = max(self.longest, request.n_steps * pacing.n_envs)
            self.collecting_time += seconds
            self.busy[worker] += 1
            self.free_at[worker] = max(self.now + self.call, self.free_at[worker]) + seconds
            self.at(self.free_at[worker], self.rollout, worker, request, seconds)
        if not self.learning and pacing.owed > 0:
            n = 1 if pacing.on_policy else min(pacing.owed, pacing.batches())
            pacing.owed -= n
            self.learning = True
            self.learning_time += n * self.update
            self.at(self.now + self.call + n * self.update, self.lesson, n)
        if not self.events:
            return False
        self.now, _, arrives, what = heapq.heappop(self.events)
        arrives(*what)
        self.owed.append(self.due() - self.updates)
        return True

    def rollout(self, worker, request, seconds):
        before = self.due()
        self.busy[worker] -= 1
        self.pacing.saw_rollout(seconds, request.n_steps)
        self.env_step += request.n_steps * self.pacing.n_envs
        if not self.pacing.on_policy:
            self.pacing.owed += self.due() - before
            return
        self.landed.setdefault(request.group, []).append(request)
        while len(self.landed.get(self.next_group, ())) == len(self.steps):  # fast workers may have the next one ready
            first = self.landed[self.next_group][0]
            if first.n_steps == self.spec.n_steps:
                self.pacing.owed += 1
                self.versions.append(first.version)
            self.next_group += 1

    def lesson(self, n):
        self.learning = False
        self.version += 1
        self.updates += n
        self.pacing.learned += n
        self.pacing.saw_updates(n * self.update, n)


FAST, SLOW = 0.0002, 0.02
SPEEDS = {
    "slow learner": ([FAST] * 3, SLOW),
    "slow workers": ([SLOW] * 3, FAST),
    "one slow worker": ([FAST, FAST, SLOW], FAST),
    "in step": ([0.003] * 3, 0.001),
}


@pytest.mark.parametrize("n_envs", [1, 4])
@pytest.mark.parametrize("spec", [DQN, BY_FOUR], ids=["DQN", "by four"])
@pytest.mark.parametrize("speeds", SPEEDS)
def test_replay_keeps_its_ratio_at_all_speeds(speeds, spec, n_envs):
    run = Run(spec, *SPEEDS[speeds], limit=4000, n_envs=n_envs)
    assert 4000 <= run.env_step < 4000 + n_envs
    assert run.updates == pytest.approx(4000 * spec.gradient_steps / spec.train_freq, rel=0.02)
    # held back while more is owed than a rollout of every worker makes due; twice as much may be on its way then
    round_of_all = math.ceil(run.longest * spec.gradient_steps / spec.train_freq) * len(run.steps)
    in_a_call = run.pacing.batches()
    assert min(run.owed) >= 0 and 0 < max(run.owed) <= 3 * round_of_all + spec.gradient_steps + in_a_call


@pytest.mark.parametrize("spec", [DQN, BY_FOUR], ids=["DQN", "by four"])
def test_a_slow_learner_has_short_rollouts(spec):
    run = Run(spec, *SPEEDS["slow learner"], limit=4000)
    assert run.longest == spec.train_freq
    assert max(run.owed) <= 3 * 3 * spec.gradient_steps + spec.gradient_steps  # three rollouts of every worker


@pytest.mark.parametrize("speeds", ["slow learner", "slow workers"])
def test_whoever_is_slow_never_waits(speeds):
    run = Run(DQN, *SPEEDS[speeds], limit=4000)
    busy = run.learning_time if speeds == "slow learner" else run.collecting_time / len(run.steps)
    assert busy > 0.85 * run.now  # the rest are calls


@pytest.mark.parametrize("n_envs", [1, 4])
@pytest.mark.parametrize("speeds", SPEEDS)
def test_a_group_is_at_most_one_lesson_old(speeds, n_envs):
    run = Run(PPO, *SPEEDS[speeds], limit=4000, n_envs=n_envs)
    groups = 4000 // (8 * 3 * n_envs)
    assert run.updates == groups and max(run.owed) <= 2
    assert len(run.versions) == groups and run.versions == sorted(run.versions)
    assert all(0 <= group - version <= 1 for group, version in enumerate(run.versions))


def test_on_policy_collects_while_it_learns():
    run = Run(PPO, [0.01] * 2, update=0.08, limit=16 * 50)  # a group and a lesson take 80 ms each
    assert run.updates == 50 and run.now < 1.1 * (50 + 1) * 0.08
