"""The gradient gate: Adam by hand, clipping, and the compiled graph's lines run without the compiler."""

import functools
from typing import NamedTuple

import pytest
import torch
from torch import nn

from algos.common.errors import UserError
from algos.common.optim import Optimizer


class Point(nn.Module):
    """Two parameters that are used, one that is not and one that is frozen."""

    def __init__(self, x=0.0, y=0.0):
        super().__init__()
        self.x, self.y = nn.Parameter(torch.tensor(x)), nn.Parameter(torch.tensor(y))
        self.unused = nn.Parameter(torch.tensor(5.0))
        self.frozen = nn.Parameter(torch.tensor(7.0), requires_grad=False)

    def slope(self, dx, dy):
        """A loss whose gradient is (dx, dy)."""
        loss = self.x * dx + self.y * dy + 0 * self.frozen
        return loss, {"loss": loss}


@pytest.fixture(params=["eager", "graph"])
def make(request, monkeypatch):
    """Optimizers of both kinds; the graph is run as plain Python, its compilation is tested with the algorithms."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr("shutil.which", lambda name: name)
    return lambda net, **kwargs: Optimizer(net, **{"max_grad_norm": None, **kwargs}, compile=request.param == "graph")


def tensors(*values):
    return [torch.tensor(value) for value in values]


def test_two_steps_of_adam_by_hand(make):
    # gradients 3, then -1; means m = 0.3, then 0.27 - 0.1 = 0.17; squares v = 0.009, then 0.008991 + 0.001 = 0.009991
    # step 1: m / (1 - 0.9) = 3, sqrt(v / (1 - 0.999)) = 3: x = -lr
    # step 2: 0.17 / (1 - 0.81) = 0.894737, sqrt(0.009991 / (1 - 0.998001)) = 2.235621: x -= 0.400219 lr
    net = Point()
    optimizer = make(net)
    optimizer.set_lr(0.1)
    optimizer.gradient_step(net.slope, *tensors(3.0, 0.0))
    assert net.x.item() == pytest.approx(-0.1)
    optimizer.gradient_step(net.slope, *tensors(-1.0, 0.0))
    assert net.x.item() == pytest.approx(-0.1400219, abs=1e-6)
    assert (net.y.item(), net.unused.item(), net.frozen.item()) == (0.0, 5.0, 7.0)


def test_the_learning_rate_and_eps_of_each_step(make):
    net = Point()
    optimizer = make(net, eps=1.0)
    for lr, x in ((0.0, 0.0), (1.0, -0.75)):  # the same gradient: step = lr 3 / (3 + eps)
        optimizer.set_lr(lr)
        optimizer.gradient_step(net.slope, *tensors(3.0, 0.0))
        assert net.x.item() == pytest.approx(x)


@pytest.mark.parametrize(("limit", "scale"), [(1.0, 0.2), (10.0, 1.0), (None, 1.0)])
def test_gradients_are_clipped_to_their_joint_norm(make, limit, scale):
    # the gradient (3, 4) has norm 5; after one step the means hold a tenth of what came through
    net = Point()
    optimizer = make(net, max_grad_norm=limit)
    metrics, _ = optimizer.gradient_step(net.slope, *tensors(3.0, 4.0))
    assert metrics.get("train/grad_norm") == (None if limit is None else 5)  # before it was clipped
    assert [mean.item() for mean in optimizer.means] == pytest.approx([0.3 * scale, 0.4 * scale, 0.0], rel=1e-5)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_equal_to_torch_over_many_steps(make, decay):
    torch.manual_seed(0)
    net, peer = nn.Linear(3, 1), nn.Linear(3, 1)
    peer.load_state_dict(net.state_dict())
    theirs = torch.optim.Adam(peer.parameters(), lr=1e-2, eps=1e-5, weight_decay=decay)
    optimizer = make(net, eps=1e-5, max_grad_norm=0.5, weight_decay=decay)
    optimizer.set_lr(1e-2)

    def loss(x):
        value = net(x).square().mean()
        return value, {"loss": value}

    for _ in range(100):
        x = torch.randn(8, 3)
        metrics, _ = optimizer.gradient_step(loss, x)
        theirs.zero_grad()
        value = peer(x).square().mean()
        value.backward()
        nn.utils.clip_grad_norm_(peer.parameters(), 0.5)
        theirs.step()
        torch.testing.assert_close(metrics["loss"], value.detach(), rtol=0, atol=1e-5)


def test_rmsprop_by_hand(make):
    # gradients 3, then -1; squares 0.09, then 0.0891 + 0.01 = 0.0991: steps 3 / 0.3 = 10, then -1 / 0.314802 = -3.1766
    net = Point()
    optimizer = make(net, rule="rmsprop")
    optimizer.set_lr(0.01)
    optimizer.gradient_step(net.slope, *tensors(3.0, 0.0))
    assert net.x.item() == pytest.approx(-0.1)
    optimizer.gradient_step(net.slope, *tensors(-1.0, 0.0))
    assert net.x.item() == pytest.approx(-0.1 + 0.031766, abs=1e-6)
    assert (net.y.item(), net.unused.item(), net.frozen.item()) == (0.0, 5.0, 7.0)


def test_rmsprop_equals_torch_and_goes_on_from_its_state(make):
    torch.manual_seed(0)
    net, peer = nn.Linear(3, 1), nn.Linear(3, 1)
    peer.load_state_dict(net.state_dict())
    theirs = torch.optim.RMSprop(peer.parameters(), lr=1e-2, alpha=0.99, eps=1e-5)
    optimizer = make(net, eps=1e-5, rule="rmsprop")
    for step in range(40):
        if step == 20:
            state, optimizer = optimizer.state_dict(), make(net, eps=1e-5, rule="rmsprop")
            optimizer.load_state_dict(state)
        optimizer.set_lr(1e-2)
        x = torch.randn(8, 3)
        optimizer.gradient_step(lambda x: (net(x).square().mean(), {}), x)
        theirs.zero_grad()
        peer(x).square().mean().backward()
        theirs.step()
        torch.testing.assert_close(net.weight, peer.weight, rtol=0, atol=1e-5)


def test_the_norm_has_the_name_that_is_given_and_knows_no_decay(make):
    net = Point(x=2.0)
    step = make(net, max_grad_norm=9.0, weight_decay=0.5, norm_name="norm").gradient_step(net.slope, *tensors(3.0, 4.0))
    assert step.metrics["norm"] == 5 and set(step.metrics) == {"loss", "norm"}


class Rows(NamedTuple):
    x: torch.Tensor
    rest: tuple = ()


def test_a_loss_may_take_and_give_named_rows(make):
    net = Point(x=2.0)

    def loss(rows):
        product = net.x * rows.x
        return product.mean(), {}, Rows(product)

    metrics, by_row = make(net).gradient_step(loss, Rows(torch.tensor([1.0, 3.0])))
    assert metrics == {} and isinstance(by_row, Rows) and by_row.rest == ()
    assert by_row.x.tolist() == [2, 6] and not by_row.x.requires_grad
    assert make(net).gradient_step(net.slope, *tensors(1.0, 1.0)).by_row == ()


def test_metrics_hold_no_graph_and_parameters_no_gradient(make):
    net = Point()
    metrics = make(net).gradient_step(net.slope, *tensors(1.0, 2.0)).metrics
    assert not metrics["loss"].requires_grad and net.x.grad is None


@pytest.mark.parametrize("kinds", [(False, True), (True, False)])
def test_state_moves_between_eager_and_graph(kinds, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr("shutil.which", lambda name: name)
    nets = Point(), Point()
    first, second = (
        Optimizer(net, max_grad_norm=None, compile=kind) for net, kind in zip(nets, kinds, strict=True)
    )  # fmt: skip
    for optimizer in (first, second):
        optimizer.set_lr(0.1)
    for slope in (1.0, -2.0, 3.0):
        first.gradient_step(nets[0].slope, *tensors(slope, 1.0))
    nets[1].load_state_dict(nets[0].state_dict())
    second.load_state_dict(first.state_dict())
    for slope in (0.5, 4.0):
        first.gradient_step(nets[0].slope, *tensors(slope, 1.0))
        second.gradient_step(nets[1].slope, *tensors(slope, 1.0))
        assert nets[1].x.item() == pytest.approx(nets[0].x.item(), abs=1e-6)
    assert second.count == 5 and first.means[0] is not second.means[0]


def test_loading_copies(make):
    net = Point()
    optimizer = make(net)
    optimizer.gradient_step(net.slope, *tensors(1.0, 1.0))
    twin = make(Point())
    twin.load_state_dict(optimizer.state_dict())
    optimizer.gradient_step(net.slope, *tensors(9.0, 9.0))
    assert twin.count == 1 and twin.means[0].item() == pytest.approx(0.1)


def test_the_rate_holds_after_loading(make):
    net = Point()
    optimizer = make(net)
    optimizer.load_state_dict(make(Point()).state_dict())
    optimizer.set_lr(0.25)
    optimizer.gradient_step(net.slope, *tensors(1.0, 0.0))
    assert net.x.item() == pytest.approx(-0.25)


def test_another_network_s_state_is_refused(make):
    with pytest.raises(RuntimeError):
        make(nn.Linear(3, 2)).load_state_dict(make(nn.Linear(4, 2)).state_dict())


@pytest.mark.parametrize("name", ["", "no-such-compiler"])
def test_a_missing_compiler_is_told(monkeypatch, tmp_path, name):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", name)
    with pytest.raises(UserError, match=r"algo_cfg\.compile=true needs a C\+\+ compiler, but .*was not found"):
        Optimizer(Point(), max_grad_norm=None, compile=True)


class Pair(nn.Module):
    """Two weights of one gradient each, the second in a part of its own."""

    def __init__(self):
        super().__init__()
        self.x, self.part = nn.Parameter(torch.tensor(0.0)), Point()

    def slope(self, dx, dy):
        return self.x * dx + self.part.x * dy, {}


@pytest.mark.parametrize(
    ("settings", "factor"),
    # the first step of Adam is lr g / |g|; that of RMSprop lr g / sqrt(0.01 g^2) = 10 lr
    [({}, 1), ({"rule": "rmsprop"}, 10), ({"max_grad_norm": 1.0}, 1)],
)
def test_a_part_may_have_a_rate_of_its_own(make, settings, factor):
    net = Pair()
    optimizer = make(net, apart=net.part, **settings)
    optimizer.set_lr(0.001, 0.02)
    metrics = optimizer.gradient_step(net.slope, *tensors(3.0, -4.0)).metrics
    assert net.x.item() == pytest.approx(-0.001 * factor, rel=1e-5)
    assert net.part.x.item() == pytest.approx(0.02 * factor, rel=1e-5)
    assert (net.part.y.item(), net.part.unused.item(), net.part.frozen.item()) == (0, 5, 7)
    assert metrics.get("train/grad_norm", 5) == 5  # of all weights together


def test_the_state_does_not_tell_whether_a_part_stood_apart(make):
    nets = Pair(), Pair()
    joint, apart = make(nets[0]), make(nets[1], apart=nets[1].part)
    for optimizer, rates in ((joint, (0.1,)), (apart, (0.1, 0.1))):
        optimizer.set_lr(*rates)
    for slopes in ((3.0, 1.0), (-1.0, 2.0), (0.5, 0.5)):
        apart.load_state_dict(joint.state_dict())
        joint.gradient_step(nets[0].slope, *tensors(*slopes))
        apart.gradient_step(nets[1].slope, *tensors(*slopes))
        for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            assert torch.equal(one, other)


def test_each_part_is_given_its_rate(make):
    net = Pair()
    with pytest.raises(ValueError, match="shorter"):
        make(net, apart=net.part).set_lr(0.1)
    with pytest.raises(ValueError, match="longer"):
        make(net).set_lr(0.1, 0.2)


def test_gradients_that_lie_otherwise_than_their_weights(make):
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2, 3))

    net, slope = Turned(), torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]])
    optimizer = make(net)
    optimizer.set_lr(0.1)
    optimizer.gradient_step(lambda turned: ((net.weight.t().contiguous() * turned).sum(), {}), slope.t().contiguous())
    torch.testing.assert_close(net.weight.detach(), -0.1 * slope.sign())  # the first step of Adam


def test_graphs_of_the_same_lines_are_not_mistaken_for_each_other(monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr("shutil.which", lambda name: name)
    nets = Point(1.0, 2.0), Point(3.0, 4.0)
    for net in nets:
        optimizer = Optimizer(net, max_grad_norm=None, compile=True)
        optimizer.set_lr(0.1)
        optimizer.gradient_step(net.slope, *tensors(1.0, -1.0))
    assert [(round(net.x.item(), 4), round(net.y.item(), 4)) for net in nets] == [(0.9, 2.1), (2.9, 4.1)]


def test_what_cannot_be_traced_learns_uncompiled(monkeypatch, caplog):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr("shutil.which", lambda name: name)
    net = Point()

    def untraceable(dx, dy):
        torch._dynamo.graph_break()
        return net.slope(dx, dy)

    optimizer = Optimizer(net, max_grad_norm=None, compile=True)
    optimizer.set_lr(0.1)
    for _ in range(2):
        optimizer.gradient_step(untraceable, *tensors(3.0, 0.0))
    assert net.x.item() == pytest.approx(-0.2) and optimizer.count == 2
    assert caplog.text.count("updates are not compiled, for torch.compile fails") == 1


def test_a_mistake_in_the_loss_is_no_failure_of_the_compiler(make):
    def mistaken(dx, dy):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        make(Point()).gradient_step(mistaken, *tensors(1.0, 1.0))
