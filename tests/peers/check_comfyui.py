#!/usr/bin/env python3
# needs: torch diffusers transformers numpy PIL torchsde scipy psutil
"""Sampling as ComfyUI's own code does it: its schedules, samplers, guidance, conditioning areas and ranges, masks, partial
denoising and batch noise, over diffusers' networks of the embedded base.

`ANAGAMA_COMFYUI` names a folder with ComfyUI's code of early 2024, as the package `comfy` or under the name
`ldm_patched.modules` that a program gave it which carries a copy. `check_comfyui.py CASE…` runs only these cases.
"""
import importlib
import inspect
import json
import os
import sys

from common import ROOT, compare, finish, need_program, run, sd_table

FOLDER = os.environ.get("ANAGAMA_COMFYUI")


def comfy():
    """ComfyUI's modules `samplers` and `model_sampling`."""
    if not FOLDER:
        print("SKIPPED: check_comfyui: ANAGAMA_COMFYUI names no folder with ComfyUI's code")
        sys.exit(0)
    sys.path.insert(0, FOLDER)
    arguments, sys.argv = sys.argv, [sys.argv[0], "--cpu"]
    package = "comfy" if os.path.isdir(os.path.join(FOLDER, "comfy")) else "ldm_patched.modules"
    arguments_of = importlib.import_module(f"{package}.args_parser").args
    for name, value in (("cpu", True), ("always_cpu", 1)):
        if hasattr(arguments_of, name):
            setattr(arguments_of, name, value)
    samplers = importlib.import_module(f"{package}.samplers")
    sampling = importlib.import_module(f"{package}.model_sampling")
    sys.argv = arguments
    if not hasattr(samplers, "wrap_model"):
        print("SKIPPED: check_comfyui: this ComfyUI is newer than early 2024 and takes other models")
        sys.exit(0)
    return samplers, sampling, importlib.import_module(f"{package}.conds")


