"""Networks of the released TensorFlow program, from its pickles into our checkpoints, without TensorFlow.

Such a pickle holds the networks ``(G, D, Gs)``, or one of them. Each is an object of a class ``Network`` whose state
names the function that built it, that function's arguments, its source code (which nothing here looks at), and its
variables as pairs of a name and an array. Arrays are laid out for that program's convolutions: (height, width, in,
out), or (height, width, out, in) with the kernel reversed where upscaling is folded into a transposed convolution.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from celebahq_tools.atomic import write_text_atomically
from celebahq_tools.config import config_to_json, resolve_config
from celebahq_tools.errors import ConfigError, InputError
from celebahq_tools.tensor_file import list_checkpoints
from pggan_core.architecture import NetworkConfig, count_maps
from pggan_core.checkpoint import Checkpoint, name_checkpoint, write_checkpoint
from pggan_core.config import TrainConfig
from pggan_core.generator_file import TrainedGenerator
from pggan_core.networks import Discriminator, Generator
from pggan_core.passive_objects import PassiveArray, PassiveObject
from pggan_core.passive_pickle import read_pickle
from pggan_core.presets import find_preset
from pggan_core.setup import prepare_run_folder

CLASSES = frozenset({("tfutil", "Network"), ("dnnlib.tflib.network", "Network")})
# The preset whose schedule and settings are the program's own.
_PRESET = "tf-v1-1gpu"
# Arguments of the building functions that change what a network computes, with the values that ours can stand for.
_UNDERSTOOD: dict[str, tuple[object, ...]] = {
    "use_wscale": (True,),
    "use_pixelnorm": (True,),
    "use_leakyrelu": (True,),
    "pixelnorm_epsilon": (1e-8,),
    "fmap_decay": (1.0,),
    "tanh_at_end": (None, False),
    "dtype": ("float32",),
}


@dataclass(frozen=True, eq=False)
class _Stored:
    """A network as the file has it."""

    arrays: Mapping[str, NDArray[Any]]
    settings: Mapping[str, Any]

    @property
    def draws(self) -> bool:
        """Whether it is a generator."""
        return any(name.startswith("ToRGB_") for name in self.arrays)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a variable; () if there is none."""
        return self.arrays[name].shape if name in self.arrays else ()


@dataclass(frozen=True, eq=False)
class ImportedNetworks:
    """What a pickle held.

    Attributes:
        path: The file.
        config: Shape of the networks.
        lod: Levels that were still missing; 0 for a finished network.
        average, generator: Running average of the generator, and the generator as trained, with our names.
        discriminator: The same; None if the file lacks it.
    """

    path: Path
    config: NetworkConfig
    lod: float
    average: dict[str, Tensor]
    generator: dict[str, Tensor]
    discriminator: dict[str, Tensor] | None


def read_networks(path: Path) -> ImportedNetworks:
    """Return the networks of a pickle of the released TensorFlow program.

    Raises:
        PickleRefusedError: If the file holds anything but networks and plain data, or is damaged.
        InputError: If it holds no such networks, or ones that ours cannot stand for.
    """
    held = read_pickle(path, CLASSES)
    parts = held if isinstance(held, (tuple, list)) else [held]
    if not 1 <= len(parts) <= 3 or any(type(part) is not PassiveObject for part in parts):
        raise InputError(f"{path}: holds no networks of the TensorFlow program; (G, D, Gs) or one of them is expected")
    stored = [_read_state(part, path) for part in parts]
    generators = [network for network in stored if network.draws]
    discriminator = next((network for network in stored if not network.draws), None)
    if not generators:
        raise InputError(f"{path}: holds no generator")
    # The running average comes last.
    config = _shape_networks(generators[-1], discriminator, path)
    return ImportedNetworks(
        path,
        config,
        _read_lod(generators[-1], config, path),
        average=_convert(generators[-1], _name_generator(config, generators[-1]), Generator, config, path),
        generator=_convert(generators[0], _name_generator(config, generators[0]), Generator, config, path),
        discriminator=_convert(discriminator, _name_discriminator(config), Discriminator, config, path)
        if discriminator
        else None,
    )


def to_generator(networks: ImportedNetworks) -> TrainedGenerator:
    """Return the running average of the generator, ready to draw."""
    generator = Generator(networks.config)
    generator.load_state_dict(networks.average)
    missing = math.floor(networks.lod)
    level, alpha = networks.config.levels - missing, 1 - (networks.lod - missing)
    return TrainedGenerator(generator.eval().requires_grad_(False), level, alpha, 0, networks.path)


