"""The ways to tell an agent what came of its action make the same rows; wrong use is told."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from algos.common.trees import tree_leaves
from framework.agents import AgentError, SpacesOnly, composed, make_agent
from framework.tinyrl.agents import DQNAgent, PPOAgent, SACAgent

SIZES = {"state_dim": 4, "action_dim": 2, "continuous_actions": False, "seed": 1}
GRU = [{"layer_type": "gru", "layer_size": 8}]
CASES = {
    "DQN": ("CartPole-v1", {"learning_starts": 40, "batch_size": 16}),
    "DRQN": ("CartPole-v1", {"learning_starts": 40, "batch_size": 2, "sequence_length": 10}),
    "PPO": ("CartPole-v1", {"n_steps": 40, "n_epochs": 2}),
    "PPO with memory": ("CartPole-v1", {"n_steps": 40, "n_epochs": 2, "merge_layers": GRU}),
    "SAC": ("Pendulum-v1", {"learning_starts": 40, "batch_size": 16}),
}


def observe(agent, obs, action, reward, next_obs, terminated, truncated):
    agent.observe(next_obs, reward, terminated, truncated)


def store(agent, obs, action, reward, next_obs, terminated, truncated):
    agent.store_transition(obs, action, reward, next_obs, terminated or truncated, truncated=truncated)


def step(agent, obs, action, reward, next_obs, terminated, truncated):
    known = next_obs if terminated or truncated else None
    agent.step(reward, terminated or truncated, truncated=truncated, next_state=known)


def play(agent, env_id, tell, steps, learn=True):
    """Step an agent, told by `tell`; episodes are truncated after 15 steps."""
    env = gym.wrappers.TimeLimit(gym.make(env_id).unwrapped, 15)
    obs, _ = env.reset(seed=agent.env_seed)
    for _ in range(steps):
        action = agent.select_action(obs)
        next_obs, reward, terminated, truncated, _ = env.step(action)
        tell(agent, obs, action, reward, next_obs, terminated, truncated)
        if learn:
            agent.update()
        obs = env.reset()[0] if terminated or truncated else next_obs


def arrays(tree):
    return [np.asarray(leaf) for leaf in tree_leaves(tree) if hasattr(leaf, "shape")]


@pytest.mark.parametrize("case", CASES)
def test_storing_transitions_learns_what_observing_does(case):
    env_id, settings = CASES[case]
    one, two = (make_agent(case.split()[0], env=env_id, seed=3, **settings) for _ in range(2))
    play(one, env_id, observe, 90)
    play(two, env_id, store, 90)
    assert one.update_step == two.update_step > 0 and one.episode == two.episode > 0
    pairs = zip(arrays(one.algorithm.state_dict()), arrays(two.algorithm.state_dict()), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("case", CASES)
def test_step_makes_the_same_rows(case):
    env_id, settings = CASES[case]
    one, two = (make_agent(case.split()[0], env=env_id, seed=3, **settings) for _ in range(2))
    play(one, env_id, observe, 80, learn=False)
    play(two, env_id, step, 81, learn=False)  # the last row is complete when the next observation comes
    assert two.env_step - one.env_step in (0, 1)
    batches = [agent.server.sample() if agent.spec.on_policy else agent.server.buffer.columns for agent in (one, two)]
    rows = one.server.buffer.size if one.spec.replayed else 40
    pairs = list(zip(*(arrays(vars(batch) if one.spec.on_policy else batch) for batch in batches), strict=True))
    assert len(pairs) >= 6 and all(np.array_equal(a[:rows], b[:rows]) for a, b in pairs)


def test_an_episode_that_ends_needs_no_further_observation(caplog):
    agent = DQNAgent(SIZES)
    for _ in range(2):
        agent.select_action(np.ones(4))
        agent.step(1.0, True)
    columns = agent.server.buffer.columns
    assert agent.episode == 2 and columns["terminated"][:2].all() and not columns["truncated"][:2].any()
    assert caplog.text.count("got no `truncated`") == 1


def test_a_truncated_episode_is_continued_in_value(caplog):
    agent = DQNAgent(SIZES)
    agent.select_action(np.ones(4))
    agent.step(1.0, True, truncated=True)
    agent.select_action(np.ones(4))
    agent.step(1.0, False, truncated=True, next_state=np.zeros(4))
    columns = agent.server.buffer.columns
    assert columns["truncated"][:2].all() and not columns["terminated"][:2].any()
    assert np.array_equal(columns["next_obs"][:2], [np.ones(4), np.zeros(4)])
    assert caplog.text.count("the last observation of a truncated episode is unknown") == 1
    assert "got no" not in caplog.text


def test_nothing_is_told_of_an_episode_that_goes_on(caplog):
    agent = DQNAgent(SIZES)
    agent.select_action(np.ones(4))
    agent.step(2.0, False)
    agent.select_action(np.zeros(4), training=False)  # someone looks on
    assert agent.env_step == 0
    agent.select_action(np.full(4, 3.0))
    columns = agent.server.buffer.columns
    assert agent.env_step == 1 and columns["reward"][0] == 2.0 and np.array_equal(columns["next_obs"][0], np.full(4, 3))
    assert not caplog.text


def test_replay_takes_actions_of_others():
    bounds = {"state_dim": 3, "action_dim": 2, "continuous_actions": True, "action_low": -4, "action_high": [4, 8]}
    agent = SACAgent(bounds)
    agent.store_transition(np.zeros(3), [2.0, 8.0], 1.0, np.ones(3), False, truncated=False)
    agent.select_action(np.ones(3))
    agent.store_transition(np.ones(3), np.array([-4.0, 2.0]), 1.0, np.ones(3), False, truncated=False)
    assert np.allclose(agent.server.buffer.columns["action"][:2], [[0.5, 1.0], [-1.0, 0.0]])
    counted = make_agent("DQN", env="CartPole-v1", seed=1)
    space = spaces.Discrete(3, start=5)
    counted = type(counted)(composed("DQN", "unnamed", {}), SpacesOnly(counted.obs_space, space))
    counted.store_transition(np.zeros(4), 7, 1.0, np.ones(4), False, truncated=False)
    assert counted.server.buffer.columns["action"][0] == 2


def test_recurrent_replay_takes_actions_of_others():
    agent = DQNAgent({**SIZES, "use_attention": True, "d_model": 8, "n_heads": 2, "update_every": 8})
    for number in range(8):
        agent.store_transition(np.full(4, number), number % 2, 1.0, np.full(4, number + 1), False, truncated=False)
    assert agent.server.buffer.columns["action"][0].tolist() == [0, 1] * 4


def test_a_buffer_is_full():
    ppo = PPOAgent({**SIZES, "rollout_length": 3})
    dqn = DQNAgent({**SIZES, "buffer_size": 3, "batch_size": 2})
    full = []
    for _ in range(3):
        for agent in (ppo, dqn):
            agent.store_transition(
                np.zeros(4), agent.select_action(np.zeros(4)), 1.0, np.ones(4), True, truncated=False
            )
        full.append((ppo.buffer.is_full(), dqn.buffer.is_full()))
    assert full == [(False, False), (False, False), (True, True)]
    assert ppo.update() is not None and not ppo.buffer.is_full()


def test_what_is_collected_beyond_a_rollout_is_learned_too():
    agent = PPOAgent({**SIZES, "rollout_length": 8, "batch_size": 4})
    for number in range(20):
        agent.select_action(np.full(4, number / 20))
        agent.step(1.0, number == 19, truncated=False)
    before = agent.update_step
    assert agent.update() is not None and not agent.buffer.is_full()
    assert agent.update_step - before == 2 * 10 * 2  # rollouts, passes, minibatches
    assert len(agent.rollout) == 4


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda agent: agent.step(1.0, False), "step without an action"),
        (lambda agent: [agent.select_action(np.zeros(4)), agent.step(1, False), agent.step(1, False)], "step without"),
        (
            lambda agent: [
                agent.select_action(np.zeros(4)),
                agent.step(1, False),
                agent.store_transition(np.zeros(4), 0, 1, np.zeros(4), False),
            ],
            "leave one out",
        ),
        (lambda agent: agent.store_transition(np.zeros(3), 0, 1, np.zeros(4), False), r"shape \(3,\)"),
        (lambda agent: agent.store_transition(np.zeros(4), 0, 1, None, False), "an observation of Box"),
        (lambda agent: agent.store_transition(np.zeros(4), [0, 1], 1, np.zeros(4), False), r"shape \(2,\)"),
        (lambda agent: agent.store_transition(np.zeros(4), "left", 1, np.zeros(4), False), "an action of shape"),
    ],
)
def test_wrong_use_is_told(wrong, told):
    with pytest.raises(AgentError, match=told):
        wrong(DQNAgent(SIZES))


def test_an_on_policy_agent_takes_its_own_actions_alone(caplog):
    agent = PPOAgent(SIZES)
    with pytest.raises(AgentError, match="its own actions alone"):
        agent.store_transition(np.zeros(4), 0, 1.0, np.zeros(4), False)
    agent.select_action(np.zeros(4))
    action = agent.select_action(np.zeros(4))
    assert caplog.text.count("it is left out") == 1
    with pytest.raises(AgentError, match="its own actions alone"):
        agent.store_transition(np.zeros(4), 1 - action, 1.0, np.zeros(4), False)
