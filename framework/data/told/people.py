"""Wrappers that act in the policy's place: where they cannot, and where scores are helped by them."""

from collections.abc import Iterator

from algos.common.settings import require
from algos.registry import acts
from envs.config import EnvConfig
from envs.intervention.device import find_device
from envs.intervention.wrapper import Intervention
from envs.wrappers import wrapper_of
from framework.settings.schema import Config


def intervenes(kind: type) -> bool:
    """Whether a class is called ...Intervention, or says `intervenes = True`."""
    return kind.__name__.endswith("Intervention") or bool(getattr(kind, "intervenes", False))


def check_people(cfg: Config) -> list[str]:
    """A line for each wrapper that also acts in evaluation. UserError where one person is to steer several envs."""
    general, lines = cfg.general_cfg, []
    training = general.mode == "train" and not cfg.offline
    evaluated = acts(cfg.algo_cfg) and (general.mode == "test" or (general.mode == "train" and general.online_eval))
    at_once = 1 if general.online_eval_episode == 1 else general.eval_n_envs
    for key, device, alone, train_only in _interveners(cfg.env_cfg):
        one = f"{key}: {device} is one person, who steers one environment"
        if training or general.mode == "collect":
            for name in ("n_envs", "n_workers"):
                count = getattr(general, name)
                require(not alone or count == 1, f"{one}: general_cfg.{name}={count} must be 1")
        if not evaluated or train_only:
            continue
        apart = "evaluation has environments of its own; set train_only: true there, or general_cfg.online_eval=false"
        require(not alone or general.mode == "test", f"{one}: {apart}")
        require(not alone or at_once == 1, f"{one}: general_cfg.eval_n_envs must be 1")
        lines.append(f"{key}: {device} acts in evaluation, too, and helps its scores; set train_only: true there")
    return lines


def _interveners(cfg: EnvConfig) -> Iterator[tuple[str, str, bool, bool]]:
    """Of each wrapper that intervenes: key, name, whether it is a person in one environment, and `train_only`."""
    for index, item in enumerate(cfg.wrappers):
        key, settings = f"env_cfg.wrappers[{index}]", {} if isinstance(item, str) else item
        kind = wrapper_of(item, key)
        if not (isinstance(kind, type) and intervenes(kind)):
            continue
        name, alone = kind.__name__, False
        if issubclass(kind, Intervention):
            device = settings.get("device", "scripted")
            name, alone = f"device={device}", bool(getattr(find_device(device), "alone", False))
        yield key, name, alone, bool(settings.get("train_only", False))
