"""Learners in processes of their own, over gloo: a batch shared out among them is learned as by one."""

import functools
import math
import os
import shutil
from typing import NamedTuple

import numpy as np
import pytest
import torch
from addresses import free_address
from gymnasium import spaces
from together import run_together
from torch import nn

from algos.common import peers
from algos.common.optim import Optimizer
from algos.data import Batch
from algos.policy_gradient.config import PPOConfig
from algos.policy_gradient.ppo import PPO
from algos.value.config import DQNConfig
from algos.value.dqn import DQN

pytestmark = pytest.mark.xdist_group("forked")  # torch is imported once for all forked processes

torch.set_num_threads(1)  # small networks
OBS, TWO, BOX = spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2), spaces.Box(-1, 1, (2,))
SMALL, GRU = ([{"layer_type": kind, "layer_size": 8}] for kind in ("linear", "gru"))


def dqn(**settings):
    return DQN(DQNConfig(value_layers=SMALL * 2, max_grad_norm=1.0, **settings), OBS, TWO, seed=1)


def ppo(space=TWO, **settings):
    return PPO(PPOConfig(**{"n_epochs": 1, "batch_size": 50, **settings}), OBS, space, seed=1)


class ByRow(NamedTuple):
    """A loss's result by row, of a shape that only its type tells."""

    x: torch.Tensor
    parts: dict[str, torch.Tensor]


class Line(nn.Module):
    """w x + b y with w = 2 and b = 1, and a parameter that no loss uses."""

    def __init__(self):
        super().__init__()
        self.w, self.b, self.unused = (nn.Parameter(torch.tensor(value)) for value in (2.0, 1.0, 5.0))

    def loss(self, scale, columns, power, nothing=()):
        """The mean of scale (w x + b y)^power over the rows; how many there were is a metric too."""
        x, (y,) = columns["x"], columns["y"]
        loss = (scale * (self.w * x + self.b * y) ** power).mean()
        by_row = ByRow(x, {"twice": torch.stack([x, 2 * x], 1)})
        return loss, {"loss": loss, "x": x.mean(), "rows": torch.tensor(len(x))}, by_row


def one_step(x, n_y=None, compile=False):
    """Gradients, metrics and result by row of one step of a Line on the rows `x`, with y = 1 in each of `n_y` rows."""
    line = Line()
    optimizer = Optimizer(line, max_grad_norm=1e6, compile=compile)
    columns = {"x": torch.tensor(x), "y": (torch.ones(n_y or len(x)),)}
    metrics, result = optimizer.gradient_step(line.loss, torch.tensor(0.5), columns, 2)
    grads = [mean.item() / 0.1 for mean in optimizer.means]  # after one step Adam's means hold a tenth of them
    assert isinstance(result, ByRow)
    numbers = [*grads, *(float(metrics[name]) for name in ("train/grad_norm", "loss", "x", "rows"))]
    return {"numbers": numbers, "x": result.x.tolist(), "twice": result.parts["twice"].tolist()}


def refusal():
    """What is said of inputs that differ in their rows."""
    with pytest.raises(ValueError) as error:
        one_step([1.0, 2.0, 3.0], n_y=2)
    return str(error.value)


def transitions(algorithm, generator):
    """31 random transitions, or 5 steps of 24 environments, near PPO's first policy: of two actions, or N(0, 1) twice.

    PPO's last minibatch has 20 steps, or with memory 4 environments.
    """

    def normal(*shape):
        return torch.randn(*((31,) if isinstance(algorithm, DQN) else (5, 24)), *shape, generator=generator)

    action, log_prob = (normal() > 0).long(), torch.tensor(-math.log(2))
    if algorithm.action_space is BOX:
        action = normal(2)
        log_prob = -0.5 * (action**2).sum(-1) - math.log(2 * math.pi)
    extras = {"log_prob": log_prob + 0.05 * normal(), "value": normal(), "next_value": normal()}
    terminated, truncated, reset = (normal() > 1.3 for _ in range(3))
    columns = normal(4), action, normal(), normal(4), terminated, truncated
    return Batch(*columns, extras, reset, algorithm.policy.init_state(24))


def course(algorithm):
    """What 20 calls of `learn` leave: weights and Adam's means [3, parameters], metrics and updates of each call."""
    generator = torch.Generator().manual_seed(0)
    outputs = [algorithm.learn(transitions(algorithm, generator)) for _ in range(20)]
    optimizer = algorithm.optimizer
    state = [
        torch.cat([part.detach().flatten() for part in parts])
        for parts in (optimizer.params, optimizer.means, optimizer.squares)
    ]
    metrics = [{key: float(value) for key, value in output.metrics.items()} for output in outputs]
    return {"state": torch.stack(state), "metrics": metrics, "updates": [output.updates for output in outputs]}


