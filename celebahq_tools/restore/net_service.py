"""Nets that run in processes of their own, as seen by a worker: restorers that send their tiles there."""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Client, Connection
from pathlib import Path

import numpy as np

from celebahq_tools.errors import CelebahqError
from celebahq_tools.restore.tiled import NetFacts, TiledRestorer
from celebahq_tools.types import Pixels

# Kind, then the tiles' number, height and width; the pixels follow, as the answer's do, as they lie in memory. Nothing
# that comes over a socket is unpickled.
HEADER = struct.Struct("<6sIII")
# Of which a request's tiles consist at most: one large tile, or a few small ones.
_REQUEST_PIXELS = 1 << 18
# There are no net processes any more if a file of this name lies beside their sockets.
GONE = "gone"
_PAUSE = 0.1


class NetsGoneError(CelebahqError):
    """No process that runs nets is left."""


@dataclass(frozen=True)
class NetService:
    """Where nets can be reached; goes to every worker.

    Attributes:
        folder: Private folder with the processes' sockets.
        processes: How many there are.
        key: What proves that a worker belongs to the build.
        facts: Of the nets, by kind.
    """

    folder: Path
    processes: int
    key: bytes = field(repr=False)
    facts: tuple[tuple[str, NetFacts], ...]

    def connect(self) -> dict[str, ServedRestorer]:
        """Return restorers by kind; they connect when they are used, so that it costs nothing to have one."""
        lines = _Lines(self)
        return {kind: ServedRestorer(kind, facts, lines) for kind, facts in self.facts}


class ServedRestorer(TiledRestorer):
    """A restorer whose net runs in another process; a :class:`celebahq_tools.restore.base.Restorer`.

    Args:
        kind: Which net to ask for.
        facts: Of the net.
        lines: To the processes.
    """

    def __init__(self, kind: str, facts: NetFacts, lines: _Lines) -> None:
        super().__init__(facts, batch=max(1, _REQUEST_PIXELS // facts.plan.tile**2))
        self._kind = kind
        self._lines = lines

    def run_tile(self, pixels: Pixels) -> Pixels:
        """As in :class:`TiledRestorer`.

        Raises:
            NetsGoneError: If no process is left that could do it.
        """
        stack = np.ascontiguousarray(pixels if pixels.ndim == 4 else pixels[None])
        number, height, width, _ = stack.shape
        restored = np.empty((number, height * self.scale, width * self.scale, 3), np.uint8)
        self._lines.ask(HEADER.pack(self._kind.encode(), number, height, width), stack, restored)
        return restored if pixels.ndim == 4 else restored[0]


class _Lines:
    """Connections of one worker to all net processes; requests go to one after the other."""

    def __init__(self, service: NetService) -> None:
        self._service = service
        self._open: dict[int, Connection] = {}
        # Workers start at different processes, so that a few workers spread over them as well.
        self._turns = count(os.getpid())

    def ask(self, header: bytes, stack: Pixels, restored: Pixels) -> None:
        """Have a stack restored into an array; if the process that works on it dies, by another one.

        Raises:
            NetsGoneError: If none is left.
        """
        for failures, turn in enumerate(self._turns, start=1):
            place = turn % self._service.processes
            try:
                line = self._connect(place)
                line.send_bytes(header)
                line.send_bytes(stack.data.cast("B"))
                line.recv_bytes_into(restored.data.cast("B"))
                return
            except (EOFError, OSError):
                # It is gone, or it starts just now; what was asked of it is asked of the next one.
                if place in self._open:
                    self._open.pop(place).close()
            if failures % self._service.processes == 0:
                if not self._service.folder.is_dir() or (self._service.folder / GONE).exists():
                    raise NetsGoneError(
                        "no process that runs the nets is left: each ended twice, their messages say why; "
                        "with too little memory of the GPU, a smaller net or --device cpu may help"
                    )
                time.sleep(_PAUSE)

    def _connect(self, place: int) -> Connection:
        if place not in self._open:
            self._open[place] = Client(
                str(socket_path(self._service.folder, place)), "AF_UNIX", authkey=self._service.key
            )
        return self._open[place]


def socket_path(folder: Path, place: int) -> Path:
    """Return where the net process of a number listens."""
    return folder / f"net{place}"
