"""The label term of an AC-GAN (Odena et al. 2017), added to any adversarial loss with weight 1."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the softmax cross-entropy (N,) of label logits against one-hot labels, both (N, classes)."""
    return -(F.log_softmax(logits, dim=1) * labels).sum(dim=1)
