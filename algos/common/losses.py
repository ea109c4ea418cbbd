"""Temporal-difference losses, row by row."""

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

TD_LOSSES = {"mse": F.mse_loss, "huber": F.smooth_l1_loss}  # the setting `loss` -> function of (Q, target, reduction)


class RowLoss(NamedTuple):
    """Loss of each row of a batch, with its TD error and Q value."""

    loss: Tensor  # [B]
    td_error: Tensor  # |target - Q(s, a)| [B], the row's priority; the mean over critics where there are several
    q_value: Tensor  # Q(s, a) [B], of each critic [B, n_critics]
