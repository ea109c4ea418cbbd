"""The Python blocks of ApexRL's page on runners run here, in their order, with only the import lines changed.

`tests/seeds/apexrl_runners.rst` is that page, as its authors wrote it. What it takes for granted is defined before
each block; steps are cut, and without a GPU the device is cpu.
"""

import csv
import re
import textwrap
from pathlib import Path

import gymnasium as gym
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from framework import OnPolicyRunner

PAGE = Path(__file__).parent / "seeds" / "apexrl_runners.rst"
BLOCKS = [
    textwrap.dedent(block)
    for block in re.findall(r"^\.\. code-block:: python\n\n((?: {3}.*\n|\n)+)", PAGE.read_text("utf-8"), re.MULTILINE)
]
IMPORTS = {
    "from apexrl.agent.on_policy_runner import OnPolicyRunner": "from framework import OnPolicyRunner",
    "from apexrl.algorithms.ppo import PPO, PPOConfig": "from framework import PPO, PPOConfig",
}
STEPS = {
    "total_timesteps=10_000_000": "total_timesteps=128",
    "num_episodes=100": "num_episodes=5",
    'algorithm="ppo",\n': 'algorithm="ppo", n_steps=128,\n',
    "PPOConfig(learning_rate=3e-4)": "PPOConfig(learning_rate=3e-4, n_steps=128)",
}
BEFORE = "import torch\nfrom framework import MLPActor, MLPCritic, OnPolicyRunner\nthreshold = 0.5\n"
WORDS = ("basic use", "settings", "callbacks", "components", "checkpoints", "evaluation", "ready-made agent")


def changed(block: str) -> str:
    for old, new in {**IMPORTS, **STEPS}.items():
        block = block.replace(old, new)
    assert "apexrl" not in block
    return block if torch.cuda.is_available() else block.replace('"cuda"', '"cpu"')


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the block of that place, all in one namespace."""
    monkeypatch.chdir(tmp_path)
    vector = SyncVectorEnv([lambda: gym.make("CartPole-v1")], autoreset_mode=AutoresetMode.SAME_STEP)
    names = {"env": vector}
    exec(BEFORE, names)

    def run(word: str) -> dict:
        exec(changed(BLOCKS[WORDS.index(word)]), names)
        return names

    return run


def test_every_block_is_run_below():
    assert len(BLOCKS) == len(WORDS) == PAGE.read_text("utf-8").count("code-block:: python")
    assert sum(block.count(line) for block in BLOCKS for line in IMPORTS) == len(IMPORTS)
    assert sum("import " in block for block in BLOCKS) == len(IMPORTS)
    assert all(any(line in block for block in BLOCKS) for line in STEPS)


def test_train_call_back_save_load_and_evaluate(run, tmp_path, capsys):
    runner = run("basic use")["runner"]
    assert runner.env_step == 128 and (tmp_path / "checkpoints" / "final_model.pt").exists()
    assert runner.folder.path.parent == Path("logs") and any(runner.folder.tb_logs.iterdir())
    run("callbacks")
    runner.learn(num_iterations=1)
    said = capsys.readouterr().out
    assert "开始迭代 1" in said and "达到奖励阈值！" in said
    run("checkpoints")
    assert (tmp_path / "checkpoints" / "checkpoint_2.pt").exists() and runner.iteration == 2
    stats = run("evaluation")["stats"]
    said = capsys.readouterr().out
    assert f"平均奖励: {stats['eval/mean_reward']:.2f}\n" in said and "最大奖励:" in said
    runner.close()


def test_settings(run):
    runner = run("settings")["runner"]
    chosen = runner.cfg.algo_cfg
    assert chosen.actor_cfg == chosen.critic_cfg == {"hidden_dims": [256]}
    assert (runner.general.log_interval, runner.save_interval) == (10, 100)
    assert runner.device == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_ready_made_agent(run):
    runner = run("ready-made agent")["runner"]
    assert runner.cfg.algo_cfg.lr == 3e-4 and runner.cfg.algo_cfg.actor_class.endswith("MLPActor")
    runner.learn(num_iterations=1)
    assert runner.driver.update_step > 0
    runner.close()


class Robots:
    """Four robots in the manner of rsl_rl, whose extras are made by the page's block."""

    num_envs, num_actions, device = 4, 2, "cpu"

    def __init__(self):
        self.t = torch.zeros(4, dtype=torch.long)

    def get_observations(self):
        return torch.stack([self.t / 10, torch.ones(4)], 1)

    def step(self, actions):
        self.t += 1
        names = {
            "time_outs": self.t >= 10,
            "velocity_reward": actions[:, 0].abs(),
            "energy_penalty": 0.1 * actions.square().sum(1),
            "stability_reward": torch.full((4,), 0.5),
            "robot_height": torch.tensor([1.0, 2.0, 3.0, 4.0]),
        }
        exec(changed(BLOCKS[WORDS.index("components")]), names)
        reward = sum(names["extras"]["reward_components"].values())
        self.t[names["time_outs"]] = 0
        return self.get_observations(), reward, names["time_outs"], names["extras"]


def test_reward_components_and_metrics(tmp_path):
    quiet = {"progress": "off", "save_fig": False, "n_steps": 16, "batch_size": 32}
    runner = OnPolicyRunner(Robots(), "ppo", log_dir=tmp_path, log_interval=1, device="cpu", cfg=quiet)
    runner.learn(num_iterations=2)
    runner.close()
    with (runner.folder.results / "episodes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12  # 32 steps of 4 robots, an episode has 10
    for row in rows:
        parts = sum(float(row[f"reward_components/{name}"]) for name in ("velocity", "energy", "stability"))
        assert parts == pytest.approx(float(row["reward"]), abs=1e-5)
    with (runner.folder.results / "updates.csv").open() as file:
        assert {row["env/robot/height_mean"] for row in csv.DictReader(file)} == {"2.5"}
