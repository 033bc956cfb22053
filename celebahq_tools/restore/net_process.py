"""A process that runs nets for others: `python -m celebahq_tools.restore.net_process`, as a build starts it.

It reads one line of JSON from standard input, its :class:`NetOrder`, and writes one to standard output when it listens:
what is known of its nets, or why it cannot run them. It ends when its standard input does, that is, with the build.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import sys
import threading
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any

import numpy as np

from celebahq_tools.errors import CelebahqError
from celebahq_tools.restore import Kind, load_restorer
from celebahq_tools.restore.base import SizeRule
from celebahq_tools.restore.batching import TileBatcher
from celebahq_tools.restore.net_service import HEADER, socket_path
from celebahq_tools.restore.tiled import NetFacts, TiledRestorer
from celebahq_tools.restore.tiling import TilePlan

# Workers that may knock at the same time.
_BACKLOG = 128
# More than a request may be; a larger one is no request of ours.
_MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class NetOrder:
    """What a net process is to do.

    Attributes:
        folder: Private folder of the sockets; removed if the build is killed.
        place: Its number among the net processes.
        device: Where its nets run.
        nets: Names or weight files by kind.
        pixels: Of a stack of tiles; see :class:`TileBatcher`.
        key: What workers prove to know, in hexadecimal digits.
    """

    folder: str
    place: int
    device: str
    nets: dict[Kind, str]
    pixels: int
    key: str


def main() -> None:
    """Serve until standard input ends or a net fails."""
    # Ctrl-C at the terminal reaches all of a build's processes; its coordinator decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = NetOrder(**json.loads(sys.stdin.buffer.readline()))
    threading.Thread(target=_end_with_build, args=(order.folder,), daemon=True).start()
    try:
        nets = _load_nets(order)
    except CelebahqError as error:
        _say({"error": str(error)})
        sys.exit(1)
    batcher = TileBatcher(nets, pixels=order.pixels)
    path = socket_path(Path(order.folder), order.place)
    path.unlink(missing_ok=True)  # left by the one before, which was killed
    # The key is asked for in the thread of each connection: a worker that stops in the middle of it holds up nobody.
    listener = Listener(str(path), "AF_UNIX", backlog=_BACKLOG)
    threading.Thread(target=_accept, args=(listener, batcher, bytes.fromhex(order.key)), daemon=True).start()
    _say({kind: dataclasses.asdict(net.facts) for kind, net in nets.items()})
    batcher.work()


def read_answer(line: bytes) -> tuple[tuple[str, NetFacts], ...]:
    """Return what a net process says of its nets when it starts.

    Raises:
        CelebahqError: If it cannot run them.
    """
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError:
        raise CelebahqError("a process that runs nets ended as it started; its messages say why") from None
    if "error" in answer:
        raise CelebahqError(str(answer["error"]))
    facts = []
    for kind, values in answer.items():
        plan = values.pop("plan")
        facts.append((kind, NetFacts(plan=TilePlan(**(plan | {"rule": SizeRule(**plan["rule"])})), **values)))
    return tuple(facts)


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _load_nets(order: NetOrder) -> dict[str, TiledRestorer]:
    import torch

    if order.device == "cpu":
        # As a worker's: float32 sums must not depend on the number of threads.
        torch.set_num_threads(1)
    else:
        torch.cuda.set_device(order.device)
        # Methods by the shape alone, and only those that give the same sums every time.
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
    nets = {kind: load_restorer(kind, name, device=order.device) for kind, name in order.nets.items()}
    return {kind: net for kind, net in nets.items() if isinstance(net, TiledRestorer)}


def _end_with_build(folder: str) -> None:
    """End when the build does; its end of the pipe closes with it, however it ends."""
    # Not the buffered stream: a thread inside of it could not be ended with the process.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _accept(listener: Listener, batcher: TileBatcher, key: bytes) -> None:
    while True:
        try:
            connection = listener.accept()
        except OSError:  # gone before it was let in
            continue
        threading.Thread(target=_serve, args=(connection, batcher, key), daemon=True).start()


def _serve(connection: Connection, batcher: TileBatcher, key: bytes) -> None:
    """Answer one worker until it goes; one that dies leaves only tiles that nobody waits for."""
    with connection:
        try:
            deliver_challenge(connection, key)
            answer_challenge(connection, key)
            while True:
                kind, number, height, width = HEADER.unpack(connection.recv_bytes(HEADER.size))
                data = connection.recv_bytes(_MOST_BYTES)
                stack = np.frombuffer(data, np.uint8).reshape(number, height, width, 3)
                restored = batcher.restore(kind.rstrip(b"\0").decode(), stack)
                connection.send_bytes(restored.data.cast("B"))
        except (EOFError, OSError, AuthenticationError):
            return


if __name__ == "__main__":
    main()
