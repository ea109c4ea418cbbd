"""The crew: in which order rollouts are taken in."""

from framework.distributed.worker_pool import Crew, Flight


def test_a_rollout_waits_for_the_one_before_it_of_its_worker():
    crew = Crew.__new__(Crew)  # without processes: only its flights are looked at
    crew.flights = {name: Flight(worker, 0, None, None, 0.0) for name, worker in (("a0", 0), ("b0", 1), ("a1", 0))}
    assert crew.in_order(["a0", "b0", "a1"]) == ["a0", "b0", "a1"]
    assert crew.in_order(["a1", "b0", "stored"]) == ["b0", "stored"]  # its answer has overtaken that of a0
    assert crew.in_order(["a0"]) == ["a0"] and crew.in_order(["a1"]) == [] and crew.in_order([]) == []
    del crew.flights["a0"]  # it failed, and is to be collected again
    crew.flights["a0 again"] = Flight(0, 1, None, None, 0.0)
    assert crew.in_order(["a1"]) == ["a1"] and crew.in_order(["a0 again"]) == []
