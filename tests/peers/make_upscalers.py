#!/usr/bin/env python3
"""Makes small ESRGANs in host/models/tests/data, and what spandrel computes with them.

    python tests/peers/make_upscalers.py

Of four times the size in the oldest names and in those of BasicSR, and of twice the size, whose first layer sees 2×2
pixels as one. Needs spandrel; without torchvision, which ESRGAN does not use, a stand-in is enough.
"""

import sys
import types

import torch
from safetensors.torch import save_file

from make_models import DATA, half, randomise

try:
    import torchvision  # noqa: F401
except ImportError:
    class Missing(types.ModuleType):
        __path__ = []

        def __getattr__(self, name):
            return object

    for name in ("torchvision", "torchvision.ops", "torchvision.models", "torchvision.transforms",
                 "torchvision.transforms.functional"):
        sys.modules[name] = Missing(name)

from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.ESRGAN import ESRGANArch

BLOCKS = sys.modules[ESRGAN.__module__].B
FEATURES, GROWTH = 8, 4


def small(rrdb=BLOCKS.RRDB):
    """spandrel always builds blocks that grow by 32 channels."""
    BLOCKS.RRDB = lambda *args, **more: rrdb(*args, **(more | {"gc": GROWTH}))


def new_name(name):
    parts = name.split(".")
    if parts[1] == "0":
        return f"conv_first.{parts[2]}"
    if parts[1] == "1" and parts[3] == "2":
        return f"conv_body.{parts[4]}"
    if parts[1] == "1":
        return f"body.{parts[3]}.{parts[4].lower()}.{parts[5]}.{parts[7]}"
    place = {"3": "conv_up1", "6": "conv_up2", "8": "conv_hr", "10": "conv_last"}
    return f"{place[parts[1]]}.{parts[2]}"


def make(name, seed, **how):
    net = randomise(ESRGAN(num_filters=FEATURES, num_blocks=2, scale=4, **how), seed)
    picture = torch.rand((1, 3, 9, 11), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        # The last layer's values lie around zero; pictures around a half.
        last = net.model[-1].bias
        last.copy_((last + 0.5).half().float())
        large = net(picture).clamp(0, 1)
    weights = half(net.state_dict())
    print(name, tuple(large.shape), float(large.std()), float(((large > 0) & (large < 1)).float().mean()))
    return weights, {"picture": picture, "large": large}


if __name__ == "__main__":
    torch.set_num_threads(1)
    small()
    weights, four = make("esrgan_x4", 3)
    save_file(weights, DATA / "esrgan_x4.safetensors")
    save_file({"params_ema." + new_name(k): v for k, v in weights.items()}, DATA / "esrgan_x4_basicsr.safetensors")
    assert ESRGANArch().detect(weights)
    weights, two = make("esrgan_x2", 4, in_nc=12, shuffle_factor=2)
    save_file({new_name(k): v for k, v in weights.items()}, DATA / "esrgan_x2.safetensors")
    outputs = {f"x4.{k}": v for k, v in four.items()} | {f"x2.{k}": v for k, v in two.items()}
    save_file({k: v.contiguous() for k, v in outputs.items()}, DATA / "esrgan_outputs.safetensors")
