#!/usr/bin/env python3
# needs: torch diffusers transformers numpy PIL k_diffusion scipy torchdiffeq torchsde
"""SDXL and Flux.1: our pictures are those of diffusers' networks from the same seed, with the tiny models of
`tests/reference/models` (or of `ANAGAMA_REFERENCE`).

The whole way through our program: a workflow in ComfyUI's nodes with two prompts, loaded from a diffusers folder.
"""
import os
import pathlib
import tempfile

from common import (ROOT, compare, finish, flow_sigmas, k_diffusion, need_program, run, sd_denoiser, sd_sigmas)

MODELS = pathlib.Path(os.environ.get("ANAGAMA_REFERENCE", ROOT / "tests/reference")) / "models"
SEED, STEPS, WIDTH, HEIGHT = 4711, 6, 96, 64
ON = "a small wooden boat on a calm lake at dawn, mountains, reflection"
OFF = "low quality, jpeg artifacts, text"


def workflow(family, sampler, scheduler, cfg, empty):
    return {
        "1": {"class_type": "DiffusersLoader", "inputs": {"model_path": family}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": ON}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": OFF}},
        "4": {"class_type": empty, "inputs": {"width": WIDTH, "height": HEIGHT, "batch_size": 2}},
        "5": {"class_type": "KSampler", "inputs": {
            "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0], "seed": SEED,
            "steps": STEPS, "cfg": cfg, "sampler_name": sampler, "scheduler": scheduler, "denoise": 1.0}},
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "x"}},
    }


def sdxl(samplers, models):
    import torch
    from diffusers import StableDiffusionXLPipeline

    pipe = StableDiffusionXLPipeline.from_pretrained(MODELS / "sdxl", torch_dtype=torch.float32)
    cfg, n, failures, passed = 6.0, 2, [], 0
    states, _, pooled, _ = pipe.encode_prompt(ON, do_classifier_free_guidance=False, device="cpu")
    states_off, _, pooled_off, _ = pipe.encode_prompt(OFF, do_classifier_free_guidance=False, device="cpu")
    texts = {"on": (states, pooled), "off": (states_off, pooled_off)}
    size = torch.tensor([[HEIGHT, WIDTH, 0, 0, HEIGHT, WIDTH]], dtype=torch.float32).repeat(n, 1)

    def network(x, t, which):
        states, pooled = texts[which]
        added = {"text_embeds": pooled.repeat(n, 1), "time_ids": size}
        return pipe.unet(x, t, states.repeat(n, 1, 1), added_cond_kwargs=added).sample

    noise = torch.randn((n, 4, HEIGHT // 8, WIDTH // 8), generator=torch.Generator().manual_seed(SEED))
    for name, function, schedule in [
        ("euler", samplers.sample_euler, "normal"),
        ("dpmpp_2m", samplers.sample_dpmpp_2m, "karras"),
        ("heun", samplers.sample_heun, "karras"),
    ]:
        sigmas = sd_sigmas(schedule, STEPS)
        x = function(sd_denoiser(network, cfg), noise * (1 + sigmas[0] ** 2).sqrt(), sigmas, disable=True)
        pictures = pipe.vae.decode(x / pipe.vae.config.scaling_factor).sample
        made = run(workflow("sdxl", name, schedule, cfg, "EmptyLatentImage"), models)
        found = compare(f"sdxl {name} {schedule}", made, pictures)
        failures, passed = failures + found, passed + (not found)
    return failures, passed


def flux(samplers, models):
    import torch
    from diffusers import FluxPipeline

    pipe = FluxPipeline.from_pretrained(MODELS / "flux", torch_dtype=torch.float32)
    n, failures, passed = 2, [], 0
    # ComfyUI fills T5's prompts up to 256 tokens and asks for a guidance of 3.5 where no node says otherwise.
    states, pooled, txt_ids = pipe.encode_prompt(ON, None, device="cpu", max_sequence_length=256)
    h, w = HEIGHT // 8, WIDTH // 8
    img_ids = pipe._prepare_latent_image_ids(n, h // 2, w // 2, "cpu", torch.float32)

    def denoise(x, sigma, **_):
        sigma = sigma.flatten()[0]
        packed = pipe._pack_latents(x, n, 16, h, w)
        v = pipe.transformer(
            hidden_states=packed, timestep=sigma.repeat(n), guidance=torch.full((n,), 3.5), img_ids=img_ids,
            txt_ids=txt_ids, pooled_projections=pooled.repeat(n, 1), encoder_hidden_states=states.repeat(n, 1, 1),
            return_dict=False)[0]
        return x - sigma * pipe._unpack_latents(v, HEIGHT, WIDTH, pipe.vae_scale_factor)

    noise = torch.randn((n, 16, h, w), generator=torch.Generator().manual_seed(SEED))
    for name, function in [("euler", samplers.sample_euler), ("heun", samplers.sample_heun)]:
        sigmas = flow_sigmas(STEPS)
        x = function(denoise, noise * sigmas[0], sigmas, disable=True)
        latents = x / pipe.vae.config.scaling_factor + pipe.vae.config.shift_factor
        pictures = pipe.vae.decode(latents).sample
        made = run(workflow("flux", name, "simple", 1.0, "EmptySD3LatentImage"), models)
        found = compare(f"flux {name} simple", made, pictures)
        failures, passed = failures + found, passed + (not found)
    return failures, passed


def main():
    need_program("check_families")
    import torch

    failures, passed = [], 0
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        (pathlib.Path(folder) / "diffusers").symlink_to(MODELS)
        samplers = k_diffusion()
        for check in (sdxl, flux):
            more, good = check(samplers, folder)
            failures, passed = failures + more, passed + good
    finish(failures, passed)


if __name__ == "__main__":
    main()
