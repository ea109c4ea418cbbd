"""Flags that do not exist: settings in the manner of other tools."""

import pytest

from algos.common.errors import UserError
from framework.commands.flags import refuse_flags

KNOWN = ["--help", "--yaml", "--multirun", "-m", "-c"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--seed 3", "unknown flag --seed; write seed=3, without dashes"),
        ("--seed=3", "unknown flag --seed; write seed=3, without dashes"),
        ("--seed", "unknown flag --seed; write seed=<value>, without dashes"),
        ("--lr -1 --yaml x", "unknown flag --lr; write lr=-1, without dashes"),
        ("--env-name CartPole-v1", "unknown flag --env-name; write id=CartPole-v1, without dashes"),
        ("--env CartPole-v1 --n-envs 2 --algo ppo --total-timesteps 9 --clip-coef .1",
         "unknown flags --env, --n-envs, --algo, --total-timesteps, --clip-coef;"
         " write id=CartPole-v1 n_envs=2 algo_name=PPO max_env_step=9 clip=.1, without dashes"),
        ("algo_name=SAC --learning-rate 1",
         "unknown flag --learning-rate; here it is algo_cfg.actor_lr and algo_cfg.critic_lr;"
         " settings are written key=value, without dashes"),
        ("--config f.yaml", "unknown flag --config; pass a settings file as --yaml FILE"),
        ("--yml f", "unknown flag --yml; did you mean '--yaml'?"),
        ("-x 3",
         "unknown flag -x; settings are written key=value, without dashes;"
         " `python main.py --hydra-help` lists the flags"),
        ("--track --algo nonsense",
         "unknown flag --algo; write algo_name=nonsense, without dashes\n"
         "unknown flag --track; here it is general_cfg.loggers=[tensorboard,wandb] (the W&B project is joyride);"
         " settings are written key=value, without dashes"),
    ],
)  # fmt: skip
def test_each_is_answered_with_what_to_write(line: str, told: str) -> None:
    with pytest.raises(UserError) as error:
        refuse_flags(line.split(), KNOWN)
    assert str(error.value) == told


def test_known_flags_pass() -> None:
    refuse_flags(["-m", "-cjob", "--yaml", "x", "lr=-1", "-3"], KNOWN)
