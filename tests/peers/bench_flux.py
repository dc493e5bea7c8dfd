#!/usr/bin/env python3
# needs: torch diffusers
"""One double and one single block of Flux.1 at full width: torch (f32) and ours on the same work in one call.

    bench_flux.py [--threads N] [--side 64] [--profile release]

torch is timed before and after ours, and the better time counts. Ours is `cargo run -p models --example speed`.
"""
import argparse
import os
import pathlib
import re
import subprocess
import time

import torch
from diffusers import FluxTransformer2DModel

ROOT = pathlib.Path(__file__).resolve().parents[2]


def time_torch(side):
    torch.manual_seed(1)
    net = FluxTransformer2DModel(num_layers=1, num_single_layers=1, guidance_embeds=True).eval()
    rows = side // 2
    ids = torch.zeros(rows, rows, 3)
    ids[..., 1], ids[..., 2] = torch.arange(rows)[:, None], torch.arange(rows)
    given = dict(hidden_states=torch.randn(1, rows * rows, 64), encoder_hidden_states=torch.randn(1, 512, 4096),
                 pooled_projections=torch.randn(1, 768), timestep=torch.tensor([0.5]), guidance=torch.tensor([3.5]),
                 img_ids=ids.reshape(-1, 3), txt_ids=torch.zeros(512, 3))
    marks = []
    for block in (*net.transformer_blocks, *net.single_transformer_blocks):
        block.register_forward_pre_hook(lambda *_: marks.append((time.perf_counter(), time.process_time())))
        block.register_forward_hook(lambda *_: marks.append((time.perf_counter(), time.process_time())))
    best = {}
    with torch.no_grad():
        for _ in range(2):
            marks.clear()
            net(**given)
            for i, name in enumerate(("double", "single")):
                (t0, u0), (t1, u1) = marks[2 * i], marks[2 * i + 1]
                best[name] = min(best.get(name, (1e9, 1e9)), (t1 - t0, u1 - u0))
    return best


def time_ours(side, threads, profile):
    command = ["cargo", "run", "-q", "--profile", profile, "-p", "models", "--example", "speed", "--", "flux-blocks", str(side)]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "CANDLE_NUM_THREADS": str(threads)}
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=environment).stdout
    print(text, end="")
    found = {}
    for name, wall, used in re.findall(r"^(double|single)\S* +again +([\d.]+) s, processor +([\d.]+)", text, re.M):
        found[name] = (float(wall), float(used))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--profile", default="release")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    before = time_torch(args.side)
    ours = time_ours(args.side, args.threads, args.profile)
    after = time_torch(args.side)
    print(f"{'block':8} {'torch s':>8} {'ours s':>8} {'ratio':>6} {'torch cpu s':>12} {'ours cpu s':>11}")
    for name, (wall, used) in ours.items():
        theirs = min(before[name], after[name])
        print(f"{name:8} {theirs[0]:8.2f} {wall:8.2f} {wall / theirs[0]:6.2f} {theirs[1]:12.2f} {used:11.2f}")


if __name__ == "__main__":
    main()
