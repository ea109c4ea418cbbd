"""Temporal-difference losses, row by row."""

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

TD_LOSSES = {"mse": F.mse_loss, "huber": F.smooth_l1_loss}  # the setting `loss` -> function of (Q, target, reduction)


class RowLoss(NamedTuple):
    """The loss of each row of a batch, and what is reported of it."""

    loss: Tensor  # [B]
    td_error: Tensor  # |target - Q(s, a)| [B], the row's priority; the mean over critics where there are several
    q_value: Tensor  # Q(s, a) [B], of each critic [B, n_critics]
