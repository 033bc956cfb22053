"""Starts the processes that run nets, one per device, and keeps them alive while a build needs them."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from celebahq_tools.errors import CelebahqError, ConfigError
from celebahq_tools.restore import Kind
from celebahq_tools.restore.net_process import NetOrder, read_answer
from celebahq_tools.restore.net_service import GONE, NetService, socket_path
from celebahq_tools.restore.tiled import NetFacts

_log = logging.getLogger(__name__)

# The longest name that Linux and macOS both take for a socket.
_MOST_NAME = 100
# A process that ends is started so many times again: once may be chance.
_RESTARTS = 1


@contextmanager
def serve_nets(devices: Sequence[str], nets: Mapping[Kind, str], *, pixels: int) -> Iterator[NetService]:
    """Run nets in processes of their own, one per device, until the `with` block ends.

    A process that ends early is started again, once; when it ends again, the others go on without it. Workers that
    waited for it ask again, so that no photograph is lost.

    Args:
        devices: Such as ``cuda:0``; one may be there several times.
        nets: Names or weight files by kind.
        pixels: Of a stack of tiles; see :class:`celebahq_tools.restore.batching.TileBatcher`.
    Raises:
        CelebahqError: If a process cannot start; the message is its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="celebahq-"))  # for this user alone
    key = secrets.token_bytes(32)
    keepers: list[_Keeper] = []
    try:
        if len(str(socket_path(folder, len(devices)))) > _MOST_NAME:
            raise ConfigError(f"{folder}: too long a name for sockets; set TMPDIR to a folder with a shorter one")
        orders = [
            NetOrder(str(folder), place, device, dict(nets), pixels, key.hex()) for place, device in enumerate(devices)
        ]
        for order in orders:
            keepers.append(_Keeper(order))
        # All were started; only now it is waited for the first.
        facts, *_ = [keeper.wait_until_it_listens() for keeper in keepers]
        watch = _Watch(folder, len(keepers))
        for keeper in keepers:
            threading.Thread(target=keeper.keep, args=(watch,), daemon=True).start()
        yield NetService(folder, len(devices), key, facts)
    finally:
        for keeper in keepers:
            keeper.end()
        shutil.rmtree(folder, ignore_errors=True)


class _Watch:
    """Counts the net processes; the last that goes for good leaves word for the workers."""

    def __init__(self, folder: Path, processes: int) -> None:
        self._folder = folder
        self._left = processes
        self._lock = threading.Lock()

    def note_loss(self) -> None:
        with self._lock:
            self._left -= 1
            if not self._left:
                with suppress(OSError):
                    (self._folder / GONE).touch()


class _Keeper:
    """Keeps one net process alive."""

    def __init__(self, order: NetOrder) -> None:
        self._order = order
        self._lock = threading.Lock()
        self._ended = False
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        # -P: no module is taken from the folder that the user happens to be in.
        command = [sys.executable, "-P", "-m", "celebahq_tools.restore.net_process"]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        process = subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **threads}
        )
        with suppress(BrokenPipeError):  # it is gone already; whoever waits for it will notice
            orders = _use_pipe(process.stdin)
            orders.write(json.dumps(dataclasses.asdict(self._order)).encode() + b"\n")
            orders.flush()
        return process

    def wait_until_it_listens(self) -> tuple[tuple[str, NetFacts], ...]:
        """Return what is known of its nets.

        Raises:
            CelebahqError: If it cannot run them.
        """
        return read_answer(_use_pipe(self._process.stdout).readline())

    def keep(self, watch: _Watch) -> None:
        """Start the process again when it ends, until it has ended too often or is no longer needed."""
        device, place = self._order.device, self._order.place
        for trial in range(_RESTARTS + 1):
            status = self._process.wait()
            with self._lock:
                if self._ended:
                    return
                how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
                if trial == _RESTARTS:
                    _log.warning("net process %d on %s %s again: going on without it", place, device, how)
                    watch.note_loss()
                    return
                _log.warning("net process %d on %s %s: starting it again", place, device, how)
                self._close_pipes()
                self._process = self._start()
            with suppress(CelebahqError):  # it ends, then, and comes here again
                self.wait_until_it_listens()

    def end(self) -> None:
        """End the process."""
        with self._lock:
            self._ended = True
            self._process.kill()
        self._process.wait()
        self._close_pipes()

    def _close_pipes(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def _use_pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """Return a stream of a net process.

    Raises:
        CelebahqError: If the process was started without it.
    """
    if stream is None:
        raise CelebahqError("a process that runs nets has no pipe to the build; run the same build again")
    return stream
