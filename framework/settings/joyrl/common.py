"""What the rules of several kinds of JoyRL's algorithms share (torch-free)."""

from collections.abc import Mapping

from framework.settings.joyrl.draft import Draft
from framework.settings.joyrl.layers import Layers, branch_layers, layers_here

OF_IMAGES = ("conv2d", "pooling", "embed")  # and of integers: layers that only an encoder may begin with
EPSILONS = ("epsilon_start", "epsilon_end", "epsilon_decay")


def lists(draft: Draft, *keys: str) -> Layers:
    """The layers of these keys, one behind the other; a key of branches gives those of its first."""
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
        draft.lack(source, f"{source}: layers over an image of the actor's or critic's own; here merge_layers, shared")
    draft.put(f"algo_cfg.{key}", layers, source, why)
    for other in sources:
        if other != source and draft.has(other):
            draft.drop(other, f"its layers are in {key} too")


def actors(draft: Draft) -> int:
    """How many of JoyRL's interactors (before 2024: workers) act at once."""
    return max(1, int(draft.number(draft.first("n_interactors", "n_workers")[0])))


def epsilons(draft: Draft) -> None:
    """The share of random actions; the decay is in global steps here, where each of JoyRL's workers counts its own."""
    draft.same("epsilon_start", "epsilon_end")
    decay, n = draft.number("epsilon_decay", 0), actors(draft)
    if isinstance(decay, float) and decay < 1:
        text = f"epsilon_decay={decay}: epsilon falls with env steps, not by a factor in each episode"
        draft.lack("epsilon_decay", text)
    elif decay and n > 1 and draft.year != 2023:
        draft.put(
            "algo_cfg.epsilon_decay", decay * n, "epsilon_decay", f"each of {n} workers counts its own steps there"
        )
    elif decay:
        draft.same("epsilon_decay")


def replay(draft: Draft) -> None:
    """Buffer, batch, and how many updates there are for how many steps."""
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
        draft.put("algo_cfg.train_freq", steps, source, f"one update for {steps} steps of all workers")
    if draft.has("n_steps_per_learn"):
        draft.rename("n_steps_per_learn", "gradient_steps")
    draft.same("model_save_fre", section="general_cfg")
    draft.rename("policy_summary_fre", "log_interval", section="general_cfg")


def limits(draft: Draft, only: Mapping[str, object]) -> None:
    """Keys that have one value here, which need not be said; any other is missing."""
    for key, value in only.items():
        given = draft.get(key)
        if draft.has(key) and given not in (None, value):
            draft.lack(key, f"{key}={given}: it is always {value} here")
        else:
            draft.drop(key, f"always {value}")
