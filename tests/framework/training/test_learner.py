import torch
from framework_fakes import PPO

from framework import Experiment
from framework.training.learner import Learner


def test_state_brings_back_the_random_streams(tmp_path):
    experiment = Experiment(**PPO, tasks_dir=str(tmp_path))
    learner = Learner(experiment.algorithm)
    state = learner.state_dict()
    drawn = torch.rand(3), torch.rand(3, generator=experiment.algorithm.generator)
    torch.rand(10)
    learner.load_state_dict(state)
    again = torch.rand(3), torch.rand(3, generator=experiment.algorithm.generator)
    assert drawn[0].equal(again[0]) and drawn[1].equal(again[1])


def test_weights_are_those_of_the_policy(tmp_path):
    one, other = (Experiment(**PPO | {"seed": seed}, tasks_dir=str(tmp_path)) for seed in (1, 2))
    weights = Learner(one.algorithm).weights()
    assert all(value.device.type == "cpu" and not value.requires_grad for value in weights.values())
    other.algorithm.policy.net.load_state_dict(weights)
    assert all(value.equal(weights[name]) for name, value in Learner(other.algorithm).weights().items())
