#!/usr/bin/env python3
"""Makes host/nodes/tests/data/beside.safetensors: what ComfyUI's own code puts beside the noise of networks with more
channels than a latent has, and what it makes of pictures that stand in for SDXL's text.

    ANAGAMA_COMFYUI=FOLDER python tests/peers/make_beside.py

FOLDER holds ComfyUI's code of late 2025. Packages that it imports and that none of this uses may be missing.
"""

import importlib.machinery
import os
import sys
import types

import torch
from safetensors.torch import save_file

from make_models import REPOSITORY

UNUSED = ("torchvision", "torchaudio", "kornia", "av")


class Missing(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class Finder:
    """Stand-ins for packages that are not there."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in UNUSED:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return Missing(spec.name)

    def exec_module(self, module):
        pass


def model_base():
    sys.meta_path.append(Finder())
    sys.path.insert(0, os.environ["ANAGAMA_COMFYUI"])
    sys.argv = [sys.argv[0], "--cpu"]
    import comfy.options
    comfy.options.enable_args_parsing()
    import comfy.model_base
    return comfy.model_base


def main():
    base = model_base()
    from comfy.ldm.modules.encoders.noise_aug_modules import CLIPEmbeddingNoiseAugmentation
    random = torch.Generator().manual_seed(9)
    draw = lambda *shape: torch.randn(shape, generator=random)
    made = {}

    # Of another shape, size and number than what is made, so that it is cut, resized and spread.
    mask = torch.rand((2, 1, 64, 96), generator=random)
    made["mask"] = mask
    inpaint = types.SimpleNamespace(process_latent_in=lambda latent: latent * 0.18215)
    base.BaseModel.set_inpaint(inpaint)
    noise, latent = torch.zeros(3, 4, 8, 8), draw(2, 4, 8, 12)
    put = lambda **more: base.BaseModel.concat_cond(inpaint, noise=noise, device="cpu", **more)
    made["inpaint.latent"] = latent
    made["inpaint.prompt"] = put(concat_latent_image=latent, concat_mask=mask, latent_image=noise)
    own, own_mask = draw(3, 4, 8, 8), torch.rand((3, 1, 8, 8), generator=random)
    made |= {"inpaint.own": own, "inpaint.own_mask": own_mask}
    made["inpaint.walk"] = put(latent_image=own, denoise_mask=own_mask.expand(3, 4, 8, 8))
    made["inpaint.nothing"] = put(latent_image=own)

    noise, latent = torch.zeros(3, 16, 8, 8), draw(2, 16, 8, 12)
    made["flux.latent"] = latent
    for name, channels in (("fill", 96), ("edges", 32)):
        flux = types.SimpleNamespace(
            diffusion_model=types.SimpleNamespace(
                img_in=types.SimpleNamespace(weight=torch.empty(1, 4 * channels)), patch_size=2),
            model_config=types.SimpleNamespace(unet_config={"in_channels": 16, "out_channels": 16}),
            process_latent_in=lambda latent: (latent - 0.1159) * 0.3611)
        put = lambda **more: base.Flux.concat_cond(flux, noise=noise, device="cpu", **more)
        made[f"flux.{name}.prompt"] = put(concat_latent_image=latent, concat_mask=mask)
        made[f"flux.{name}.nothing"] = put()

    augmentor = CLIPEmbeddingNoiseAugmentation(
        noise_schedule_config={"timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"}, timestep_dim=1280)
    embeds = draw(2, 1280)
    made["picture.embeds"] = embeds
    seen = lambda row, strength, noise: {
        "clip_vision_output": types.SimpleNamespace(image_embeds=embeds[row:row + 1]), "strength": strength,
        "noise_augmentation": noise}
    text = lambda *pictures: base.sdxl_pooled(
        {"unclip_conditioning": list(pictures), "device": "cpu", "seed": 5}, augmentor)
    made["picture.one"] = text(seen(0, 0.75, 0.3))
    made["picture.two"] = text(seen(0, 0.75, 0.0), seen(1, 0.5, 0.2))

    folder = REPOSITORY / "host/nodes/tests/data"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in made.items()}, folder / "beside.safetensors")
    print({k: tuple(v.shape) for k, v in made.items()})


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.no_grad():
        main()