def write_run(networks: ImportedNetworks, folder: Path) -> Path:
    """Write a run folder that ``pggan train --resume auto`` goes on with.

    The files say nothing of the images shown and keep no moments of Adam: the run stands where the schedule of
    ``tf-v1-1gpu`` first reaches the stored lod, and the optimisers begin afresh.

    Args:
        networks: With a discriminator.
        folder: Run folder, without checkpoints so far.
    Returns:
        The checkpoint.
    Raises:
        InputError: If there is no discriminator, or the folder holds a run already.
        StoreError: If the checkpoint cannot be written.
    """
    if networks.discriminator is None:
        raise InputError(f"{networks.path}: holds no discriminator to train with; write --out FILE.safetensors instead")
    if list_checkpoints(folder / "checkpoints"):
        raise InputError(f"{folder}: holds a run already; choose another --out")
    config = _choose_settings(networks.config)
    shown = _place_in_schedule(config, networks)
    tensors = {"rng": torch.Generator().manual_seed(config.seed).get_state()}
    parts = {"generator": networks.generator, "discriminator": networks.discriminator, "average": networks.average}
    for part, weights in parts.items():
        tensors |= {f"{part}/{name}": value for name, value in weights.items()}
    progress: dict[str, Any] = {
        "images_shown": shown,
        "previously_shown": None,
        "skipped": 0,
        "seconds": 0.0,
        "loss": config.loss,
        "loss_state": {},
    }
    prepare_run_folder(folder)
    path = folder / "checkpoints" / name_checkpoint(shown)
    write_checkpoint(path, Checkpoint(networks.config, config_to_json(config), progress, tensors))
    write_text_atomically(folder / "config.json", config_to_json(config) + "\n")
    return path


def _choose_settings(network: NetworkConfig) -> TrainConfig:
    """Return the program's settings, with the shape of these networks."""
    shape = asdict(network)
    settings = {**find_preset(_PRESET).settings, "resolution": network.resolution(network.levels)[0]}
    settings |= {name: shape[name] for name in TrainConfig.__dataclass_fields__ if name in shape}
    return resolve_config(TrainConfig, preset={**settings, "conditional": network.labels > 0})


def _place_in_schedule(config: TrainConfig, networks: ImportedNetworks) -> int:
    """Return the images shown when the schedule first has the stored lod."""
    missing = math.ceil(networks.lod)
    passed = (networks.config.levels - missing) * (config.stable_kimg + config.fade_kimg)
    faded = missing - networks.lod
    # One image more: what is drawn is where the step before stood.
    return round((passed + (config.stable_kimg + faded * config.fade_kimg if faded else 0.0)) * 1000) + 1


def _read_state(network: PassiveObject, path: Path) -> _Stored:
    pairs, settings = network.state.get("variables"), network.state.get("static_kwargs")
    if type(pairs) is not list or type(settings) is not dict:
        raise InputError(
            f"{path}: a network without variables or arguments; files of the Theano program are not understood, "
            "those of the TensorFlow program are"
        )
    arrays: dict[str, NDArray[Any]] = {}
    for pair in pairs:
        name, array = pair if type(pair) is tuple and len(pair) == 2 else (None, None)
        if type(name) is not str or type(array) is not PassiveArray or array.values is None or name in arrays:
            raise InputError(f"{path}: a variable is no pair of a name and an array, or comes twice")
        arrays[name] = array.values
    return _Stored(arrays, {name: _to_plain(value) for name, value in settings.items()})


def _to_plain(value: Any) -> Any:
    """Return a numpy scalar as a plain number."""
    is_scalar = type(value) is PassiveArray and value.values is not None and value.values.shape == ()
    return value.values.item() if is_scalar else value


def _read_lod(network: _Stored, config: NetworkConfig, path: Path) -> float:
    array = network.arrays.get("lod", np.zeros(()))
    lod = float(array) if array.shape == () else math.nan
    if not 0 <= lod <= config.levels:
        raise InputError(f"{path}: lod {lod} is none of 0 to {config.levels}")
    return lod


