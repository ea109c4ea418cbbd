"""The pool: in which order rollouts are taken in."""

from framework.distributed.worker_pool import InFlightRollout, WorkerPool


def test_a_rollout_waits_for_the_one_before_it_of_its_worker():
    pool = WorkerPool.__new__(WorkerPool)  # without processes: only what is in flight is looked at
    pool.in_flight = {
        name: InFlightRollout(worker, 0, None, None, 0.0) for name, worker in (("a0", 0), ("b0", 1), ("a1", 0))
    }
    assert pool.in_order(["a0", "b0", "a1"]) == ["a0", "b0", "a1"]
    assert pool.in_order(["a1", "b0", "stored"]) == ["b0", "stored"]  # its answer has overtaken that of a0
    assert pool.in_order(["a0"]) == ["a0"] and pool.in_order(["a1"]) == [] and pool.in_order([]) == []
    del pool.in_flight["a0"]  # it failed, and is to be collected again
    pool.in_flight["a0 again"] = InFlightRollout(0, 1, None, None, 0.0)
    assert pool.in_order(["a1"]) == ["a1"] and pool.in_order(["a0 again"]) == []
