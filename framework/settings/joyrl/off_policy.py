"""JoyRL's DDPG, TD3 and SAC (torch-free)."""

from framework.settings.joyrl import tables
from framework.settings.joyrl.common import limits, lists, put_layers, replay
from framework.settings.joyrl.draft import Draft
from framework.settings.joyrl.layers import branch_layers, dense

CORRELATION, DEVIATION = 0.85, 0.3 / (1 - 0.85**2) ** 0.5  # of JoyRL's Ornstein-Uhlenbeck noise: theta 0.15, sigma 0.3


def dpg(draft: Draft) -> None:
    """DDPG and TD3."""
    replay(draft)
    draft.same("actor_lr", "critic_lr", "tau")
    _networks(draft)
    infinite = {"value_min": float("-inf"), "value_max": float("inf")}
    limits(draft, infinite)
    if draft.algorithm == "TD3":
        draft.rename("expl_noise", "exploration_noise")
        draft.rename("policy_freq", "policy_delay")
        draft.rename("policy_noise", "target_noise")
        draft.rename("noise_clip", "target_noise_clip")
        draft.rename("explore_steps", "random_steps")
        start = draft.get("explore_steps") if draft.year == 2022 else 0
        draft.put("algo_cfg.learning_starts", start, "learning_starts", "JoyRL's")
        return
    env_id = str(draft.settings["env_cfg"].get("id"))
    scale = round(DEVIATION / tables.HALF_RANGES.get(env_id, 1.0), 3)
    why = "JoyRL's Ornstein-Uhlenbeck noise, as a fraction of half the action range"
    draft.put("algo_cfg.exploration_noise", scale, "exploration_noise", why)
    draft.put("algo_cfg.noise_correlation", CORRELATION, "noise_correlation", "theta is 0.15")
    for key in ("random_steps", "learning_starts"):
        draft.put(f"algo_cfg.{key}", 0, key, "JoyRL's actor acts from the first step")
    if draft.algorithm == "DDPG_HER":
        _hindsight(draft, env_id)


def _hindsight(draft: Draft, env_id: str) -> None:
    draft.put("algo_cfg.buffer_type", "HER", "algo_name", "hindsight replay is a buffer type here")
    limits(draft, {"her_sample_num": 4})
    if draft.has("update_every"):
        text = "update_every: here updates follow env steps, not episodes; nearest: algo_cfg.train_freq, gradient_steps"
        draft.lack("update_every", text)
    if env_id == "Pendulum-v1":
        text = "algorithm DDPG_HER on Pendulum: JoyRL's trainer invents the goals; here the environment must have goals"
        draft.lack("algo_name", text)


def _networks(draft: Draft) -> None:
    """Actor and critic; layers over the observation that both have go to merge_layers."""
    for who in ("actor", "critic"):
        if draft.has(f"{who}_layers") or (draft.get(f"{who}_layers") and draft.year < 2024):
            put_layers(draft, f"{who}_layers", lists(draft, f"{who}_layers"), f"{who}_layers")
        elif draft.get(f"{who}_hidden_dim"):
            put_layers(draft, f"{who}_layers", dense(draft.get(f"{who}_hidden_dim")), f"{who}_hidden_dim")
    if "actor_layers" in draft.settings["algo_cfg"]:
        return
    actor, critic = lists(draft, "actor_branch_layers"), lists(draft, "critic_branch_layers")
    over_action = branch_layers(draft.get("critic_branch_layers"), 1, lambda text: None)
    if over_action:
        draft.lack("critic_branch_layers", "critic_branch_layers: critic layers over the action alone")
    behind = {who: lists(draft, f"{who}_merge_layers") for who in ("actor", "critic")}
    if critic and critic != actor:
        text = "critic_branch_layers: critic layers over the observation that differ from the actor's"
        draft.lack("critic_branch_layers", text)
    if critic:
        why = "over the observation, before the action joins"
        put_layers(draft, "merge_layers", critic, "critic_branch_layers", why=why)
        actor = []
    else:
        draft.drop("critic_branch_layers", "no layers before the action joins")
    put_layers(draft, "actor_layers", actor + behind["actor"], "actor_branch_layers", "actor_merge_layers")
    put_layers(draft, "critic_layers", behind["critic"], "critic_merge_layers")


def sac(draft: Draft) -> None:
    """SAC and its discrete form. JoyRL has the latter twice: as SAC_D, and as SAC with action_type discrete."""
    replay(draft)
    hidden = draft.get("hidden_dim")
    for who in ("actor", "critic"):
        own = f"{who}_layers"
        layers = lists(draft, own) if draft.has(own) else dense(hidden)
        put_layers(draft, own, layers, own, "hidden_dim")
    _rates(draft)
    draft.put("algo_cfg.learning_starts", 0, "learning_starts", "JoyRL learns from the first batch on")
    source = "start_steps" if draft.algorithm == "SAC" and draft.year == 2022 else ""
    draft.put("algo_cfg.random_steps", draft.get("start_steps") or 0 if source else 0, source)
    draft.rename("n_epochs", "gradient_steps")
    limits(draft, {"target_update_fre": 1, "policy_type": "Gaussian", "min_policy": 0})
    if draft.algorithm == "SAC_D":
        draft.put("algo_cfg.tau", 1.0, "tau", "JoyRL copies the critics into their targets")
        limits(draft, {"target_update": 1})
        draft.drop("automatic_entropy_tuning", "JoyRL always adapts alpha, starting from 1")
        draft.drop("alpha", "JoyRL starts from 1")
        for key in ("epsilon_start", "epsilon_end", "epsilon_decay"):
            draft.drop(key, "here the policy explores; in JoyRL epsilon does")
    else:
        draft.same("tau")


def _rates(draft: Draft) -> None:
    """Learning rates and the temperature."""
    if draft.algorithm == "SAC" and draft.year > 2022 and not draft.get("share_optimizer"):
        draft.same("actor_lr", "alpha_lr")
        key = "critic_lr" if draft.has("critic_lr") else "critic1_lr"
        draft.put("algo_cfg.critic_lr", draft.get(key), key)
        if draft.has("critic2_lr") and draft.get("critic2_lr") != draft.get(key):
            draft.lack("critic2_lr", f"critic2_lr={draft.get('critic2_lr')}: both critics share one learning rate")
        draft.drop("lr", "JoyRL does not read it with separate optimisers")
        draft.put("algo_cfg.alpha", 1.0, "alpha", "JoyRL starts from 1 and adapts it")
        if draft.settings["general_cfg"]["algo_name"] == "SAC_D":
            why = "the target entropy is a fraction of the maximum; JoyRL's target of -1 cannot be reached"
            draft.drop("action_type", f"implied by algo_name: SAC_D;  {why}")
    else:
        for here in ("actor_lr", "critic_lr", "alpha_lr"):
            draft.rename("lr", here)
        if draft.algorithm == "SAC":
            tuned = bool(draft.get("automatic_entropy_tuning"))
            draft.put("algo_cfg.auto_alpha", tuned, "automatic_entropy_tuning")
            draft.put("algo_cfg.alpha", 1.0 if tuned else draft.get("alpha"), "alpha")
        else:
            draft.put("algo_cfg.alpha", 1.0, "", "")
    draft.drop("independ_actor", "actor and critics are always separate")
    draft.drop("share_optimizer", "each has its own learning rate")
