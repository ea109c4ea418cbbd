import itertools

from framework.training.seeds import ROLES, draw_seed, stream


def test_streams_differ_by_seed_role_and_index():
    streams = [stream(*key) for key in itertools.product((1, 2, 2**31), ROLES, range(20))]
    assert len(set(streams)) == len(streams)
    assert stream(1, "worker", 2) == stream(1, "worker", 2)


def test_streams_stay_what_they_are():
    # else a run could not be repeated from its seed
    assert [stream(1, role) for role in ROLES] == [
        *(3023998541, 3290936230, 537266697, 2969694526, 278071048),
        1963565702,  # of demonstrations
        1915444705,  # of episodes held out
    ]


def test_drawn_seeds_are_seeds():
    drawn = {draw_seed() for _ in range(20)}
    assert len(drawn) == 20 and all(1 <= seed < 2**31 for seed in drawn)
