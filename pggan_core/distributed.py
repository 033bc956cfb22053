"""One minibatch on several processes: who takes which samples, and the few exchanges that make them one run.

The engine is torch.distributed (NCCL between GPUs, gloo between CPUs); torchrun starts the processes, called ranks.
Every rank holds whole networks, draws the random numbers of the whole minibatch and keeps those of its samples. Losses
are sums over a rank's samples divided by the size of the whole minibatch, so that gradients add up, whatever the
ranks' shares. Rank 0, the leader, reads checkpoints and writes everything.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from celebahq_tools.errors import CelebahqError, ConfigError

# A rank that is this late in a step is lost: reading a level anew takes minutes at most.
_STEP_TIMEOUT = timedelta(minutes=20)
# The others wait this long while the leader draws grids, computes scores and writes.
_LEADER_TIMEOUT = timedelta(hours=6)
_Result = TypeVar("_Result")


class RankLostError(CelebahqError):
    """Another process of the run ended or cannot be reached."""


class LeaderReportsError(CelebahqError):
    """Something failed that the leader reports for all; the other ranks end silently."""


class Ranks:
    """This process among those of the run; the default is a run of one process, which exchanges nothing.

    Args:
        rank, count: Place of this process, and how many there are.
        local_rank: Place among the processes of this machine; chooses the GPU.
        control: Group for messages on the CPU.
    """

    def __init__(
        self, rank: int = 0, count: int = 1, *, local_rank: int = 0, control: dist.ProcessGroup | None = None
    ) -> None:
        self.rank, self.count, self.local_rank = rank, count, local_rank
        self._control = control

    @property
    def is_leader(self) -> bool:
        """Whether this process reads checkpoints and writes."""
        return self.rank == 0

    def share(self, total: int) -> Share:
        """Return this rank's part of a minibatch of ``total`` samples; shares differ by one sample at most.

        Raises:
            ConfigError: If there are more ranks than samples.
        """
        if total < self.count:
            raise ConfigError(
                f"a minibatch of {total} cannot be split over {self.count} processes; start at most {total}, or raise "
                "batch (batch_at) so that every resolution has at least one image a process"
            )
        sizes = [total // self.count + (rank < total % self.count) for rank in range(self.count)]
        start = sum(sizes[: self.rank])
        return Share(self, total, start, start + sizes[self.rank], max(sizes))

    def add(self, x: Tensor) -> Tensor:
        """Return the sum of ``x`` over the ranks, differentiable to any order."""
        return x if self.count == 1 else _run(_Add, x, self)

    def add_in_place(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type by their sums over the ranks, in a single exchange."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _exchange():
            dist.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        torch._foreach_copy_(list(tensors), [part.view_as(x) for part, x in zip(parts, tensors, strict=True)])

    def any(self, flag: bool) -> bool:
        """Return whether the flag is up on any rank; the same answer everywhere."""
        if self.count == 1:
            return flag
        total = torch.tensor([int(flag)])
        with _exchange():
            dist.all_reduce(total, group=self._control)
        return bool(total.item())

    def agree(self, action: Callable[[], _Result]) -> _Result:
        """Run ``action`` on every rank; go on only if it worked on all.

        Raises:
            CelebahqError: On the leader, with what failed and where.
            LeaderReportsError: On the other ranks.
        """
        if self.count == 1:
            return action()
        result: _Result | None = None
        failure: CelebahqError | OSError | None = None
        try:
            result = action()
        except (CelebahqError, OSError) as error:
            failure = error
        messages = self.exchange("" if failure is None else f"{type(failure).__name__}: {failure}")
        failed = {rank: text for rank, text in enumerate(messages) if text}
        if failed and not self.is_leader:
            raise LeaderReportsError(next(iter(failed.values())))
        if failed and failure is not None:
            raise failure
        if failed:
            rank, text = next(iter(failed.items()))
            raise CelebahqError(f"rank {rank}: {text.partition(': ')[2]}")
        return cast(_Result, result)

    def lead(self, action: Callable[[], None]) -> None:
        """Run ``action`` on the leader while the others wait for it; fails everywhere if it fails.

        Raises:
            CelebahqError, OSError: On the leader, what the action raised.
            LeaderReportsError: On the other ranks.
        """
        self.agree(action if self.is_leader else lambda: None)

    def exchange(self, text: str) -> list[str]:
        """Return the texts of all ranks, by rank."""
        if self.count == 1:
            return [text]
        data = torch.frombuffer(bytearray(text.encode()) or bytearray(1), dtype=torch.uint8)
        length = torch.tensor([len(text.encode())])
        lengths = [torch.zeros_like(length) for _ in range(self.count)]
        with _exchange():
            dist.all_gather(lengths, length, group=self._control)
            longest = max(int(size) for size in lengths) or 1
            padded = torch.zeros(longest, dtype=torch.uint8)
            padded[: len(data)] = data[:longest]
            gathered = [torch.empty_like(padded) for _ in range(self.count)]
            dist.all_gather(gathered, padded, group=self._control)
        return [bytes(part[: int(size)].tolist()).decode() for part, size in zip(gathered, lengths, strict=True)]

    def spread(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the leader's tensors, on the CPU; what the others pass is ignored."""
        if self.count == 1:
            return dict(tensors)
        table = [(name, list(x.shape), str(x.dtype)) for name, x in tensors.items()] if self.is_leader else []
        received: dict[str, Tensor] = {}
        for name, shape, kind in json.loads(self.exchange(json.dumps(table))[0]):
            dtype = getattr(torch, kind.removeprefix("torch."))
            value = tensors[name].detach().cpu().contiguous() if self.is_leader else torch.empty(shape, dtype=dtype)
            with _exchange():
                dist.broadcast(value, src=0, group=self._control)
            received[name] = value
        return received


