"""Classes by name or dotted path, and which of them carry state."""

import network_classes
import pytest

from algos.common.errors import UserError
from algos.networks.classes import READY_MADE, carries_state, find_class
from algos.networks.ready_made import MLPActor


def test_paths_and_names_of_ready_made_classes():
    assert find_class("network_classes:Small", "key") is network_classes.Small
    assert find_class("MLPActor", "key") is find_class("algos.networks.ready_made.MLPActor", "key") is MLPActor
    assert all(find_class(name, "key").__name__ == name for name in READY_MADE)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("MLPAktor", "key=MLPAktor: expected package.module:Class, or a ready-made class; did you mean 'MLPActor'"),
        ("Other", "ready-made class; known: CNNActor, CNNCritic, MLPActor, MLPCritic"),
        ("__main__:Gone", "key=__main__:Gone: this class was defined in the script that saved the run"),
        ("network_classes:no_class", "is a function; expected a class"),
    ],
)
def test_what_is_no_class(path, said):
    with pytest.raises(UserError, match=said):
        find_class(path, "key")


def test_a_class_with_init_state_carries_state_unless_it_denies_it():
    assert carries_state(network_classes.Memory) and not carries_state(network_classes.Small)
    assert not carries_state(MLPActor)
