"""The configurations of the paper and of the released programs, by name: differences from ``TrainConfig``'s defaults.

A preset is one more entry of :data:`PRESETS`. Where the paper says nothing and the programs' value is unknown, the
choice is ours and stands in docs/deviations.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from celebahq_tools.errors import ConfigError, suggest

Settings = Mapping[str, object]


@dataclass(frozen=True)
class Preset:
    """A named configuration.

    Attributes:
        summary: One line: what it is and where it comes from.
        settings: Fields of ``TrainConfig`` that differ from its defaults.
    """

    summary: str
    settings: Settings


_PAPER: Settings = {"fused_downscale": False, "share_latents": False}

_TABLE1_D: Settings = {
    **_PAPER,
    "resolution": 128,
    "mirror": True,
    "kimg": 10000.0,
    "fmap_base": 2048,
    "equalized": False,
    "g_norm": "none",
    "stddev": "none",
    "lr": 1e-4,
}
_TABLE1_C: Settings = {
    **_TABLE1_D,
    "latent_size": 128,
    "normalize_latents": False,
    "g_norm": "batch",
    "g_activation": "relu",
    "g_tanh": True,
    "d_norm": "layer",
    "drift": 0.0,
    "n_critic": 5,
    "beta2": 0.9,
    "ema": 0.999**5,
}
_TABLE1_B: Settings = {**_TABLE1_C, "batch": 64, "batch_at": (), "ema": 0.999**20}
_TABLE1_E: Settings = {**_TABLE1_D, "stddev": "batch"}
_TABLE1_F: Settings = {**_TABLE1_E, "equalized": True, "lr": 0.001}
_TABLE1_G: Settings = {**_TABLE1_F, "g_norm": "pixel"}

_TF_V2: Settings = {
    "resolution": 1024,
    "mirror": True,
    "kimg": 12000.0,
    "stable_kimg": 600.0,
    "fade_kimg": 600.0,
    "stddev": "groups",
    "full_resolution_penalty": True,
    "share_latents": False,
}


def _mode_recovery(*, d_fmap_base: int, step: int) -> Settings:
    """Return a mode recovery preset; ``step`` 0..3 adds our norm, minibatch stddev and progression in turn."""
    return {
        "share_latents": False,
        "fused_downscale": False,
        "resolution": 32,
        "kimg": 15000.0 if step == 3 else 10000.0,
        "stable_kimg": 500.0,
        "fade_kimg": 2000.0,
        "grow": step == 3,
        "latent_size": 256,
        "fmap_base": 128,
        "fmap_max": 256,
        "d_fmap_base": d_fmap_base,
        "convs_per_block": 1,
        "equalized": step >= 1,
        "g_norm": "pixel" if step >= 1 else "batch",
        "d_norm": "none" if step >= 1 else "batch",
        "stddev": "batch" if step >= 2 else "none",
        "drift": 0.0,
        "n_critic": 5,
        "batch": 64,
        "lr": 0.001 if step >= 1 else 1e-4,
        "ema": 0.999**20,
    }


_VARIANTS = (("wgan-gp", "WGAN-GP"), ("norm", "+ our norm"), ("mbstd", "+ mb stddev"), ("grow", "+ progression"))

PRESETS: dict[str, Preset] = {
    "celebahq-1024": Preset(
        "CelebA-HQ at 1024x1024 (appendix A.1), with the Theano program's ramp-up",
        {**_PAPER, "resolution": 1024, "mirror": True, "rampup_kimg": 40.0},
    ),
    "lsun-256": Preset(
        "LSUN at 256x256, batch 16 throughout; pass --no-mirror for bedroom and dog",
        {**_PAPER, "resolution": 256, "mirror": True, "kimg": 20000.0, "batch_at": (), "rampup_kimg": 40.0},
    ),
    "cifar10-32": Preset(
        "CIFAR-10, penalty target 750, both networks updated together (Section 6.5)",
        {
            **_PAPER,
            "resolution": 32,
            "kimg": 20000.0,
            "stable_kimg": 400.0,
            "fade_kimg": 400.0,
            "latent_size": 128,
            "fmap_base": 4096,
            "fmap_max": 128,
            "penalty_target": 750.0,
            "joint_update": True,
            "rampup_kimg": 40.0,
        },
    ),
    **{
        f"mnist-rgb-{size.lower().replace('/', '')}-{name}": Preset(
            f"stacked MNIST, discriminator {size}, {label} (Table 4)", _mode_recovery(d_fmap_base=base, step=step)
        )
        for size, base in (("K/2", 64), ("K/4", 32))
        for step, (name, label) in enumerate(_VARIANTS)
    },
    "table1-a": Preset("Table 1 (a): Gulrajani et al. 2017, no growing", {**_TABLE1_B, "grow": False}),
    "table1-b": Preset("Table 1 (b): a + progressive growing", _TABLE1_B),
    "table1-c": Preset("Table 1 (c): b + small minibatch", _TABLE1_C),
    "table1-d": Preset("Table 1 (d): c + revised training parameters", _TABLE1_D),
    "table1-e*": Preset("Table 1 (e*): d + minibatch discrimination", {**_TABLE1_D, "discrimination_kernels": 100}),
    "table1-e": Preset("Table 1 (e): d + minibatch stddev", _TABLE1_E),
    "table1-f": Preset("Table 1 (f): e + equalised learning rate", _TABLE1_F),
    "table1-g": Preset("Table 1 (g): f + pixelwise normalisation", _TABLE1_G),
    "table1-h": Preset(
        "Table 1 (h): g at full width, trained longer", {**_TABLE1_G, "fmap_base": 8192, "kimg": 12000.0}
    ),
    "tf-v1-1gpu": Preset(
        "TensorFlow program with the paper's schedule, one GPU",
        {**_TF_V2, "kimg": 19000.0, "stable_kimg": 800.0, "fade_kimg": 800.0},
    ),
    "tf-v2-1gpu": Preset(
        "TensorFlow program, larger early batches, one GPU",
        {
            **_TF_V2,
            "batch": 4,
            "batch_at": ("4:128", "8:128", "16:128", "32:64", "64:32", "128:16", "256:8", "512:4"),
            "lr_at": ("1024:0.0015",),
        },
    ),
    "tf-v2-2gpu": Preset(
        "TensorFlow program, the batches of two GPUs together",
        {
            **_TF_V2,
            "batch": 8,
            "batch_at": ("4:256", "8:256", "16:128", "32:64", "64:32", "128:16", "256:8"),
            "lr_at": ("512:0.0015", "1024:0.002"),
        },
    ),
    "tf-v2-4gpu": Preset(
        "TensorFlow program, the batches of four GPUs together",
        {
            **_TF_V2,
            "batch": 16,
            "batch_at": ("4:512", "8:256", "16:128", "32:64", "64:32", "128:16"),
            "lr_at": ("256:0.0015", "512:0.002", "1024:0.003"),
        },
    ),
    "tf-v2-8gpu": Preset(
        "TensorFlow program, the batches of eight GPUs together",
        {
            **_TF_V2,
            "batch": 32,
            "batch_at": ("4:512", "8:256", "16:128", "32:64", "64:32"),
            "lr_at": ("128:0.0015", "256:0.002", "512:0.003", "1024:0.003"),
        },
    ),
    "tiny": Preset(
        "narrow networks and short phases for 32x32 on a CPU",
        {
            "resolution": 32,
            "kimg": 80.0,
            "stable_kimg": 5.0,
            "fade_kimg": 5.0,
            "latent_size": 64,
            "fmap_base": 256,
            "fmap_max": 64,
            "batch_at": (),
            "lr": 0.002,
            "ema": 0.998,
            "tick_kimg": 1.0,
            "snapshot_kimg": 10.0,
        },
    ),
}


def find_preset(name: str) -> Preset:
    """Return a preset.

    Raises:
        ConfigError: If there is none of that name; the message names the nearest.
    """
    if name not in PRESETS:
        raise ConfigError(f"unknown preset {name!r}{suggest(name, PRESETS)}")
    return PRESETS[name]


def format_markdown() -> str:
    """Return the page docs/presets.md: every preset with the settings in which it differs from the defaults."""
    lines = [
        "# Presets of `pggan train`",
        "",
        "Written by `pggan presets --markdown`; a test keeps it equal. Settings not listed have the defaults of",
        "`pggan_core.config.TrainConfig`. `pggan presets NAME` prints all of them.",
    ]
    for name, preset in PRESETS.items():
        lines += ["", f"## {name}", "", f"{preset.summary}.", "", "| setting | value |", "|---|---|"]
        lines += [f"| {key} | {_format_value(value)} |" for key, value in preset.settings.items()]
    return "\n".join(lines) + "\n"


def _format_value(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
