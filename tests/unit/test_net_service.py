"""Real net processes on the CPU: their answers, and what happens when they or those who ask die."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch

from celebahq_tools.build_config import BuildConfig
from celebahq_tools.errors import CelebahqError, ConfigError
from celebahq_tools.net_devices import choose_devices, choose_gpus
from celebahq_tools.restore import load_restorer
from celebahq_tools.restore.batching import TileBatcher
from celebahq_tools.restore.net_crew import serve_nets
from celebahq_tools.restore.net_service import NetsGoneError, socket_path
from celebahq_tools.restore.tiled import TiledRestorer

NETS = MappingProxyType({"dejpeg": "rednet-xs", "sr": "srres-m"})


def make_photo(height, width, seed=0):
    """Blocks of colour with noise on them."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    pixels = np.kron(blocks, np.ones((8, 8, 1)))[:height, :width] + rng.normal(0, 8, (height, width, 3))
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def nets():
    torch.set_num_threads(1)
    return {kind: load_restorer(kind, name, device="cpu") for kind, name in NETS.items()}


@pytest.fixture(scope="module")
def service():
    with serve_nets(["cpu"], NETS, pixels=0) as service:
        yield service


def list_net_processes():
    """Return the ids of this process's children that run nets."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            parent = int((path.parent / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"celebahq_tools.restore.net_process" in path.read_bytes():
                found.add(int(path.parent.name))
    return found


class SmallDevice(TiledRestorer):
    """A net on a device whose memory is enough for some tiles; it remembers the stacks it was given."""

    def __init__(self, net, most):
        super().__init__(net.facts, batch=1)
        self.net, self.most, self.stacks = net, most, []

    def run_tile(self, pixels):
        self.stacks.append(len(pixels))
        if len(pixels) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return self.net.run_tile(pixels)


def run_together(batcher, tiles, groups):
    """Ask for tiles from threads, all waiting before work begins; return the restored ones in order."""
    results = {}

    def ask(chosen):
        restored = batcher.restore("dejpeg", np.stack([tiles[index] for index in chosen]))
        results.update(zip(chosen, restored, strict=True))

    threads = [threading.Thread(target=ask, args=(chosen,)) for chosen in groups]
    for thread in threads:
        thread.start()
    while sum(map(len, list(batcher._waiting.values()))) < len(tiles):
        time.sleep(0.001)
    while batcher._waiting:
        batcher.work_once()
    for thread in threads:
        thread.join()
    return [results[index] for index in range(len(tiles))]


@pytest.mark.parametrize("kind", ["dejpeg", "sr"])
@pytest.mark.parametrize("size", [(1, 1), (45, 67), (300, 530)])
def test_a_served_net_gives_the_same_bytes_as_one_in_this_process(service, nets, kind, size):
    served = service.connect()[kind]
    assert (served.name, served.scale, served.halo) == (NETS[kind], nets[kind].scale, nets[kind].halo)
    assert served.licence == nets[kind].licence
    pixels = make_photo(*size) if kind == "dejpeg" else make_photo(*size)[:300, :260]
    np.testing.assert_array_equal(served.restore(pixels), nets[kind].restore(pixels))


def test_what_comes_together_does_not_change_a_tile(nets):
    tiles = [make_photo(48, 40, seed) for seed in range(11)]
    # Four to a stack: here all at once, there each alone with black ones.
    groups = [[0, 1, 2], [3], [4, 5, 6, 7], [8, 9, 10]]
    together = run_together(TileBatcher(nets, pixels=4 * 48 * 40), tiles, groups)
    for index, tile in enumerate(tiles):
        (alone,) = run_together(TileBatcher(nets, pixels=4 * 48 * 40), [tile], [[0]])
        np.testing.assert_array_equal(together[index], alone)
        # Another shape of stack sums in another order: float32 then rounds to the next grey level at most.
        assert np.abs(together[index].astype(int) - nets["dejpeg"].run_tile(tile)).max() <= 1


def test_stacks_hold_tiles_of_one_size_and_so_many_pixels(nets):
    device = SmallDevice(nets["dejpeg"], most=100)
    batcher = TileBatcher({"dejpeg": device}, pixels=4 * 32 * 32)
    counts = {(32, 32): 4, (64, 32): 2, (64, 64): 1, (65, 64): 1, (512, 512): 1}
    assert {size: batcher.count_tiles(*size) for size in counts} == counts
    run_together(batcher, [make_photo(32, 32, seed) for seed in range(6)], [[0, 1, 2, 3, 4, 5]])
    assert device.stacks == [4, 4]


def test_too_little_memory_halves_the_stacks_and_is_said_once(nets, caplog):
    device = SmallDevice(nets["dejpeg"], most=2)
    batcher = TileBatcher({"dejpeg": device}, pixels=8 * 32 * 32)
    tiles = [make_photo(32, 32, seed) for seed in range(10)]
    results = run_together(batcher, tiles, [[*range(10)]])
    assert device.stacks == [8, 4, 2, 2, 2, 2, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "too little memory on the device for 8192 pixels at once: going on with 4096, or fewer"
    ]
    for tile, result in zip(tiles, results, strict=True):
        assert np.abs(result.astype(int) - nets["dejpeg"].run_tile(tile)).max() <= 1


def test_one_tile_that_is_too_large_ends_the_process(nets):
    batcher = TileBatcher({"dejpeg": SmallDevice(nets["dejpeg"], most=0)}, pixels=32 * 32)
    threading.Thread(target=batcher.restore, args=("dejpeg", make_photo(32, 32)[None]), daemon=True).start()
    with pytest.raises(torch.cuda.OutOfMemoryError):
        batcher.work()


def test_only_who_knows_the_key_is_let_in(service):
    with pytest.raises(AuthenticationError):
        Client(str(socket_path(service.folder, 0)), "AF_UNIX", authkey=b"guessed")
    assert service.folder.stat().st_mode & 0o777 == 0o700
    assert str(service.key) not in repr(service)


def test_who_dies_in_the_middle_of_asking_holds_up_nobody(service, nets):
    script = (
        "import os, pickle, sys; from celebahq_tools.restore.net_service import HEADER\n"
        "service = pickle.loads(sys.stdin.buffer.read()); sr = service.connect()['sr']\n"
        "line = sr._lines._connect(0); line.send_bytes(HEADER.pack(b'sr', 4, 200, 200))\n"
        "{}os.kill(os.getpid(), 9)\n"
    )
    for rest in ("", "line.send_bytes(bytes(4 * 200 * 200 * 3)); "):  # before the pixels, and before the answer
        dead = subprocess.run([sys.executable, "-c", script.format(rest)], input=pickle.dumps(service), timeout=60)
        assert dead.returncode == -signal.SIGKILL
    pixels = make_photo(33, 44)
    np.testing.assert_array_equal(service.connect()["sr"].restore(pixels), nets["sr"].restore(pixels))


def test_a_net_process_is_started_again_once_and_then_missed(nets, caplog):
    pixels = make_photo(40, 56)
    expected = nets["sr"].restore(pixels)
    before = list_net_processes()
    with serve_nets(["cpu"], NETS, pixels=0) as service:
        restorer = service.connect()["sr"]
        np.testing.assert_array_equal(restorer.restore(pixels), expected)
        (victim,) = list_net_processes() - before
        os.kill(victim, signal.SIGKILL)
        # The same restorer asks again until the next one listens.
        np.testing.assert_array_equal(restorer.restore(pixels), expected)
        (victim,) = list_net_processes() - before
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(NetsGoneError, match="each ended twice"):
            restorer.restore(pixels)
    assert [record.getMessage() for record in caplog.records] == [
        "net process 0 on cpu was killed by signal 9: starting it again",
        "net process 0 on cpu was killed by signal 9 again: going on without it",
    ]
    assert not service.folder.exists()


def test_weights_that_are_not_there_are_named_by_the_process():
    served = serve_nets(["cpu"], {"dejpeg": "absent.pth"}, pixels=0)
    with pytest.raises(CelebahqError, match=r"absent\.pth: no such weights file"), served:
        pass


def test_net_processes_end_with_a_coordinator_that_is_killed():
    script = (
        "import sys, time; from celebahq_tools.restore.net_crew import serve_nets\n"
        "with serve_nets(['cpu'], {'sr': 'srres-m'}, pixels=0) as service:\n"
        "    print(service.folder, flush=True); time.sleep(600)\n"
    )
    coordinator = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    folder = Path(coordinator.stdout.readline().strip())
    assert socket_path(folder, 0).exists()
    coordinator.kill()
    coordinator.wait()
    coordinator.stdout.close()
    deadline = time.monotonic() + 60
    # The last thing that a net process does.
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("asked", "gpus"), [("", [0, 1, 2, 3]), ("3", [0, 1, 2]), ("0,2", [0, 2]), ("2,", [2]), ("4", [0, 1, 2, 3])]
)
def test_gpus_are_chosen_by_number_or_by_name(asked, gpus):
    assert choose_gpus(asked, 4) == gpus


@pytest.mark.parametrize(
    ("asked", "found", "message"),
    [
        ("5", 4, r"torch sees 4 GPUs here \(0 to 3\)"),
        ("0,4", 4, r"torch sees 4 GPUs here \(0 to 3\)"),
        ("1", 0, r"torch sees 0 GPUs here \(none\)"),
        ("0", 4, "pass --device cpu"),
        ("1,1", 4, "names a GPU twice"),
        ("all", 4, "expected how many"),
        ("-1", 4, "expected how many"),
    ],
)
def test_gpus_that_are_not_there_are_refused(asked, found, message):
    with pytest.raises(ConfigError, match=message):
        choose_gpus(asked, found)


def test_only_nets_on_gpus_or_when_asked_get_processes(tmp_path):
    def choose(**settings):
        return choose_devices(BuildConfig(tmp_path, tmp_path / "x.h5", **settings))

    assert choose(device="cpu") == []
    assert choose(dejpeg="none", sr="lanczos") == []
    assert choose(dejpeg="none", sr="lanczos", net_processes=2) == []
    assert choose(net_processes=2) == ["cpu", "cpu"]
    assert choose(backend="dask", scheduler="tcp://127.0.0.1:1") == []
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    assert choose() == [f"cuda:{number}" for number in range(found)]
    with pytest.raises(ConfigError, match="GPUs here"):
        choose(gpus=str(found + 1))
    with pytest.raises(ConfigError, match="one worker per GPU"):
        choose(gpus="1", backend="dask")
