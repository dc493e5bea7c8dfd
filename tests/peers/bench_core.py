#!/usr/bin/env python3
# needs: torch diffusers peft
"""UNet forward and LoRA train step: torch (f32) and ours on the same work in one call, with ratios.

    bench_core.py [--threads N] [--profile dev] [embedded] [sd15]

torch is timed before and after our `cargo bench`, and the better median counts, so that a machine that changes its speed
meanwhile does not flatter us. Ours is read from criterion's files.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = ROOT / "examples/models/diffusers/embedded-base/unet"
WORK = {"embedded": ("embedded base 12x12 batch 4", 12, 4, 20), "sd15": ("sd15 32x32 batch 1", 32, 1, 3)}


def network(which):
    if which == "embedded":
        return UNet2DConditionModel.from_pretrained(BASE, torch_dtype=torch.float32)
    torch.manual_seed(1)
    return UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8, sample_size=64)


def median(runs, f):
    f()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        f()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def time_torch(which):
    _, side, batch, runs = WORK[which]
    unet = network(which).requires_grad_(False).eval()
    x = torch.randn(batch, 4, side, side)
    t = torch.full((batch,), 500)
    context = torch.randn(batch, 77, unet.config.cross_attention_dim)
    with torch.no_grad():
        forward = median(runs, lambda: unet(x, t, context).sample)
    unet.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))

    def step():
        unet(x, t, context).sample.square().mean().backward()
        for p in unet.parameters():
            p.grad = None

    return {"forward": forward, "train step": median(runs, step)}


def time_ours(which, threads, profile):
    name = WORK[which][0]
    command = ["cargo", "bench", "--workspace", "--bench", "core", "--profile", profile, "--", which]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "RAYON_NUM_THREADS": str(threads), "CANDLE_NUM_THREADS": str(threads)})
    found = {}
    for part in ("forward", "train step"):
        path = ROOT / "target/criterion" / f"{name}_{part}" / "new/estimates.json"
        found[part] = json.loads(path.read_text())["median"]["point_estimate"] / 1e9
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--profile", default="bench")
    parser.add_argument("which", nargs="*", default=list(WORK), choices=[*WORK, []])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, f32, {args.threads} threads; seconds, medians")
    print(f"{'work':44} {'torch':>8} {'ours':>8} {'ours/torch':>10}")
    for which in args.which:
        before = time_torch(which)
        ours = time_ours(which, args.threads, args.profile)
        after = time_torch(which)
        for part, seconds in ours.items():
            peer = min(before[part], after[part])
            print(f"{WORK[which][0] + ', ' + part:44} {peer:8.3f} {seconds:8.3f} {seconds / peer:10.2f}")


if __name__ == "__main__":
    main()