def _shape_networks(generator: _Stored, discriminator: _Stored | None, path: Path) -> NetworkConfig:
    """Return the shape of the networks, from their arguments and the shapes of their variables."""
    for network in (generator, discriminator):
        for name, values in _UNDERSTOOD.items():
            if network is not None and network.settings.get(name, values[0]) not in values:
                raise InputError(f"{path}: built with {name} = {network.settings[name]!r}, which is not supported")
    sides = [int(side) for name in generator.arrays for side in re.findall(r"^(\d{1,4})x\1/", name)]
    levels = max(sides, default=4).bit_length() - 3
    labels = generator.settings.get("label_size", 0)
    dense, rgb = generator.shape("4x4/Dense/weight"), generator.shape("ToRGB_lod0/weight")
    if len(dense) != 2 or len(rgb) != 4:
        raise InputError(f"{path}: its generator lacks 4x4/Dense or ToRGB_lod0; not of the progressive GAN's form")
    g_maps, d_maps = (
        network.settings.get("fmap_base", 8192) if network is not None else 0 for network in (generator, discriminator)
    )
    most = generator.settings.get("fmap_max", 512)
    if any(type(value) is not int for value in (labels, g_maps, d_maps, most)):
        raise InputError(f"{path}: its numbers of labels or feature maps are no whole numbers")
    try:
        config = NetworkConfig(
            levels=levels,
            channels=rgb[3],
            labels=labels,
            latent_size=dense[0] - labels,
            normalize_latents=bool(generator.settings.get("normalize_latents", True)),
            fmap_base=g_maps,
            fmap_max=most,
            d_fmap_base=0 if d_maps in (0, g_maps) else d_maps,
            stddev=_read_stddev(discriminator, path),
            # Unless folded, the program averages after bias and activation.
            fused_downscale=discriminator is None or any("_down/" in name for name in discriminator.arrays),
        )
        count_maps(config, levels)
    except (ConfigError, OverflowError) as error:
        raise InputError(f"{path}: its networks have an impossible shape ({error})") from None
    return config


def _read_stddev(discriminator: _Stored | None, path: Path) -> Literal["batch", "groups", "none"]:
    if discriminator is None:
        return "groups"
    last, first = discriminator.shape("4x4/Conv/weight"), discriminator.shape("4x4/Dense0/weight")
    size = discriminator.settings.get("mbstd_group_size", 4)
    if len(last) == 4 and len(first) == 2 and last[2] == last[3]:
        return "none"
    if size == 4:
        return "groups"
    raise InputError(f"{path}: built with mbstd_group_size = {size!r}; only 4 and none are supported")


def _name_generator(config: NetworkConfig, network: _Stored) -> dict[str, str]:
    """Return the program's layer names by ours."""
    names = {"project": "4x4/Dense", "convs.0.0": "4x4/Conv"}
    for level in range(config.levels + 1):
        names[f"to_rgb.{level}"] = f"ToRGB_lod{config.levels - level}"
        if level:
            block = f"{4 << level}x{4 << level}"
            folded = f"{block}/Conv0_up"
            names[f"convs.{level}.0"] = folded if f"{folded}/weight" in network.arrays else f"{block}/Conv0"
            names[f"convs.{level}.1"] = f"{block}/Conv1"
    return names


def _name_discriminator(config: NetworkConfig) -> dict[str, str]:
    """Return the program's layer names by ours."""
    names = {"last_conv": "4x4/Conv", "last_dense": "4x4/Dense0", "score": "4x4/Dense1"}
    for level in range(config.levels + 1):
        names[f"from_rgb.{level}"] = f"FromRGB_lod{config.levels - level}"
        if level:
            block = f"{4 << level}x{4 << level}"
            names[f"convs.{level - 1}.0"] = f"{block}/Conv0"
            names[f"convs.{level - 1}.1"] = f"{block}/Conv1" + ("_down" if config.fused_downscale else "")
    return names


def _convert(
    network: _Stored, names: Mapping[str, str], kind: type[nn.Module], config: NetworkConfig, path: Path
) -> dict[str, Tensor]:
    """Return a state dict of our network; every variable has to find its place."""
    with torch.device("meta"):  # Only the shapes are wanted.
        expected = {name: tuple(value.shape) for name, value in kind(config).state_dict().items()}
    weights = {}
    for ours, theirs in names.items():
        for part in ("weight", "bias"):
            found = network.arrays.get(f"{theirs}/{part}")
            if found is None:
                raise InputError(f"{path}: lacks the variable {theirs}/{part} of a network of {config.levels} levels")
            array = _turn(theirs, found)
            wanted = expected.get(f"{ours}.{part}")
            if array.shape != wanted:
                raise InputError(f"{path}: {theirs}/{part} has shape {found.shape}, expected for {wanted} of ours")
            weights[f"{ours}.{part}"] = torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
    foreign = set(network.arrays) - {f"{name}/{part}" for name in names.values() for part in ("weight", "bias")}
    if foreign - {"lod"}:
        raise InputError(f"{path}: has variables of another kind of network, such as {min(foreign - {'lod'})}")
    return weights


def _turn(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array with its axes in our order."""
    if array.ndim == 4 and name.endswith("_up"):
        # A transposed convolution holds its kernel the other way round.
        return array.transpose(2, 3, 0, 1)[:, :, ::-1, ::-1]
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    return array.T
