#!/usr/bin/env python3
# needs: torch diffusers transformers numpy PIL
"""The example's picture is diffusers' picture: same weights, prompt, start noise and sigmas, Euler without ancestry.

Runs `examples/sample` with our program, then the same steps with diffusers' text encoder, UNet and VAE, and compares 8-bit
pixels. The sigmas are ComfyUI's «normal» list, computed here from its definition; diffusers has no such list of its own.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "target/debug/anagama"


def main():
    if not PROGRAM.exists():
        print("SKIPPED: check_pictures: target/debug/anagama is not built")
        sys.exit(0)
    import numpy as np
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from PIL import Image
    from transformers import CLIPTextModel, CLIPTokenizer

    workflow = json.loads((ROOT / "examples/sample/workflow.json").read_text())
    inputs = lambda kind: next(n["inputs"] for n in workflow.values() if n["class_type"] == kind)
    sampler, latent = inputs("KSampler"), inputs("EmptyLatentImage")
    text = lambda link: workflow[link[0]]["inputs"]["text"]
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([PROGRAM, "run", ROOT / "examples/sample/workflow.json", "--out", out, "--store", f"{out}/store"],
                       check=True, cwd=ROOT, capture_output=True)
        files = sorted(pathlib.Path(out).rglob("*.png"))
        ours = np.stack([np.asarray(Image.open(f).convert("RGB")) for f in files if "store" not in f.parts])

    base = ROOT / "examples/models/diffusers/embedded-base"
    tokenizer = CLIPTokenizer.from_pretrained(base / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(base / "text_encoder", torch_dtype=torch.float32).eval()
    unet = UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=torch.float32).eval()
    vae = AutoencoderKL.from_pretrained(base / "vae", torch_dtype=torch.float32).eval()

    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float32) ** 2
    table = ((1 - torch.cumprod(1 - betas, 0)) / torch.cumprod(1 - betas, 0)).sqrt()
    times = torch.linspace(999, 0, sampler["steps"])
    low = times.floor().long()
    high = times.ceil().long()
    w = times.frac()
    sigmas = torch.cat([((1 - w) * table.log()[low] + w * table.log()[high]).exp(), torch.zeros(1)])

    def encode(prompt):
        ids = tokenizer(prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        return encoder(ids).last_hidden_state

    with torch.no_grad():
        n = latent["batch_size"]
        positive = encode(text(sampler["positive"])).repeat(n, 1, 1)
        negative = encode(text(sampler["negative"])).repeat(n, 1, 1)
        noise = torch.randn(n, 4, latent["height"] // 8, latent["width"] // 8,
                            generator=torch.Generator().manual_seed(sampler["seed"]))
        x = noise * (1 + sigmas[0] ** 2).sqrt()
        for sigma, following in zip(sigmas, sigmas[1:]):
            t = (sigma.log() - table.log()).abs().argmin()
            scaled = x / (sigma**2 + 1).sqrt()
            guess = lambda c: x - sigma * unet(scaled, t, c).sample
            off, on = guess(negative), guess(positive)
            denoised = off + sampler["cfg"] * (on - off)
            x = x + (x - denoised) / sigma * (following - sigma)
        pictures = vae.decode(x / vae.config.scaling_factor).sample
    theirs = ((pictures / 2 + 0.5).clamp(0, 1) * 255).permute(0, 2, 3, 1).numpy()
    difference = np.abs(ours.astype(np.float32) - theirs)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    # Rounding to 8 bits alone makes up to 1.
    assert difference.max() <= 2, f"largest difference {difference.max():.2f} of 255"
    print(f"{len(ours)} pictures, largest difference {difference.max():.2f} of 255, mean {difference.mean():.3f}")
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
