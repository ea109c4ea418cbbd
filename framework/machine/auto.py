"""What `auto` stands for: whether updates are compiled, and with how many threads torch computes.

The config, the networks' sizes and the number of cores decide, never a measurement: a seed gives one result.
"""

import copy
import math
import os
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from algos.base import Algorithm
from algos.common.compiler import missing_compiler
from algos.common.settings import AUTO
from algos.data import DataSpec
from algos.networks.classes import carries_state, find_class
from algos.networks.spec import any_carries_state, is_path
from algos.registry import get_algorithm
from framework.data.observations import as_batch
from framework.settings.schema import Config

COMPILED_FROM = 50_000  # updates: they save 0.3 ms each at least, the compiler takes 5 to 20 s
OF_WORK = 64 * 256 * 256  # multiplications between hidden layers in such an update; larger ones save more
SHARE = 8_000_000  # multiplications of a batch's way through the network for each thread


def choose_compiling(cfg: Config, by_hand: bool = False) -> str:
    """Replace `algo_cfg.compile=auto` by true or false; why, for the user, or nothing where that was given.

    `by_hand`: for an agent, whose end is unknown.
    """
    algo = cfg.algo_cfg
    if getattr(algo, "compile", None) != AUTO:
        return ""
    algo.compile = False
    general = cfg.general_cfg
    if general.mode != "train" or by_hand:
        return ""
    updates, pays_from = planned_updates(cfg), compiled_from(cfg)
    if updates is None:
        reason = "how long the run will be is unknown"
    elif updates < pays_from:
        reason = f"about {updates:,} are to be made, and compiling pays from {pays_from:,} on"
    elif against := stays_eager(cfg):
        reason = against
    elif missing := missing_compiler():
        reason = f"there is no C++ compiler ({missing})"
    else:
        algo.compile = True
        reason = f"about {updates:,} are to be made"
    return f"updates are {'compiled' if algo.compile else 'not compiled'}: {reason}"


def planned_updates(cfg: Config) -> int | None:
    """Gradient steps that the run will make; None if it ends at a score, by episodes, or not of itself."""
    general, algo = cfg.general_cfg, cfg.algo_cfg
    steps, total_envs = cfg.clock_limit, general.n_workers * general.n_envs
    if steps <= 0 or (general.max_episode > 0 and not cfg.offline) or general.reward_threshold is not None:
        return None
    spec: DataSpec = get_algorithm(general.algo_name).data(algo)
    if spec.offline:
        return steps
    if spec.replayed:
        return max(0, steps - spec.warm_up_steps) // spec.train_freq * spec.round_updates
    if spec.whole_episodes or not spec.learns:
        return None
    rows = spec.n_steps * total_envs
    minibatches = math.ceil(rows / batch_rows(cfg)) * getattr(algo, "n_epochs", 1)
    return steps // rows * minibatches


def compiled_from(cfg: Config) -> int:
    """Updates from which compiling pays: fewer, the more there is to multiply in one."""
    lists = [value for key, value in vars(cfg.algo_cfg).items() if key.endswith("_layers") and isinstance(value, list)]
    between = max((_between_hidden(layers) for layers in lists), default=0)
    return COMPILED_FROM * OF_WORK // max(OF_WORK, between * batch_rows(cfg))


def _between_hidden(layers: list[Any]) -> int:
    """Weights between the linear layers of a list."""
    sizes = [layer.get("layer_size") for layer in layers if isinstance(layer, Mapping)]
    widths = [width for size in sizes for width in (size if isinstance(size, list) else [size])]
    return sum(one * other for one, other in pairwise(width for width in widths if isinstance(width, int)))


def stays_eager(cfg: Config) -> str:
    """Why updates with these networks are not compiled unless that is asked for; "" if nothing speaks against it."""
    settings = vars(cfg.algo_cfg)
    layers = [value for key, value in settings.items() if key.endswith("_layers") and isinstance(value, list)]
    classes = [(key, value) for key, value in settings.items() if key.endswith("_class") and value is not None]
    if (
        getattr(cfg.algo_cfg, "recurrent", False)
        or any_carries_state(*layers)
        or any(carries_state(find_class(value, f"algo_cfg.{key}")) for key, value in classes)
    ):
        return "layers that carry state are not compiled"
    paths = [value for _, value in classes] + [cfg.general_cfg.algo_name]
    paths += [str(layer.get("layer_type")) for one in layers for layer in one if isinstance(layer, Mapping)]
    if any(is_path(path) for path in paths):
        return "code of your own may change what it does, so it is compiled by algo_cfg.compile=true only"
    return ""


def batch_rows(cfg: Config) -> int:
    """Rows of a gradient step: env steps, in batches of sequences or episodes too few rather than too many."""
    rollout = getattr(cfg.algo_cfg, "n_steps", 1) * cfg.general_cfg.n_workers * cfg.general_cfg.n_envs
    return int(getattr(cfg.algo_cfg, "batch_size", rollout))


def choose_threads(cfg: Config, algorithm: Algorithm) -> int:
    """Replace `general_cfg.torch_threads=auto` by a number, and return it; networks with memory have one thread."""
    general = cfg.general_cfg
    if general.torch_threads == AUTO:
        general.torch_threads = 1
        memory = getattr(algorithm.policy.net, "recurrent", False)  # step after step of small products
        if general.mode == "train" and usable_cores() > 1 and not memory:
            work = batch_rows(cfg) * multiplications(algorithm)
            general.torch_threads = min(max(1, work // SHARE), usable_cores() // general.n_learners or 1)
    return general.threads


def usable_cores() -> int:
    """Cores that this process may use; OMP_NUM_THREADS, which parallel jobs share out, can lower it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(given)) if given.isdigit() and int(given) > 0 else cores


def multiplications(algorithm: Algorithm) -> int:
    """Multiplications with weights on one observation's way through the acting network."""
    policy, space = algorithm.policy, copy.deepcopy(algorithm.obs_space)
    if not any(True for _ in policy.net.parameters()):
        return 0
    space.seed(0)
    example, _ = as_batch(space.sample(), space)
    counts: list[int] = []

    def count(module: nn.Module, _: Any, output: Any) -> None:
        out = output[0] if isinstance(output, tuple) else output
        weights = [p.numel() for p in module.parameters(recurse=False) if p.dim() > 1]
        positions = out[0, 0].numel() if isinstance(module, nn.modules.conv._ConvNd) else 1
        counts.append(sum(weights) * positions if isinstance(out, Tensor) else 0)

    hooks = [module.register_forward_hook(count) for module in policy.net.modules() if not list(module.children())]
    try:
        policy.fork(0).act(example, policy.init_state(1), explore=False, step=0)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(counts)
