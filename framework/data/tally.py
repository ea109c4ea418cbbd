"""What environments report besides observations: rewards and their components, success, metrics (torch-free).

`info["reward_components"]`: name -> value, for each environment. `info["log"]`: name -> a number, or one for each
environment. Of the step that ends an episode also what framework/data/told/endings.py names.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from algos.common.errors import UserError
from algos.common.forms import check_like, mapping
from framework.data.told.endings import MEANS, TOLD, Ending, ending_of
from framework.data.told.interventions import RecentInterventions, Sums, Takeovers, mask_of

RECENT = 100  # episodes in the running means
COMPONENTS, LOG = "reward_components", "log"


@dataclass
class Episode:
    """A finished episode: `env_step` counts the steps of all workers at its end.

    `components` sum to the reward, where an environment tells them; the rest is what it told at the end, see Ending.
    """

    env_step: int
    reward: float
    length: int
    components: dict[str, float] = field(default_factory=dict)
    success: bool | None = None
    raw_reward: float | None = None
    infos: dict[str, float | str] = field(default_factory=dict)
    known: tuple[str, ...] = ()
    intervened: int = 0  # steps in which somebody else than the policy acted

    @property
    def ending(self) -> Ending:
        """What the environment told at the end."""
        return Ending(self.success, self.raw_reward, self.infos, self.known)

    def told(self) -> dict[str, float | str]:
        """Components and ending by the names of their columns; empty where the environment tells none."""
        return {f"{COMPONENTS}/{name}": value for name, value in self.components.items()} | self.ending.cells()


class Recent:
    """Means over the last episodes: of reward and length, and of what was told in numbers."""

    def __init__(self, state: dict[str, Any] | None = None):
        """`state` is what `state_dict` gave."""
        state = state or {}
        self.episodes: deque[tuple[float, int]] = deque(map(tuple, state.get("recent", ())), maxlen=RECENT)
        told = state.get("recent_of", {}).items()
        self.told: dict[str, deque[float]] = {name: deque(values, maxlen=RECENT) for name, values in told}
        self.interventions = RecentInterventions(RECENT, state.get("interventions"))
        self._means: dict[str, float] | None = None  # until the next episode

    def add(self, episode: Episode) -> None:
        """Count an episode."""
        self.episodes.append((episode.reward, episode.length))
        for name, value in episode.told().items():
            if isinstance(value, str):
                continue
            self.told.setdefault(name, deque(maxlen=RECENT)).append(value)
        self.interventions.add(episode.intervened, episode.length, episode.success)
        self._means = None

    def means(self) -> dict[str, float]:
        """By the names of the metrics; empty before the first episode."""
        if not self.episodes:
            return {}
        if self._means is None:
            rewards, lengths = zip(*self.episodes, strict=True)
            told = {f"episode/{MEANS[name]}" if name in MEANS else name: row for name, row in self.told.items()}
            means = {"episode/mean_reward": rewards, "episode/mean_length": lengths} | told
            self._means = {name: sum(values) / len(values) for name, values in means.items()}
            self._means |= self.interventions.means()
        return dict(self._means)

    def state_dict(self) -> dict[str, Any]:
        """What the means are of, as plain lists."""
        told = {name: list(values) for name, values in self.told.items()}
        recent = {"recent": [list(row) for row in self.episodes], "recent_of": told}
        return recent | {"interventions": self.interventions.state_dict()}


class Tally:
    """Sums rewards, lengths and reward components of the running episodes of `n` environments.

    `keywords` are those of `general_cfg.info_keywords`.
    """

    def __init__(self, n: int, keywords: Sequence[str] = ()):
        self.n, self.keywords = n, tuple(keywords)
        self.names = {*TOLD, *keywords, *(name.partition("/")[0] for name in keywords)}  # to be looked for at the end
        self.returns = np.zeros(n)
        self.lengths = np.zeros(n, dtype=np.int64)
        self.components: dict[str, np.ndarray] = {}  # one that a step does not tell counts 0 there
        self.endings: dict[int, Ending] = {}  # of the episodes that the last step ended, by environment
        self.metrics: Sums = {}  # since `take_metrics`
        self.takeovers: Takeovers | None = None  # None until the first intervention

    def look(self, info: dict[str, Any], done: np.ndarray) -> None:
        """Take in a step's info; `done` [N]: the episodes that it ended.

        Where an environment resets in the same step, what its last step told stands in `final_info`, and what stands
        beside that is of the reset.
        """
        rows = np.ones(self.n, dtype=bool)
        final = info.get("final_info")
        if isinstance(final, dict):
            ended = mask_of(info, "final_info", self.n) & done
            self._take(final, ended, ended)
            rows = ~ended
        self._take(info, rows, rows & done)

    def finish(
        self, reward: np.ndarray, done: np.ndarray, env_step: int, intervened: np.ndarray | None = None
    ) -> list[Episode]:
        """Count a step; the episodes that it ended. `intervened` [N]: where not the policy acted; None: nowhere."""
        self.returns += reward
        self.lengths += 1
        if intervened is not None or self.takeovers is not None:
            self._count(np.zeros(self.n, dtype=bool) if intervened is None else intervened, done)
        if not np.count_nonzero(done):
            return []
        ended = [self._episode(int(env), env_step) for env in np.flatnonzero(done)]
        counted = () if self.takeovers is None else (self.takeovers.steps,)
        for column in (self.returns, self.lengths, *self.components.values(), *counted):
            column[done] = 0
        self.endings = {}
        return ended

    def _count(self, intervened: np.ndarray, done: np.ndarray) -> None:
        if self.takeovers is None:
            self.takeovers = Takeovers(self.n)
        self.takeovers.count(intervened, done, self.metrics)

    def take_metrics(self) -> Sums:
        """Sums and counts of the environments' metrics since the last call."""
        taken, self.metrics = self.metrics, {}
        return taken

    def _episode(self, env: int, env_step: int) -> Episode:
        components = {name: float(column[env]) for name, column in self.components.items()}
        ending = self.endings.get(env, Ending())
        intervened = 0 if self.takeovers is None else int(self.takeovers.steps[env])
        told = {**vars(ending), "intervened": intervened}
        return Episode(env_step, float(self.returns[env]), int(self.lengths[env]), components, **told)

    def _take(self, info: dict[str, Any], rows: np.ndarray, ended: np.ndarray) -> None:
        """What is told for the environments `rows` [N], of which the episodes of `ended` end."""
        names = [name for name in self.names if name in info]
        for env in np.flatnonzero(ended) if names or self.keywords else ():
            row = row_of(info, names, int(env), self.n)
            self.endings[int(env)] = ending_of(row, self.keywords, [name for name in info if f"_{name}" in info])
        if COMPONENTS not in info and LOG not in info:
            return
        for name, value, mask in _entries(info.get(COMPONENTS), self.n):
            told = self._column(f"{COMPONENTS}: {name}", value)
            self.components.setdefault(name, np.zeros(self.n))[:] += np.where(mask & rows, told, 0.0)
        for name, value, mask in _entries(info.get(LOG), self.n):
            chosen = value[mask & rows] if value.shape[:1] == (self.n,) else value if rows.any() else value[:0]
            if chosen.size:
                total, count = self.metrics.get(f"env/{name.lstrip('/')}", (0.0, 0))
                more = _numbers(f"{LOG}: {name}", chosen)
                self.metrics[f"env/{name.lstrip('/')}"] = (total + float(more.sum()), count + more.size)

    def _column(self, what: str, value: np.ndarray) -> np.ndarray:
        """A value of each environment [N]."""
        if value.size != self.n:
            raise UserError(f"info[{what}]: expected a number for each of {self.n} environments, got {value.size}")
        return _numbers(what, value).reshape(self.n)

    def state_dict(self) -> dict[str, Any]:
        """The sums of the running episodes."""
        components = {name: column.copy() for name, column in self.components.items()}
        takeovers = {} if self.takeovers is None else {"takeovers": self.takeovers.state_dict()}
        return {"returns": self.returns.copy(), "lengths": self.lengths.copy(), "components": components, **takeovers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; older versions have no components."""
        mapping(state.get("components", {}), "components")
        for name, saved in (("returns", self.returns), ("lengths", self.lengths)):
            check_like(saved, state[name], name)
        for name, column in state.get("components", {}).items():
            check_like(self.returns, column, name)
        self.returns, self.lengths = state["returns"], state["lengths"]
        self.components = dict(state.get("components", {}))
        self.takeovers = Takeovers.restored(state["takeovers"], self.n) if "takeovers" in state else None


def row_of(info: Mapping[str, Any], names: Iterable[str], env: int, n: int) -> dict[str, Any]:
    """What a vector's info tells of one of its `n` environments; a value without a row for each is of them all."""
    row: dict[str, Any] = {}
    for name in names:
        value, mask = info[name], info.get(f"_{name}")
        if isinstance(mask, np.ndarray) and mask.shape == (n,) and not mask[env]:
            continue
        if isinstance(value, dict):
            row[name] = row_of(value, value, env, n)
        else:
            has_rows = (n > 1 or mask is not None) and np.shape(value)[:1] == (n,)
            row[name] = value[env] if has_rows else value
    return row


def _entries(told: Any, n: int, prefix: str = "") -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, value, which environments [N] tell it) of a mapping, nested ones included: their names joined by `/`."""
    if not isinstance(told, dict):
        if told is not None:
            raise UserError(f"info: {COMPONENTS} and {LOG} must be mappings of names to numbers, not {told!r:.80}")
        return
    masks = {f"_{name}" for name in told}
    for name, value in told.items():
        if isinstance(value, dict):
            yield from _entries(value, n, f"{prefix}{name}/")
        elif name not in masks:
            yield f"{prefix}{name}", np.asarray(value), mask_of(told, name, n)


def _numbers(what: str, value: np.ndarray) -> np.ndarray:
    try:
        return value.astype(np.float64)
    except (TypeError, ValueError):
        raise UserError(f"info[{what}]: expected numbers, got {value!r:.80}") from None
