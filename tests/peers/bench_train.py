#!/usr/bin/env python3
# needs: torch diffusers peft
"""A training step of a full-size SD 1.5 with random weights in f32, LoRA of rank 16 at attention and feed-forward layers:
diffusers with peft and ours on the same work in one call: processor seconds, wall seconds and peak memory, with ratios.

    bench_train.py [--threads N] [--side 32] [--profile dev] [--program PATH] [--rounds 1] [plain] [checkpointing]

Every measurement is a process of its own, so that its peak memory is its own; the two take turns. The first step, in which
working copies of weights are made, does not count. `--side` is that of the latents: 32 for pictures of 256 pixels.
"""
import argparse
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"]


def torch_step(side, threads, checkpointing):
    import torch
    from diffusers import UNet2DConditionModel
    from peft import LoraConfig

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8, sample_size=64).requires_grad_(False)
    unet.add_adapter(LoraConfig(r=16, lora_alpha=16, target_modules=TARGETS))
    if checkpointing:
        unet.enable_gradient_checkpointing()
    unet.train()
    x, t, context = torch.randn(1, 4, side, side), torch.tensor([500]), torch.randn(1, 77, 768)
    for _ in range(2):
        wall, used = time.perf_counter(), time.process_time()
        unet(x, t, context).sample.square().mean().backward()
        wall, used = time.perf_counter() - wall, time.process_time() - used
        unet.zero_grad()
    print(f"{wall} {used} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}")


def theirs(side, threads, checkpointing):
    command = [sys.executable, __file__, "--torch", f"--side={side}", f"--threads={threads}"]
    command += ["checkpointing"] if checkpointing else ["plain"]
    return [float(v) for v in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()]


def ours(program, side, threads, checkpointing):
    command = [*program, "train", "SD 1.x", str(side), "1", "1000", *(["checkpointing"] if checkpointing else [])]
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "CANDLE_NUM_THREADS": str(threads)}
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=environment).stdout
    wall, used = re.search(r"^train step.* ([\d.]+) ms, best.*processor +([\d.]+)", text, re.M).groups()
    memory = re.search(r"^peak memory ([\d.]+) GB", text, re.M).group(1)
    return [float(wall) / 1e3, float(used) / 1e3, float(memory)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--profile", default="release")
    parser.add_argument("--program", help="the example `speed`, built already")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--torch", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("which", nargs="*", default=["plain", "checkpointing"])
    args = parser.parse_args()
    if args.torch:
        return torch_step(args.side, args.threads, "checkpointing" in args.which)
    cargo = ["cargo", "run", "-q", "--profile", args.profile, "-p", "models", "--example", "speed", "--"]
    program = [args.program] if args.program else cargo
    print(f"{args.threads} threads, {8 * args.side} pixels, batch 1; medians of {args.rounds}")
    print(f"{'step':15} {'':9} {'torch':>8} {'ours':>8} {'ours/torch':>10}")
    for which in args.which:
        rounds = [[], []]
        for _ in range(args.rounds):
            rounds[0].append(theirs(args.side, args.threads, which == "checkpointing"))
            rounds[1].append(ours(program, args.side, args.threads, which == "checkpointing"))
        peer, own = ([statistics.median(column) for column in zip(*side)] for side in rounds)
        for name, a, b in zip(("wall s", "cpu s", "peak GB"), peer, own):
            print(f"{which:15} {name:9} {a:8.2f} {b:8.2f} {b / a:10.2f}", flush=True)


if __name__ == "__main__":
    main()
