"""JoyRL's PPO, A2C, A3C and REINFORCE (torch-free)."""

import math
from typing import Any

from framework.settings.joyrl.common import actors, limits, lists, put_layers
from framework.settings.joyrl.draft import Draft
from framework.settings.joyrl.layers import dense


def on_policy(draft: Draft) -> None:
    """PPO, A2C and A3C: networks, learning rates, rollout, and keys counted in updates."""
    apart = draft.get("independ_actor")
    apart = draft.year == 2022 or draft.has("actor_layers", "actor_hidden_dim") or bool(apart)
    _actor_critic(draft, apart)
    shared = draft.get("share_optimizer") or (not apart and draft.year == 2024)
    if draft.has("lr") and draft.has("max_buffer_size") and not draft.has("actor_lr", "critic_lr"):
        shared = True  # a file for 0.6, whose one optimiser reads lr
    if shared:
        draft.same("lr")
    else:
        draft.rename("actor_lr", "lr")
        draft.same("critic_lr")
    for key in ("lr", "actor_lr", "critic_lr"):
        if draft.has(key) and (key == "lr") != bool(shared):
            draft.drop(key, "JoyRL does not read it with " + ("one optimiser" if shared else "two optimisers"))
    draft.same("gamma", "entropy_coef")
    if draft.year == 2024:
        draft.rename("critic_loss_coef", "value_coef")
    n = _rollout(draft)
    per_rollout = _passes(draft, n) if draft.algorithm == "PPO" else _single_pass(draft, n)
    _counted(draft, per_rollout)
    _returns(draft)
    norm = draft.get("max_norm")
    bound = "JoyRL clips each gradient entry to 1, not the norm" if draft.year == 2024 else "JoyRL clips nothing"
    why = "" if norm is not None else bound
    draft.put("algo_cfg.max_grad_norm", norm, "max_norm", why)
    ortho = draft.algorithm == "PPO" and draft.year == 2024
    if not ortho:
        draft.put("algo_cfg.ortho_init", False, "ortho_init", "JoyRL uses torch's default initialisation")
    if draft.algorithm != "PPO":
        draft.put("algo_cfg.optimizer", "adam", "optimizer", "JoyRL's")
    draft.put("algo_cfg.adam_eps", 1e-8, "adam_eps", "JoyRL's")
    limits(draft, {"action_std_bias": 0, "action_std_scale": 1, "min_policy": 0})


def _actor_critic(draft: Draft, apart: bool) -> None:
    """Separate or shared layers of actor and critic."""
    if not apart:
        names = ("value_layers",) if draft.has("value_layers") else ("branch_layers", "merge_layers")
        why = "actor and critic share them (independ_actor: false)"
        put_layers(draft, "merge_layers", lists(draft, *names), *names, why=why)
    for who in ("actor", "critic"):
        names = (f"{who}_branch_layers", f"{who}_merge_layers")
        hidden = draft.get(f"{who}_hidden_dim")
        if not apart:
            draft.put(f"algo_cfg.{who}_layers", [], f"{who}_layers", "only the shared layers")
            for name in names:
                draft.drop(name, "JoyRL does not read it with independ_actor: false")
        elif draft.has(*names) or not (draft.has(f"{who}_layers") or hidden):
            put_layers(draft, f"{who}_layers", lists(draft, *names), *names)
        elif draft.has(f"{who}_layers"):
            put_layers(draft, f"{who}_layers", lists(draft, f"{who}_layers"), f"{who}_layers")
        else:
            put_layers(draft, f"{who}_layers", dense(hidden), f"{who}_hidden_dim")
    draft.drop("independ_actor", "implied by the layers")
    draft.drop("share_optimizer", "implied by critic_lr")


def _rollout(draft: Draft) -> int:
    """Steps per rollout and the number of workers; returns the rows of a rollout."""
    n, chunk = actors(draft), draft.number("exps_trucation_size")
    workers = "n_workers" if draft.get("is_learner_async") else "n_envs"
    draft.rename("n_interactors", workers, section="general_cfg")
    draft.same("n_workers", section="general_cfg")
    key = draft.first("train_batch_size", "update_freq", "batch_size")[0]
    rows = max(1, draft.number(key))
    if draft.has("exps_trucation_size"):
        draft.put("algo_cfg.n_steps", chunk, "exps_trucation_size")
        draft.drop("batch_size", f"JoyRL replaces it with n_interactors x exps_trucation_size = {n * chunk}")
        return int(n * chunk)
    if draft.algorithm == "A3C" and draft.year == 2022:
        why = "" if n == 1 else "all workers' rollouts make one update; one each with mp_backend=ray sync=async"
        draft.put("algo_cfg.n_steps", rows, key, why)
        return int(rows * n)
    why = "JoyRL's batch is the whole rollout" if key == "batch_size" else ""
    why += f", shared by {n} workers" if n > 1 else ""
    draft.put("algo_cfg.n_steps", math.ceil(rows / n), key, why.removeprefix(", "))
    return int(rows)


