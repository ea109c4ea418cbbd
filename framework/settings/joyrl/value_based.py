"""JoyRL's DQN and its family, and its tables (torch-free)."""

from framework.settings.joyrl import tables
from framework.settings.joyrl.common import EPSILONS, epsilons, lists, put_layers, replay
from framework.settings.joyrl.draft import Draft
from framework.settings.joyrl.layers import Layers, dense


def value_layers(draft: Draft) -> Layers:
    """Hidden layers of the Q network, and which keys they come from."""
    sources: tuple[str, ...]
    if draft.has("branch_layers", "merge_layers") and not draft.has("value_layers"):
        sources = ("branch_layers", "merge_layers")
        layers = lists(draft, *sources)
    elif draft.has("value_layers"):
        sources, layers = ("value_layers",), lists(draft, "value_layers")
    elif draft.algorithm == "DQN_CNN":
        sources, layers = (), [dict(layer) for layer in tables.DQN_CNN]
    elif draft.get("hidden_dim"):
        sources, layers = ("hidden_dim",), dense(draft.get("hidden_dim"))
    else:
        sources, layers = (), lists(draft, "value_layers")
    why = "the whole network; here merge_layers come before value_layers" if "merge_layers" in sources else ""
    put_layers(draft, "value_layers", layers, *sources, why=why)
    return layers


def value(draft: Draft) -> None:
    """DQN and its family."""
    draft.same("lr", "target_update")
    epsilons(draft)
    replay(draft)
    layers = value_layers(draft)
    special = {
        "DuelingDQN": dueling, "NoisyDQN": noisy, "PER_DQN": priorities, "C51": atoms, "CategoricalDQN": categorical,
        "RainbowDQN": rainbow, "SoftQ": soft, "DRQN": recurrent,
    }  # fmt: skip
    if draft.algorithm in special:
        special[draft.algorithm](draft, layers)


def dueling(draft: Draft, layers: Layers) -> None:
    draft.same("dueling")
    draft.put("algo_cfg.dueling_layers", [], "dueling_layers", "JoyRL's two streams have no hidden layer")


def noisy(draft: Draft, layers: Layers) -> None:
    """JoyRL's noise is in the layers that the file lists, and epsilon explores too; `noisy` would set it to 0."""
    if draft.year == 2022:
        draft.put("algo_cfg.noisy_sigma", 0.4, "noisy_sigma", "JoyRL's default")
        return
    why = "only the listed layers are noisy, not the head, and epsilon explores too"
    draft.put("algo_cfg.noisy", False, "noisy", why)


def priorities(draft: Draft, layers: Layers) -> None:
    """beta grows by a constant with each update until it is 1."""
    draft.rename("per_alpha", "priority_alpha")
    beta, growth = draft.number("per_beta"), draft.number("per_beta_annealing", 0)
    steps = max(1, round((1 - beta) / growth)) if growth > 0 else 0
    schedule = {"kind": "linear", "start": beta, "end": 1, "steps": steps} if steps and beta < 1 else beta
    why = f"JoyRL adds {growth} per update" if steps else ""
    draft.put(
        "algo_cfg.priority_beta",
        schedule,
        "per_beta" if draft.has("per_beta") else "",
        why if draft.has("per_beta") else "",
    )


def atoms(draft: Draft, layers: Layers) -> None:
    for theirs, here in (("Vmin", "v_min"), ("Vmax", "v_max")):
        key, bound = draft.first(theirs, here)
        if bound is not None:
            draft.put(f"algo_cfg.{here}", bound, key if draft.has(key) else "")
    draft.same("n_atoms", "tau")


def categorical(draft: Draft, layers: Layers) -> None:
    """The target network follows softly unless the file says no."""
    draft.get("tau")
    atoms(draft, layers)
    if draft.get("enable_soft_update"):
        tau = draft.get("tau_soft_update")
        source = "enable_soft_update" if draft.has("enable_soft_update") else "tau_soft_update"
        draft.put("algo_cfg.tau", tau, source)
        draft.put("algo_cfg.target_update", 1, "target_update", "soft update of the target network at every update")
    else:
        draft.drop("tau_soft_update", "enable_soft_update is false")


def rainbow(draft: Draft, layers: Layers) -> None:
    """The last hidden layer is there twice, for V and for A, and all but the first are noisy."""
    atoms(draft, layers)
    priorities(draft, layers)
    draft.same("n_step")
    source = next((key for key in ("value_layers", "hidden_dim") if draft.has(key)), "value_layers")
    why = "as in JoyRL: the last hidden layer twice, for V and for A"
    layers = layers if len(layers) > 1 else layers * 2
    draft.put("algo_cfg.value_layers", layers[:-1], source, why)
    draft.put("algo_cfg.dueling_layers", layers[-1:], source)
    draft.put("algo_cfg.noisy_sigma", 0.4, "noisy_sigma", "JoyRL's default")
    for key in EPSILONS:
        draft.settings["algo_cfg"].pop(key, None)
        draft.drop(key, "the noisy layers explore; in JoyRL epsilon does too")


def soft(draft: Draft, layers: Layers) -> None:
    draft.rename("alpha", "temperature")


def recurrent(draft: Draft, layers: Layers) -> None:
    """Linear, LSTM, linear, of `hidden_dim` units, whatever value_layers say."""
    size = layers[-1]["layer_size"][0] if layers else draft.get("hidden_dim")
    net = [dense(size)[0], {"layer_type": "lstm", "layer_size": size}]
    put_layers(
        draft, "value_layers", net, "value_layers", "hidden_dim", why="JoyRL's DRQN has an LSTM after the first layer"
    )
    draft.rename("lookup_step", "sequence_length")
    nearest = {"min_epi_num": "learning_starts", "max_epi_num": "buffer_size", "max_epi_len": "max_step"}
    for key, near in nearest.items():
        if draft.has(key):
            draft.lack(key, f"{key}: here the buffer counts steps, not episodes; nearest: algo_cfg.{near}")


def table(draft: Draft) -> None:
    """Q-learning, Sarsa, Dyna-Q, Monte Carlo and value iteration."""
    draft.same("gamma")
    draft.same("n_workers", "model_save_fre", section="general_cfg")
    draft.rename("n_interactors", "n_workers", section="general_cfg")
    draft.rename("policy_summary_fre", "log_interval", section="general_cfg")
    if draft.algorithm == "VI":
        draft.drop("lr", "planning has no step size")
    elif draft.algorithm in ("FirstVisitMC", "MonteCarlo"):
        draft.rename("epsilon", "epsilon_start")
        draft.rename("epsilon", "epsilon_end")
        draft.drop("lr", "values are means of returns")
    else:
        draft.same("lr")
        epsilons(draft)
    if draft.algorithm == "DynaQ":
        draft.rename("n_planning", "planning_steps")
