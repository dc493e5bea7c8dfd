#!/usr/bin/env python3
# needs: torch diffusers transformers numpy PIL k_diffusion torchsde scipy torchdiffeq
"""Our pictures are the peers' pictures from the same seed: diffusers' text encoder, UNet and VAE of the embedded base, led
by k-diffusion's samplers, whose equations ComfyUI's are.

Runs `examples/sample` with our program once for each sampler, then the same steps with the peers, and compares 8-bit
pixels. `check_pictures.py euler heun` checks only these.
"""
import json
import sys

from common import ROOT, compare, finish, k_diffusion, need_program, run, sd_denoiser, sd_sigmas

# Our name, k-diffusion's function, and how it draws noise: not at all, a generator a step, or a Brownian tree.
SAMPLERS = [
    ("euler", "sample_euler", None),
    ("heun", "sample_heun", None),
    ("dpm_2", "sample_dpm_2", None),
    ("lms", "sample_lms", None),
    ("dpmpp_2m", "sample_dpmpp_2m", None),
    ("euler_ancestral", "sample_euler_ancestral", "generator"),
    ("dpm_2_ancestral", "sample_dpm_2_ancestral", "generator"),
    ("dpmpp_2s_ancestral", "sample_dpmpp_2s_ancestral", "generator"),
    ("dpmpp_sde", "sample_dpmpp_sde", "tree"),
    ("dpmpp_2m_sde", "sample_dpmpp_2m_sde", "tree"),
    ("dpmpp_3m_sde", "sample_dpmpp_3m_sde", "tree"),
]


def main():
    need_program("check_pictures")
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    wanted = set(sys.argv[1:])
    workflow = json.loads((ROOT / "examples/sample/workflow.json").read_text())
    inputs = lambda kind: next(n["inputs"] for n in workflow.values() if n["class_type"] == kind)
    settings, latent = inputs("KSampler"), inputs("EmptyLatentImage")
    text = lambda link: workflow[link[0]]["inputs"]["text"]

    base = ROOT / "examples/models/diffusers/embedded-base"
    tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(base / "text_encoder", dtype=torch.float32).eval()
    unet = UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=torch.float32).eval()
    vae = AutoencoderKL.from_pretrained(base / "vae", torch_dtype=torch.float32).eval()
    samplers = k_diffusion()

    def encode(prompt):
        ids = tokenizer(prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        return encoder(ids).last_hidden_state.repeat(latent["batch_size"], 1, 1)

    failures, passed = [], 0
    with torch.no_grad():
        states = {"on": encode(text(settings["positive"])), "off": encode(text(settings["negative"]))}
        denoise = sd_denoiser(lambda x, t, which: unet(x, t, states[which]).sample, settings["cfg"])
        shape = (latent["batch_size"], 4, latent["height"] // 8, latent["width"] // 8)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(settings["seed"]))
        for ours, theirs, kind in SAMPLERS:
            if wanted and ours not in wanted:
                continue
            for schedule in ("normal", "karras"):
                sigmas = sd_sigmas(schedule, settings["steps"] + (ours.startswith("dpm_2")))
                if ours.startswith("dpm_2"):  # ComfyUI leaves out the last but one here.
                    sigmas = torch.cat([sigmas[:-2], sigmas[-1:]])
                extra = {}
                if kind == "generator":
                    # ComfyUI seeds the noise of the steps one higher than that of the start.
                    generator = torch.Generator().manual_seed(settings["seed"] + 1)
                    extra["noise_sampler"] = lambda *_: torch.randn(shape, generator=generator)
                if kind == "tree":
                    extra["noise_sampler"] = samplers.BrownianTreeNoiseSampler(
                        noise, sigmas[sigmas > 0].min(), sigmas.max(), seed=settings["seed"]
                    )
                start = noise * (1 + sigmas[0] ** 2).sqrt()
                if ours == "lms":  # ComfyUI's last step goes to the clean guess instead of extrapolating.
                    x = samplers.sample_lms(denoise, start, sigmas[:-1], disable=True)
                    x = denoise(x, sigmas[-2])
                else:
                    x = getattr(samplers, theirs)(denoise, start, sigmas, disable=True, **extra)
                pictures = vae.decode(x / vae.config.scaling_factor).sample
                changes = [f"KSampler.sampler_name={ours}", f"KSampler.scheduler={schedule}"]
                made = run(workflow, ROOT / "examples/models", changes)
                found = compare(f"{ours} {schedule}", made, pictures)
                failures += found
                passed += not found
    finish(failures, passed)


if __name__ == "__main__":
    main()
