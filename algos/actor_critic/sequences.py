"""Losses of the recurrent actor-critics: the learned steps of replayed sequences are the rows."""

from collections.abc import Callable

from torch import Tensor

from algos.common.optim import LossFn, Metrics
from algos.common.sequences import Sequences, loss_mask
from algos.common.trees import Tree, tree_map
from algos.data import Batch


class SequenceLosses:
    """Losses over sequences, from losses over rows: columns [B, T, ...], noise [B, T - burn_in, ...].

    So that several learners can share the sequences of a batch, a loss takes columns of sequences and makes them
    rows itself. `discount` is gamma, 0-d.
    """

    def __init__(self, critic_loss: LossFn, actor_loss: LossFn, discount: Tensor, burn_in: int):
        self.critic_loss_of_rows, self.actor_loss_of_rows = critic_loss, actor_loss
        self.discount, self.burn_in = discount, burn_in

    def critic_columns(self, batch: Batch, draw_noise: Callable[[int], Tree]) -> tuple[Tree, ...]:
        """The inputs of `critic_loss`, from a batch."""
        mask = loss_mask(batch.terminated, batch.truncated, self.burn_in)
        columns = (batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated)
        return (*columns, mask, batch.reset, batch.state[0], self._noise(batch, draw_noise))

    def critic_loss(
        self,
        obs: Tree,
        action: Tensor,
        reward: Tensor,
        next_obs: Tree,
        terminated: Tensor,
        mask: Tensor,
        reset: Tensor,
        state: Tree,
        noise: Tree,
    ) -> tuple[Tensor, Metrics]:
        """The critics' loss of the steps after the burn-in, weighted by the mask."""
        now = Sequences(obs, reset, state, self.burn_in)
        action, reward, terminated, mask = (
            column[:, self.burn_in :].flatten(0, 1) for column in (action, reward, terminated, mask)
        )
        loss, metrics, *_ = self.critic_loss_of_rows(
            now, action, reward, now.shifted(next_obs), terminated, self.discount, mask, _flat(noise)
        )
        return loss, metrics

    def actor_columns(self, batch: Batch, draw_noise: Callable[[int], Tree]) -> tuple[Tree, ...]:
        """The inputs of `actor_loss`, from a batch."""
        return batch.obs, batch.reset, batch.state[0], self._noise(batch, draw_noise)

    def actor_loss(self, obs: Tree, reset: Tensor, state: Tree, noise: Tree) -> tuple[Tensor, Metrics, Tree]:
        """The actor's loss of the steps after the burn-in; its result by row comes as [B, T - burn_in]."""
        sequences = Sequences(obs, reset, state, self.burn_in)
        loss, metrics, by_row = (*self.actor_loss_of_rows(sequences, _flat(noise)), ())[:3]
        return loss, metrics, tree_map(lambda leaf: leaf.unflatten(0, (len(reset), -1)), by_row)

    def _noise(self, batch: Batch, draw: Callable[[int], Tree]) -> Tree:
        """Noise for the learned steps of a batch."""
        rows, steps = batch.reward.shape
        learned = steps - self.burn_in
        return tree_map(lambda leaf: leaf.unflatten(0, (rows, learned)), draw(rows * learned))


def _flat(noise: Tree) -> Tree:
    return tree_map(lambda leaf: leaf.flatten(0, 1), noise)