SOLO = Ranks()


@dataclass(frozen=True)
class Share:
    """One rank's samples of a minibatch.

    Attributes:
        ranks: All of them.
        total: Samples of the whole minibatch.
        start, stop: This rank's, counted in the whole.
        largest: Samples of the largest share.
    """

    ranks: Ranks
    total: int
    start: int
    stop: int
    largest: int

    def pick(self, whole: Tensor, batches: int = 1) -> Tensor:
        """Return this rank's rows of ``batches`` whole minibatches one below the other."""
        if self.ranks.count == 1:
            return whole
        rows = whole.view(batches, self.total, *whole.shape[1:])[:, self.start : self.stop]
        return rows.flatten(0, 1)

    def gather(self, x: Tensor) -> Tensor:
        """Return the rows of all ranks, (total, ...), from this rank's; differentiable to any order."""
        return x if self.ranks.count == 1 else _run(_Gather, x, self)

    def mean(self, x: Tensor) -> Tensor:
        """Return this rank's part of the mean over the whole minibatch: the parts of all ranks add up to it."""
        return x.sum() / self.total


class _Add(torch.autograd.Function):
    """Sum over ranks. The total loss sums over ranks as well, so a gradient is the sum of all ranks' gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return _add_up(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return _run(_Add, grad_outputs[0], ctx.ranks), None


class _Gather(torch.autograd.Function):
    """Rows of all ranks; every rank's result holds a copy of a row, so the row's gradient is the sum over ranks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, share: Share) -> Tensor:
        ctx.share = share
        # Shares may differ by a sample, and the exchange needs equal sizes.
        padded = _widen(x).new_zeros(share.largest, *x.shape[1:])
        padded[: len(x)] = x
        parts = [torch.empty_like(padded) for _ in range(share.ranks.count)]
        with _exchange():
            dist.all_gather(parts, padded)
        small = share.total // share.ranks.count
        larger = share.total % share.ranks.count
        return torch.cat([part[: small + (rank < larger)] for rank, part in enumerate(parts)]).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return _run(_Collect, grad_outputs[0], ctx.share), None


class _Collect(torch.autograd.Function):
    """The adjoint of :class:`_Gather`: the sum over ranks, of which this rank keeps its rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, share: Share) -> Tensor:
        ctx.share = share
        return _add_up(x)[share.start : share.stop].clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        return _run(_Gather, grad_outputs[0], ctx.share), None


def _add_up(x: Tensor) -> Tensor:
    total = _widen(x).contiguous().clone()
    with _exchange():
        dist.all_reduce(total)
    return total.to(x.dtype)


def _widen(x: Tensor) -> Tensor:
    """Return ``x`` in a type that every backend adds without loss."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _run(function: type[torch.autograd.Function], *arguments: object) -> Tensor:
    """Apply a function; torch leaves ``apply`` untyped."""
    return cast(Tensor, cast(Any, function).apply(*arguments))


@contextmanager
def _exchange() -> Iterator[None]:
    """Turn torch's network errors into one that says what happened."""
    try:
        yield
    except RuntimeError as error:
        raise RankLostError(f"another process of the run ended or cannot be reached ({_shorten(error)})") from None


def _shorten(error: RuntimeError) -> str:
    """Return the first sentence of a backend's error, without the place in its source."""
    return re.sub(r"^\[[^\]]*\] *", "", str(error)).partition("\n")[0].partition(". ")[0]


@contextmanager
def open_ranks(environment: Mapping[str, str] = os.environ) -> Iterator[Ranks]:
    """Join the processes that torchrun started, and leave them at the end of the block.

    Raises:
        RankLostError: If the others cannot be reached.
        ConfigError: If the environment is not torchrun's.
    """
    try:
        rank, count = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        local_rank = int(environment.get("LOCAL_RANK", "0"))
    except (KeyError, ValueError):
        raise ConfigError("WORLD_SIZE is set, but RANK is not: start the processes with torchrun") from None
    with join_ranks("env://", rank, count, local_rank=local_rank) as ranks:
        yield ranks


@contextmanager
def join_ranks(address: str, rank: int, count: int, *, local_rank: int = 0) -> Iterator[Ranks]:
    """Join ``count`` processes that meet at an address of torch.distributed, such as ``file:///shared/meet``."""
    uses_cuda = torch.cuda.is_available() and dist.is_nccl_available()
    if uses_cuda and local_rank < torch.cuda.device_count():
        torch.cuda.set_device(local_rank)
    with _exchange():
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if uses_cuda else "gloo",
            init_method=address,
            rank=rank,
            world_size=count,
            timeout=_STEP_TIMEOUT,
        )
        control = dist.new_group(backend="gloo", timeout=_LEADER_TIMEOUT)
    yield Ranks(rank, count, local_rank=local_rank, control=control)
    # Not after an error: it would wait for those that are lost.
    dist.destroy_process_group()
