import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from algos.common.errors import UserError
from envs.given import as_vector_env
from envs.vectors.rsl import RslVector
from framework import OnPolicyRunner

N = 64
QUIET = {
    "progress": "off",
    "save_fig": False,
    "device": "cpu",
    "n_steps": 16,
    "batch_size": 256,
    "n_epochs": 4,
    "lr": 3e-3,
}


class Reach:
    """64 points that are to go to 0, in the manner of rsl_rl: some fall off, the others time out."""

    num_envs, num_actions, device = N, 1, "cpu"

    def __init__(self, time_outs=True):
        self.generator, self.send = torch.Generator().manual_seed(0), time_outs
        self.place, self.t = torch.zeros(N), torch.zeros(N, dtype=torch.long)
        self.begin(torch.ones(N, dtype=torch.bool))

    def begin(self, done):
        self.place[done] = torch.rand(N, generator=self.generator)[done] * 2 - 1
        self.t[done] = 0

    def get_observations(self):
        return self.place.unsqueeze(1)

    def step(self, actions):
        assert isinstance(actions, torch.Tensor) and actions.device.type == self.device
        self.place += 0.2 * actions.reshape(N).clamp(-1, 1)
        self.t += 1
        near, effort = -self.place.abs(), -0.01 * actions.reshape(N) ** 2
        time_outs = self.t >= 20
        done = (self.place.abs() > 1.5) | time_outs
        extras = {"reward_components": {"near": near, "effort": effort}, "log": {"/place": self.place.abs().mean()}}
        self.begin(done)
        return self.get_observations(), near + effort, done, extras | ({"time_outs": time_outs} if self.send else {})


class Behind(VectorEnv):
    """The same behind Gymnasium's interface, written by hand."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self):
        self.inner, self.num_envs = Reach(), N
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.single_action_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, N)
        self.action_space = batch_space(self.single_action_space, N)

    def reset(self, *, seed=None, options=None):
        return self.inner.get_observations().numpy().copy(), {}

    def step(self, actions):
        before = self.inner.get_observations().numpy().copy()
        obs, reward, done, extras = self.inner.step(torch.from_numpy(actions))
        done, late = done.numpy(), extras["time_outs"].numpy()
        infos = {"final_obs": before, "_final_obs": done} if done.any() else {}
        return obs.numpy().copy(), reward.double().numpy(), done & ~late, done & late, infos


def train(env, tmp_path, **more):
    runner = OnPolicyRunner(env, log_dir=tmp_path, cfg=QUIET | more)
    runner.learn(num_iterations=8)
    return runner


def test_it_trains_and_equals_the_same_behind_gymnasiums_interface(tmp_path):
    one, other = train(Reach(), tmp_path), train(Behind(), tmp_path)
    mine, its = (runner.algorithm.policy.net.state_dict() for runner in (one, other))
    assert all(torch.equal(value, its[name]) for name, value in mine.items())
    assert one.env_step == 8 * 16 * N
    means = one.driver.recorder.recent_means()
    assert means["reward_components/near"] + means["reward_components/effort"] == pytest.approx(
        means["episode/mean_reward"], abs=1e-5
    )
    assert "env/place" in (one.folder.results / "updates.csv").read_text()
    assert "time-outs bootstrap from the last observation before" in (one.folder.logs / "log.txt").read_text()
    assert (one.folder.logs / "log.txt").read_text().count("final_obs") == 1
    before = [
        row.copy() for row in (one.driver.sampling.workers[0].obs, one.driver.sampling.workers[0].env.env.place.numpy())
    ]
    assert one.eval(64)["eval/mean_reward"] > -6  # standing still: about -10
    assert np.array_equal(before[0], one.driver.sampling.workers[0].obs)
    assert np.array_equal(before[1], one.driver.sampling.workers[0].env.env.place.numpy())


def test_time_outs_are_truncations_and_the_last_observation_stands_in():
    venv = as_vector_env(Reach())
    assert isinstance(venv, RslVector)
    obs, _ = venv.reset(seed=[1] * N)
    for _ in range(20):
        before = obs
        obs, reward, terminated, truncated, info = venv.step(np.zeros((N, 1), np.float32))
    assert truncated.all() and not terminated.any() and reward.dtype == np.float64
    assert np.array_equal(info["final_obs"], before) and not np.array_equal(obs, before)


def test_without_time_outs_every_end_is_a_termination_and_that_is_said(caplog):
    venv = as_vector_env(Reach(time_outs=False))
    venv.reset()
    for _ in range(40):
        _, _, terminated, truncated, _ = venv.step(np.zeros((N, 1), np.float32))
    assert terminated.all() and not truncated.any()
    assert caplog.text.count("counts as termination") == 1


def test_what_lacks_actions_or_gives_other_values_is_told():
    class NoActions(Reach):
        num_actions = property()

    class FiveValues(Reach):
        def step(self, actions):
            return (*super().step(actions), None)

    with pytest.raises(UserError, match="neither an action_space nor num_actions"):
        as_vector_env(NoActions())
    with pytest.raises(UserError, match="returned 5 values"):
        as_vector_env(FiveValues()).step(np.zeros((N, 1), np.float32))