def base():
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    folder = ROOT / "examples/models/diffusers/embedded-base"
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval()
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32).eval()
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32).eval()

    def encode(prompt):
        ids = tokenizer(prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        return encoder(ids).last_hidden_state

    return encode, unet, vae


def model_of(unet, vae, sampling, conds):
    """The network as ComfyUI's samplers expect a model."""
    import torch

    class Sampling(sampling.ModelSamplingDiscrete, sampling.EPS):
        def __init__(self):
            torch.nn.Module.__init__(self)
            self.sigma_data, self.num_timesteps = 1.0, 1000
            # It takes the logarithms before it rounds, which decides where a sigma lies between two timesteps.
            self.set_sigmas(sd_table(torch.float64))

    class Model:
        model_sampling = Sampling()
        device = torch.device("cpu")
        inpaint_model = False

        def memory_required(self, _):
            return 0

        def process_latent_in(self, latent):
            return latent * vae.config.scaling_factor

        def process_latent_out(self, latent):
            return latent / vae.config.scaling_factor

        def extra_conds(self, **kwargs):
            return {"c_crossattn": conds.CONDCrossAttn(kwargs["cross_attn"])}

        def apply_model(self, x, sigma, c_crossattn=None, **_):
            noisy = self.model_sampling.calculate_input(sigma, x)
            timestep = self.model_sampling.timestep(sigma).float()
            return self.model_sampling.calculate_denoised(sigma, unet(noisy, timestep, c_crossattn).sample, x)

    return Model()


class Case:
    """A workflow, and the same thing asked of ComfyUI's code."""

    def __init__(self, name, nodes=None, **settings):
        self.name, self.nodes, self.settings = name, nodes or {}, settings


ON = "comic style, red hair, bangs, blue shirt, light skin, glasses, yellow background"
SECOND = "comic style, black hair, hat, green background"
SEED, SIDE, STEPS, CFG = 42, 96, 12, 4.5
DETERMINISTIC = ["euler", "heun", "heunpp2", "dpm_2", "lms", "dpmpp_2m", "ddim", "uni_pc", "uni_pc_bh2"]
NOISY = ["ddpm", "lcm", "euler_ancestral", "dpm_2_ancestral", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_2m_sde",
         "dpmpp_3m_sde"]


def cases():
    for sampler in DETERMINISTIC + NOISY:
        yield Case(f"sampler {sampler}", sampler_name=sampler)
    for scheduler in ["karras", "exponential", "sgm_uniform", "simple", "ddim_uniform"]:
        yield Case(f"scheduler {scheduler}", scheduler=scheduler)
    yield Case("image to image", start="picture", denoise=0.6)
    yield Case("image to image uni_pc", start="picture", denoise=0.6, sampler_name="uni_pc")
    yield Case("inpaint", start="picture", denoise=1.0, mask=True)
    yield Case("inpaint partly", start="picture", denoise=0.7, mask=True)
    yield Case("inpaint ddim", start="picture", denoise=0.8, mask=True, sampler_name="ddim")
    yield Case("combine", second="combine")
    yield Case("area", second="area")
    yield Case("range", second="range")
    yield Case("mask of a prompt", second="mask")
    yield Case("late steps", start="picture", steps=(5, 10_000), leftover=False)
    yield Case("early steps", steps=(0, 7), leftover=False)
    yield Case("guidance of 1", cfg=1.0)


def workflow(case):
    s = case.settings
    nodes = {
        "1": {"class_type": "DiffusersLoader", "inputs": {"model_path": "embedded-base"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": ON}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": ""}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": SIDE, "height": SIDE, "batch_size": 2}},
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "x"}},
    }
    positive, latent = ["2", 0], ["4", 0]
    if s.get("start") == "picture":
        nodes["20"] = {"class_type": "EmptyImage", "inputs": {
            "width": SIDE, "height": SIDE, "batch_size": 1, "color": 0x3366CC}}
        nodes["21"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["20", 0], "vae": ["1", 2]}}
        latent = ["21", 0]
    if s.get("mask"):
        nodes |= half_mask()
        nodes["32"] = {"class_type": "SetLatentNoiseMask", "inputs": {"samples": latent, "mask": ["31", 0]}}
        latent = ["32", 0]
    second = s.get("second")
    if second:
        nodes["40"] = {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": SECOND}}
        other, first = ["40", 0], positive
        if second == "area":
            nodes["41"] = {"class_type": "ConditioningSetArea", "inputs": {
                "conditioning": other, "width": 64, "height": 64, "x": 32, "y": 16, "strength": 0.8}}
            other = ["41", 0]
        if second == "range":
            nodes["41"] = {"class_type": "ConditioningSetTimestepRange", "inputs": {
                "conditioning": first, "start": 0.0, "end": 0.45}}
            nodes["42"] = {"class_type": "ConditioningSetTimestepRange", "inputs": {
                "conditioning": other, "start": 0.45, "end": 1.0}}
            first, other = ["41", 0], ["42", 0]
        if second == "mask":
            nodes |= half_mask()
            nodes["41"] = {"class_type": "ConditioningSetMask", "inputs": {
                "conditioning": other, "mask": ["31", 0], "strength": 0.9, "set_cond_area": "default"}}
            other = ["41", 0]
        nodes["43"] = {"class_type": "ConditioningCombine", "inputs": {
            "conditioning_1": first, "conditioning_2": other}}
        positive = ["43", 0]
    common = {"model": ["1", 0], "positive": positive, "negative": ["3", 0], "latent_image": latent, "steps": STEPS,
              "cfg": s.get("cfg", CFG), "sampler_name": s.get("sampler_name", "euler"),
              "scheduler": s.get("scheduler", "normal")}
    if "steps" in s:
        start, end = s["steps"]
        nodes["5"] = {"class_type": "KSamplerAdvanced", "inputs": common | {
            "add_noise": "enable", "noise_seed": SEED, "start_at_step": start, "end_at_step": end,
            "return_with_leftover_noise": "enable" if s["leftover"] else "disable"}}
    else:
        nodes["5"] = {"class_type": "KSampler", "inputs": common | {"seed": SEED, "denoise": s.get("denoise", 1.0)}}
    return nodes


def half_mask():
    """A mask of the picture's size: its right half is 1, the rest 0."""
    half = lambda value: {"class_type": "SolidMask", "inputs": {"value": value, "width": SIDE, "height": SIDE}}
    right = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": SIDE // 2, "height": SIDE}}
    return {"29": half(0.0), "30": right, "31": {"class_type": "MaskComposite", "inputs": {
        "destination": ["29", 0], "source": ["30", 0], "x": SIDE // 2, "y": 0, "operation": "add"}}}


def theirs(case, samplers, model, encode, vae):
    import torch

    s, side = case.settings, SIDE // 8
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, :, SIDE // 2:] = 1.0
    cond = lambda text, **more: {"cross_attn": encode(text), "model_conds": {}, **more}
    positive, negative = [cond(ON)], [cond("")]
    second = s.get("second")
    if second == "combine":
        positive.append(cond(SECOND))
    if second == "area":
        positive.append(cond(SECOND, area=(8, 8, 2, 4), strength=0.8, set_area_to_bounds=False))
    if second == "range":
        positive = [cond(ON, start_percent=0.0, end_percent=0.45), cond(SECOND, start_percent=0.45, end_percent=1.0)]
    if second == "mask":
        positive.append(cond(SECOND, mask=mask, mask_strength=0.9, set_area_to_bounds=False))
    if s.get("start") == "picture":
        colour = torch.tensor([0x33, 0x66, 0xCC]) / 255
        picture = (colour * 2 - 1).view(1, 3, 1, 1).expand(1, 3, SIDE, SIDE)
        latent = vae.encode(picture).latent_dist.mode()
    else:
        latent = torch.zeros(2, 4, side, side)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(SEED))
    sampler = samplers.KSampler(model, STEPS, torch.device("cpu"), s.get("sampler_name", "euler"),
                                s.get("scheduler", "normal"), s.get("denoise", 1.0))
    more = {}
    if "steps" in s:
        more = {"start_step": s["steps"][0], "last_step": s["steps"][1], "force_full_denoise": not s["leftover"]}
    if s.get("mask"):
        small = torch.nn.functional.interpolate(mask[:, None], size=(side, side), mode="bilinear")
        more["denoise_mask"] = small.expand(latent.shape)
    latent = sampler.sample(noise, positive, negative, s.get("cfg", CFG), latent_image=latent, disable_pbar=True,
                            seed=SEED, **more)
    return vae.decode(latent).sample


def older(case, samplers):
    """Why this ComfyUI does otherwise than that of late 2025, if it does."""
    sampler = case.settings.get("sampler_name")
    if sampler == "lms" and "x = denoised" not in inspect.getsource(samplers.k_diffusion_sampling.sample_lms):
        return "this ComfyUI's lms does not end in its last guess"
    if case.settings.get("second") == "area" and "rr = 8" in inspect.getsource(samplers):
        return "this ComfyUI's areas fade over 8 pixels of the latent, however small they are"
    return None


def main():
    need_program("check_comfyui")
    samplers, sampling, conds = comfy()
    import torch

    wanted, failures, passed = set(sys.argv[1:]), [], 0
    with torch.no_grad():
        encode, unet, vae = base()
        model = model_of(unet, vae, sampling, conds)
        for case in cases():
            if wanted and not any(w in case.name for w in wanted):
                continue
            if reason := older(case, samplers):
                print(f"SKIPPED: {case.name}: {reason}")
                continue
            # Newer versions draw the noise of steps from a generator of its own, one seed higher.
            steps = torch.Generator().manual_seed(SEED + 1)
            samplers.k_diffusion_sampling.default_noise_sampler = lambda x: lambda *_: torch.randn(
                x.shape, generator=steps)
            torch.manual_seed(SEED)
            if case.settings.get("sampler_name", "euler") not in samplers.KSampler.SAMPLERS:
                print(f"SKIPPED: {case.name}: this ComfyUI does not have it")
                continue
            pictures = theirs(case, samplers, model, encode, vae)
            found = compare(case.name, run(workflow(case), ROOT / "examples/models"), pictures)
            failures += found
            passed += not found
    finish(failures, passed)


if __name__ == "__main__":
    main()
