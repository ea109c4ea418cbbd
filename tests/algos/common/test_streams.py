"""Random streams from checkpoints: taken over as they were, or told where they are of another kind of device."""

import pytest
import torch

from algos.common.streams import ANEW, take_over


def test_a_stream_goes_on_where_it_was():
    first, second = torch.Generator().manual_seed(3), torch.Generator().manual_seed(4)
    torch.rand(5, generator=first)
    assert take_over(second, first.get_state()) == []
    assert torch.equal(torch.rand(5, generator=first), torch.rand(5, generator=second))


def test_a_gpus_stream_is_told_on_a_cpu():
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    assert take_over(generator, torch.zeros(16, dtype=torch.uint8)) == [ANEW]
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("state", [None, 3, torch.zeros(5056), torch.zeros((2, 8), dtype=torch.uint8)])
def test_what_is_no_stream_is_told(state):
    with pytest.raises(ValueError, match="not that of a generator"):
        take_over(torch.Generator(), state)
