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


@HAVE
def test_pairs_are_multiplied_each():
    torch.manual_seed(0)
    a, b = torch.randn(3, 7, 5), torch.randn(3, 5, 4)
    torch.testing.assert_close(products.product(a, b.clone(), None), a @ b)


def replaced(function, *inputs):
    """How many products of a traced function are made by oneDNN, and its graph."""
    products.in_graphs()  # which makes the operator known
    graph = torch.fx.experimental.proxy_tensor.make_fx(function, tracing_mode="fake")(*inputs).graph
    products.replace_products(graph)
    graph.lint()
    return len(graph.find_nodes(op="call_function", target=torch.ops.joyride.product.default))


def square(n, dtype=torch.float32):
    return torch.zeros(n, n, dtype=dtype)


@pytest.mark.parametrize(
    ("function", "inputs", "count"),
    [
        (torch.mm, (square(128), square(128)), 1),
        (torch.mm, (square(64), square(64)), 0),  # small
        (torch.mm, (torch.zeros(70_000, 4), torch.zeros(4, 70)), 0),  # thin
        (torch.mm, (square(128, torch.float64), square(128, torch.float64)), 0),
        (torch.bmm, (torch.zeros(2, 128, 128), torch.zeros(2, 128, 128)), 1),
        (torch.addmm, (torch.zeros(128), square(128), square(128)), 1),
        (torch.addmm, (square(128), square(128), square(128)), 0),  # what is added has more than a row
        (lambda c, a, b: torch.addmm(c, a, b, beta=2), (torch.zeros(128), square(128), square(128)), 0),
    ],
)
def test_large_products_of_a_graph_are_replaced(function, inputs, count):
    assert replaced(function, *inputs) == count


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
