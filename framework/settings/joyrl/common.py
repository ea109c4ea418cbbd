"""Rules shared by several kinds of JoyRL algorithms (torch-free)."""

from collections.abc import Mapping

from framework.settings.joyrl.draft import Draft
from framework.settings.joyrl.layers import Layers, branch_layers, layers_here

OF_IMAGES = ("conv2d", "pooling", "embed")  # and of integers: layers that only an encoder may begin with
EPSILONS = ("epsilon_start", "epsilon_end", "epsilon_decay")


def lists(draft: Draft, *keys: str) -> Layers:
    """The layers of these keys in sequence; a key of branches gives those of its first branch."""
    found: Layers = []
    for key in keys:

        def lack(text: str, key: str = key) -> None:
            draft.lack(key, f"{key}: {text}")

        given = draft.get(key)
        found += branch_layers(given, 0, lack) if key.endswith("branch_layers") else layers_here(given, lack)
    return found


def put_layers(draft: Draft, key: str, layers: Layers, *sources: str, why: str = "") -> None:
    """Set a list of layers that comes from the first of `sources` that the file has."""
    source = next((name for name in sources if draft.has(name)), "")
    if key in ("actor_layers", "critic_layers") and any(layer["layer_type"] in OF_IMAGES for layer in layers):
        draft.lack(source, f"{source}: separate image layers for actor and critic; here they share merge_layers")
    draft.put(f"algo_cfg.{key}", layers, source, why)
    for other in sources:
        if other != source and draft.has(other):
            draft.drop(other, f"part of {key}")


def actors(draft: Draft) -> int:
    """The number of JoyRL's interactors (before 2024: workers)."""
    return max(1, int(draft.number(draft.first("n_interactors", "n_workers")[0])))


def epsilons(draft: Draft) -> None:
    """The fraction of random actions; decay counts global steps here, but each worker's own steps in JoyRL."""
    draft.same("epsilon_start", "epsilon_end")
    decay, n = draft.number("epsilon_decay", 0), actors(draft)
    if isinstance(decay, float) and decay < 1:
        text = f"epsilon_decay={decay}: here epsilon decays with env steps, not by a factor per episode"
        draft.lack("epsilon_decay", text)
    elif decay and n > 1 and draft.year != 2023:
        draft.put(
            "algo_cfg.epsilon_decay", decay * n, "epsilon_decay", f"in JoyRL each of {n} workers counts its own steps"
        )
    elif decay:
        draft.same("epsilon_decay")


def replay(draft: Draft) -> None:
    """Buffer, batch, and the ratio of updates to steps."""
    key, size = draft.first("max_buffer_size", "buffer_size", "memory_capacity")
    if size is not None:
        draft.put("algo_cfg.buffer_size", size, key)
    draft.same("batch_size", "gamma")
    if draft.algorithm != "DDPG_HER" and draft.has("buffer_type"):
        draft.same("buffer_type")
    n, chunk, often = actors(draft), draft.number("exps_trucation_size"), draft.number("learn_frequency")
    draft.rename("n_interactors", "n_workers", section="general_cfg")
    draft.same("n_workers", section="general_cfg")
    steps = often if draft.get("is_learner_async") else max(often, n * chunk)
    if draft.year == 2024 and steps > 1:
        source = next(key for key in ("learn_frequency", "exps_trucation_size", "n_interactors") if draft.has(key))
        draft.put("algo_cfg.train_freq", steps, source, f"one update per {steps} steps of all workers")
    if draft.has("n_steps_per_learn"):
        draft.rename("n_steps_per_learn", "gradient_steps")
    draft.same("model_save_fre", section="general_cfg")
    draft.rename("policy_summary_fre", "log_interval", section="general_cfg")


def limits(draft: Draft, only: Mapping[str, object]) -> None:
    """Keys with one fixed value here: that value is dropped, any other has no counterpart."""
    for key, value in only.items():
        given = draft.get(key)
        if draft.has(key) and given not in (None, value):
            draft.lack(key, f"{key}={given}: it is always {value} here")
        else:
            draft.drop(key, f"always {value}")
