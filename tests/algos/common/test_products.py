"""Products by oneDNN: their values, which of a graph's products they replace, and a compiled update with them."""

import pytest
import torch
from replay_parts import make, random_batch

from algos.common import products

HAVE = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="a torch without oneDNN")


@HAVE
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
def test_values_are_those_of_torch_however_matrices_lie(turned, bias):
    torch.manual_seed(0)
    a, b = torch.randn(33, 65), torch.randn(65, 18)
    a, b = (one.t().contiguous().t() if turn else one for one, turn in zip((a, b), turned, strict=True))
    row = torch.randn(18) if bias else None
    expected = a @ b + row if bias else a @ b
    torch.testing.assert_close(products.product(a, b, row), expected, rtol=1e-5, atol=1e-5)


def replaced(function, *inputs):
    """A traced function with its products replaced."""
    products.in_graphs()  # which makes the operator known
    traced = torch.fx.experimental.proxy_tensor.make_fx(function, tracing_mode="fake")(*inputs)
    products.replace_products(traced.graph)
    traced.graph.lint()
    traced.recompile()
    return traced


def by_onednn(traced):
    return len(traced.graph.find_nodes(op="call_function", target=torch.ops.joyride.product.default))


@HAVE
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (torch.mm, ((129, 140), (140, 130))),
        (torch.bmm, ((3, 129, 140), (3, 140, 130))),
        (lambda a, b: torch.addmm(torch.arange(130.0), a, b), ((129, 140), (140, 130))),
        (torch.mm, ((33, 5), (5, 20))),  # by terms
        (torch.mm, ((33, 1), (1, 20))),
        (lambda a, b: torch.addmm(torch.arange(20.0), a, b), ((33, 5), (5, 20))),
    ],
)
def test_a_graph_gives_the_same_with_other_products(function, shapes, turned):
    torch.manual_seed(0)
    a, b = map(torch.randn, shapes)
    a, b = (one.mT.contiguous().mT if turn else one for one, turn in zip((a, b), turned, strict=True))
    traced = replaced(function, a, b)
    assert not traced.graph.find_nodes(op="call_function", target=torch.ops.aten.mm.default)
    torch.testing.assert_close(traced(a, b), function(a, b), rtol=1e-5, atol=1e-4)


def square(n, dtype=torch.float32):
    return torch.zeros(n, n, dtype=dtype)


@pytest.mark.parametrize(
    ("function", "inputs", "count"),
    [
        (torch.mm, (square(128), square(128)), 1),
        (torch.mm, (square(64), square(64)), 0),  # small
        (torch.mm, (torch.zeros(70_000, 4), torch.zeros(4, 70)), 0),  # thin: by terms
        (torch.mm, (torch.zeros(70_000, 40), torch.zeros(40, 4)), 0),
        (torch.mm, (square(128, torch.float64), square(128, torch.float64)), 0),
        (torch.bmm, (torch.zeros(2, 128, 128), torch.zeros(2, 128, 128)), 2),
        (torch.addmm, (torch.zeros(128), square(128), square(128)), 1),
        (torch.addmm, (square(128), square(128), square(128)), 0),  # what is added has more than a row
        (lambda c, a, b: torch.addmm(c, a, b, beta=2), (torch.zeros(128), square(128), square(128)), 0),
    ],
)
def test_large_products_of_a_graph_are_replaced(function, inputs, count):
    assert by_onednn(replaced(function, *inputs)) == count


def test_the_machine_is_asked_once(monkeypatch, tmp_path):
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(products, "_CPUINFO", info)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    found = {}
    for vendor in ("AuthenticAMD", "GenuineIntel"):
        info.write_text(f"vendor_id\t: {vendor}\n")
        products.faster.cache_clear()
        found[vendor] = products.faster()
    products.faster.cache_clear()
    assert found == {"AuthenticAMD": True, "GenuineIntel": False}


@HAVE
@pytest.mark.slow
def test_an_update_with_such_products_is_the_same_update(monkeypatch):
    monkeypatch.setattr(products, "faster", lambda: True)
    layers = {key: [{"layer_type": "linear", "layer_size": [256, 256]}] for key in ("actor_layers", "critic_layers")}
    eager, compiled = (make("SAC", compile=compile, **layers) for compile in (False, True))
    for seed in range(20):
        for one in (eager, compiled):
            one.learn(random_batch(one, n=256, seed=seed))
    for one, other in zip(eager.critic.parameters(), compiled.critic.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