def _passes(draft: Draft, rows: int) -> int:
    """PPO's passes over a rollout; returns the number of updates per rollout, one per minibatch."""
    draft.rename("k_epochs", "n_epochs")
    draft.rename("sgd_batch_size", "batch_size")
    if draft.settings["general_cfg"]["algo_name"] == "PPO_KL":
        draft.drop("ppo_type", "implied by algo_name: PPO_KL; JoyRL clips whatever ppo_type says")
        draft.same("kl_target")
        draft.rename("kl_lambda", "kl_beta", "the initial weight of the penalty")
        limits(draft, {"kl_beta": 1.5, "kl_alpha": 2})
    else:
        draft.drop("ppo_type", "clipping is the default")
        draft.rename("eps_clip", "clip")
    epochs, size = draft.number("k_epochs"), draft.number("sgd_batch_size")
    return int(epochs * math.ceil(rows / max(1, size)))


def _single_pass(draft: Draft, rows: int) -> int:
    """A2C and A3C use each rollout once."""
    if draft.has("k_epochs") and draft.get("k_epochs") != 1:
        draft.lack(
            "k_epochs",
            f"k_epochs={draft.get('k_epochs')}: {draft.algorithm} uses each rollout once; PPO has n_epochs",
        )
    if draft.has("sgd_batch_size") and draft.number("sgd_batch_size") < rows:
        text = f"sgd_batch_size={draft.get('sgd_batch_size')}: {draft.algorithm} has no minibatches; PPO has batch_size"
        draft.lack("sgd_batch_size", text)
    return 1


def _counted(draft: Draft, per_rollout: int) -> None:
    """Keys that count updates: rollouts in JoyRL, minibatches in PPO here."""
    why = f"in minibatches, {per_rollout} per rollout; JoyRL counts rollouts" if per_rollout > 1 else ""
    every = draft.number("model_save_fre") if draft.has("model_save_fre") else None
    if every is None and draft.year > 2022 and per_rollout > 1:
        draft.put("general_cfg.model_save_fre", 500 * per_rollout, "model_save_fre", why)
    elif every is not None:
        draft.put("general_cfg.model_save_fre", every * per_rollout, "model_save_fre", why)
    if draft.has("policy_summary_fre"):
        summary = draft.number("policy_summary_fre")
        draft.put("general_cfg.log_interval", summary * per_rollout, "policy_summary_fre", why)
    draft.drop("n_steps_per_learn", "every rollout is used")
    kind = draft.get("buffer_type")
    if kind is not None and not str(kind).upper().startswith("ONPOLICY"):
        draft.lack(
            "buffer_type", f"buffer_type={kind}: {draft.algorithm} learns only from fresh rollouts (ONPOLICY_QUE)"
        )


def _returns(draft: Draft) -> None:
    """Value targets and advantages; JoyRL's td and mc are both returns, normalised per rollout."""
    form = str(draft.get("return_form") or "td").lower()
    if form == "gae" and draft.algorithm == "PPO":
        draft.same("gae_lambda")
        draft.drop("return_form", "gae is the only form")
    else:
        source = next((key for key in ("return_form", "gae_lambda") if draft.has(key)), "gae_lambda")
        why = "full returns; JoyRL normalises them, here advantages are normalised"
        draft.put("algo_cfg.gae_lambda", 1.0, source, why)
        draft.drop("gae_lambda", "JoyRL reads it only with return_form: gae") if source != "gae_lambda" else None
    if draft.has("mini_batch_normalize"):
        whole = "" if draft.get("mini_batch_normalize") else "per minibatch; in JoyRL over the whole rollout"
        draft.put("algo_cfg.normalize_advantage", True, "mini_batch_normalize", whole)
    elif draft.algorithm != "PPO":
        draft.put("algo_cfg.normalize_advantage", True, "normalize_advantage", "as JoyRL normalises returns")


def reinforce(draft: Draft) -> None:
    """Returns without a baseline; JoyRL learns from a number of steps, here from whole episodes."""
    draft.same("gamma", "lr")
    draft.same("n_workers", "model_save_fre", section="general_cfg")
    layers: Any = lists(draft, "actor_layers") if draft.has("actor_layers") else dense(draft.get("hidden_dim"))
    put_layers(draft, "actor_layers", layers, "actor_layers", "hidden_dim")
    draft.put("algo_cfg.baseline", False, "baseline", "JoyRL's REINFORCE has none")
    draft.put("algo_cfg.optimizer", "rmsprop", "optimizer", "JoyRL's")
    draft.put("algo_cfg.adam_eps", 1e-8, "adam_eps", "JoyRL's")
    draft.put("algo_cfg.ortho_init", False, "ortho_init", "JoyRL uses torch's default initialisation")
    draft.put("algo_cfg.max_grad_norm", None, "max_grad_norm", "JoyRL does not clip")
    steps, length = draft.number("update_freq"), draft.number(draft.first("max_steps", "max_step")[0], 200)
    episodes = max(1, round(steps / length)) if length > 0 else 1
    why = f"whole episodes per update; JoyRL uses {steps} steps"
    draft.put("algo_cfg.batch_size", episodes, "update_freq", why)