def compiled(name, backend):
    """A job whose updates are graphs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
        patch.setattr(shutil, "which", lambda name: name)  # the C++ compiler is inductor's affair
        return JOBS[name](compile=True)


# What is run by one process, and by each of several together.
JOBS = {
    "uneven": lambda **compile: one_step([1.0, 2.0, 3.0, 4.0, 6.0], **compile),
    "two rows": lambda: one_step([1.0, 3.0]),
    "one row": lambda: one_step([3.0]),
    "dqn": lambda **compile: course(dqn(**compile)),
    "discrete": lambda **compile: course(ppo(n_epochs=3, target_kl=0.002, **compile)),
    "continuous": lambda: course(ppo(BOX)),
    "gru": lambda: course(ppo(merge_layers=GRU)),
    "uneven graph": lambda: compiled("uneven", "aot_eager"),
    "dqn graph": lambda: compiled("dqn", "aot_eager"),
    "dqn in machine code": lambda: compiled("dqn", "inductor"),
    "discrete in machine code": lambda: compiled("discrete", "inductor"),
    "refusal": refusal,
}
STEPS = ("uneven", "two rows", "one row")
COURSES = ("dqn", "discrete", "continuous", "gru")


def learner(rank, folder, plan, addresses):
    """A process that does the jobs of a plan {number of learners: jobs}, as one of so many; the results in a file."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    made = {}
    for size, names in plan.items():
        if rank < size:
            peers.join(addresses[size], rank, size, "cpu", 120)
            made[size] = {name: JOBS[name]() for name in names}
            peers.leave()
    torch.save(made, f"{folder}/{rank}.pt")


def together(folder, plan):
    """{number of learners: [the results of each of them]}."""
    addresses = {size: free_address() for size in plan}
    run_together(learner, (str(folder), plan, addresses), max(plan))
    made = [torch.load(folder / f"{rank}.pt") for rank in range(max(plan))]
    return {size: [results[size] for results in made[:size]] for size in plan}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The results of one, two and three learners."""
    plan = {3: [*STEPS, "dqn"], 2: [*STEPS, *COURSES, "uneven graph", "dqn graph", "refusal"]}
    alone = {name: JOBS[name]() for name in (*STEPS, *COURSES)}
    return {1: [alone], **together(tmp_path_factory.mktemp("learners"), plan)}


@pytest.mark.parametrize(
    ("name", "n_learners", "rows"),
    [
        # rows seen by each learner, weighted by their shares: (2, 3) -> (4 + 9) / 5, (1, 2, 2) -> (1 + 4 + 4) / 5
        *(("uneven", n, rows) for n, rows in ((1, 5.0), (2, 2.6), (3, 1.8))),
        *(("two rows", n, rows) for n, rows in ((1, 2.0), (2, 1.0), (3, 1.0))),  # the first of three has no row
        *(("one row", n, rows) for n, rows in ((1, 1.0), (2, 1.0), (3, 1.0))),
    ],
)
def test_gradients_and_metrics_are_those_of_the_whole_batch(made, name, n_learners, rows):
    # loss 0.5 (2 x + 1)^2: its slopes are (2 x + 1) x and 2 x + 1, at x = 1, 2, 3, 4, 6: 3, 10, 21, 36, 78 and
    # 3, 5, 7, 9, 13; all values are means over the rows
    w, b, loss, x = {
        "uneven": (148 / 5, 37 / 5, 333 / 10, [1.0, 2.0, 3.0, 4.0, 6.0]),
        "two rows": (24 / 2, 10 / 2, 58 / 4, [1.0, 3.0]),
        "one row": (21.0, 7.0, 24.5, [3.0]),
    }[name]
    expected = [w, b, 0.0, math.hypot(w, b), loss, sum(x) / len(x), rows]
    for result in made[n_learners]:
        assert result[name]["numbers"] == pytest.approx(expected, rel=1e-6)
        assert (result[name]["x"], result[name]["twice"]) == (x, [[value, 2 * value] for value in x])
        assert result[name]["numbers"][3] == made[n_learners][0][name]["numbers"][3]


def check_course(alone, learners):
    """Learners together are as one, and among themselves equal bit for bit."""
    first, *others = learners
    assert first["updates"] == alone["updates"]
    assert first["metrics"] == [pytest.approx(metrics, rel=0, abs=1e-5) for metrics in alone["metrics"]]
    # Adam divides by the gradient's own size, so in larger networks a gradient of 1e-8 may show its rounding more
    torch.testing.assert_close(first["state"], alone["state"], rtol=0, atol=1e-6)
    for other in others:
        assert torch.equal(first["state"], other["state"])
        assert (first["updates"], first["metrics"]) == (other["updates"], other["metrics"])


@pytest.mark.parametrize(("name", "n_learners"), [*((name, 2) for name in COURSES), ("dqn", 3)])
def test_learners_together_learn_what_one_learns(made, name, n_learners):
    check_course(made[1][0][name], [results[name] for results in made[n_learners]])


def test_all_learners_end_their_epochs_together(made):
    # some calls stop at the KL after the first of three epochs of three minibatches, some do not
    assert set(made[2][0]["discrete"]["updates"]) >= {3, 9}


def test_inputs_that_differ_in_their_rows_are_refused(made):
    told = [results["refusal"] for results in made[2]]
    assert told == ["no rows to share among 2 learners: tensors of [2, 3] rows along dim 0"] * 2


def test_compiled_gradients_are_averaged_too(made):
    first, second = made[2]
    assert first["uneven graph"] == second["uneven graph"]
    assert first["uneven graph"]["numbers"] == pytest.approx(first["uneven"]["numbers"], rel=1e-6)
    assert first["uneven graph"]["twice"] == first["uneven"]["twice"]
    check_course(made[1][0]["dqn"], [first["dqn graph"], second["dqn graph"]])


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["dqn", "discrete"])
def test_gradients_in_machine_code_are_averaged_too(made, name, tmp_path):
    job = f"{name} in machine code"
    check_course(made[1][0][name], [results[job] for results in together(tmp_path, {2: [job]})[2]])
