"""A runner's run between its calls: resumed, saved within a callback, locked, closed."""

import gymnasium as gym
import pytest
import torch

from algos.common.errors import UserError
from framework import Callback, OnPolicyRunner
from framework.runs.run_folder import RunFolder

QUIET = {"progress": "off", "save_fig": False, "loggers": [], "device": "cpu", "n_steps": 16, "batch_size": 8}


def make(tmp_path, env=None, **more):
    return OnPolicyRunner(env or gym.make("CartPole-v1"), "ppo", log_dir=tmp_path, cfg=QUIET, **more)


def weights(runner):
    return torch.nn.utils.parameters_to_vector(runner.algorithm.policy.net.parameters()).clone()


def test_a_resumed_run_knows_from_the_start_how_far_it_is(tmp_path):
    whole = make(tmp_path / "a")
    whole.learn(num_iterations=4)
    half = make(tmp_path / "b")
    half.learn(num_iterations=2)
    half.close()
    resumed = make(tmp_path / "b", resume="latest")
    assert (resumed.env_step, resumed.iteration) == (32, 2) and resumed.folder.path == half.folder.path
    resumed.learn(num_iterations=2)
    assert torch.equal(weights(resumed), weights(whole))


def test_a_function_may_save_between_two_iterations_and_the_run_stays_locked(tmp_path):
    runner, saved = make(tmp_path, save_dir=tmp_path / "saved"), []

    def save(runner):
        saved.append(runner.save_checkpoint(f"at_{runner.iteration}.pt"))
        with pytest.raises(UserError, match="in use"):
            RunFolder(runner.folder.path).acquire_lock()

    runner.add_callback("post_iteration", save)
    runner.learn(num_iterations=3)
    RunFolder(runner.folder.path).acquire_lock()  # which `learn` no longer holds
    other = make(tmp_path / "other")
    other.load_checkpoint(saved[0])
    assert other.iteration == 1
    other.learn(num_iterations=2)
    assert torch.equal(weights(other), weights(runner))


def test_a_folder_with_the_settings_of_another_run_is_told_of_once(tmp_path, caplog):
    place = tmp_path / "saved"
    make(tmp_path, save_dir=place).save_checkpoint("a.pt")
    before = (place / "config.yaml").read_text()
    make(tmp_path, save_dir=place).save_checkpoint("b.pt")  # with another seed, as the runs of one experiment have
    assert "other settings" not in caplog.text
    other = OnPolicyRunner(
        gym.make("CartPole-v1"), "ppo", log_dir=tmp_path, cfg={**QUIET, "gamma": 0.9}, save_dir=place
    )
    for name in "cd":
        other.save_checkpoint(f"{name}.pt")
    assert caplog.text.count(f"{place / 'config.yaml'} has other settings") == 1
    assert (place / "config.yaml").read_text() == before


@pytest.mark.parametrize("text", ["- a list", "a: [", "{}"])
def test_a_config_of_another_program_does_not_end_a_run(tmp_path, caplog, text):
    (tmp_path / "config.yaml").write_text(text)
    make(tmp_path / "runs", save_dir=tmp_path).save_checkpoint("a.pt")
    assert "has other settings" in caplog.text and (tmp_path / "config.yaml").read_text() == text


def test_what_cannot_be_saved_ends_the_run_after_a_checkpoint(tmp_path):
    runner = make(tmp_path, save_dir=tmp_path / "saved", save_interval=1)
    (tmp_path / "saved").write_text("a file in its place")
    with pytest.raises(UserError, match=r"cannot write .*checkpoint_1.pt"):
        runner.learn(num_iterations=4)
    assert runner.iteration == 1 and (runner.folder.checkpoints / "16").is_dir()


def test_a_callback_object_cannot_go_back_while_learn_runs(tmp_path):
    class Back(Callback):
        def post_rollout(self, trainer):
            runner.load_checkpoint("first.pt")

    runner = make(tmp_path)
    runner.save_checkpoint("first.pt")
    runner.add_callback(Back())
    with pytest.raises(RuntimeError, match="load_checkpoint cannot be called in a callback, while learn runs"):
        runner.learn(num_iterations=1)


def test_closing_twice_is_no_error_and_leaves_the_users_environment_open(tmp_path):
    env = gym.make("CartPole-v1")
    runner = make(tmp_path, env)
    runner.learn(num_iterations=1)
    runner.close()
    runner.close()
    another = make(tmp_path, env)
    another.learn(num_iterations=1)
    assert another.eval(2)["eval/min_reward"] > 0


def test_an_environment_closed_between_two_calls_is_told(tmp_path):
    env = gym.make("CartPole-v1")
    runner = make(tmp_path, env)
    runner.learn(num_iterations=1)
    env.close()
    with pytest.raises(UserError, match="was closed"):
        runner.learn(num_iterations=1)
