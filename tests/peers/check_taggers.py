#!/usr/bin/env python3
# needs: torch timm onnx onnxruntime safetensors numpy
"""Taggers of the WD shapes with random weights: our runs of the ONNX files and of the safetensors beside onnxruntime's.

    check_taggers.py [--large] [--times 5] [--keep FOLDER] [--only vit]

Sizes are those of the v3 taggers with 10,861 labels, but fewer blocks, and pictures of 112 pixels; `--large`: of 448, as they have
them, which is what times mean something for.
Every parameter is random: a fresh network has norms and biases that change nothing, and a runtime may fold whole blocks
away. Times are the processes' own, on one thread. Without `--keep` the files go when it ends.
"""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time
from statistics import median

import numpy
import onnxruntime
import timm
import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
LABELS = 10861
LARGEST = 1e-5
# timm's architecture, and how it differs from that.
KINDS = {
    "vit": ("vit_base_patch16_224", dict(depth=2, class_token=False, global_pool="avg", fc_norm=False, act_layer="gelu_tanh")),
    "eva02": ("eva02_large_patch14_448", dict(depth=2)),
    "convnext": ("convnext_base", dict(depths=[1, 1, 3, 1])),
    "swinv2": ("swinv2_base_window8_256", dict(depths=[2, 2, 2, 2])),
}
OWN = ["vit", "eva02"]


class Whole(torch.nn.Module):
    """As the taggers are exported: pictures (b, side, side, 3), blue first, 0…255; scores."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return torch.sigmoid(self.net(x.permute(0, 3, 1, 2) / 127.5 - 1.0))


def make(kind, side, folder):
    name, args = KINDS[kind]
    args = dict(args) if kind == "convnext" else dict(args, img_size=side)
    if kind == "swinv2":
        args["window_size"] = side // 32
    torch.manual_seed(3)
    net = timm.create_model(name, num_classes=LABELS, **args).eval()
    for key, value in net.named_parameters():
        with torch.no_grad():
            if value.ndim > 1 and "pos_embed" not in key:
                value.normal_(0, 1.0 / value[0].numel() ** 0.5)
            else:
                value.normal_(1.0 if "norm" in key and key.endswith("weight") else 0.0, 0.2)
    folder.mkdir(parents=True)
    config = {"architecture": name, "num_classes": LABELS, "model_args": args}
    (folder / "config.json").write_text(json.dumps(config))
    save_file({k: v.contiguous() for k, v in net.state_dict().items() if k in dict(net.named_parameters())}, folder / "model.safetensors")
    rows = ["tag_id,name,category,count"] + [f"{i},t{i},{9 if i < 4 else 0},1" for i in range(LABELS)]
    (folder / "selected_tags.csv").write_text("\n".join(rows) + "\n")
    torch.onnx.export(Whole(net).eval(), torch.rand(1, side, side, 3) * 255, folder / "model.onnx", input_names=["input"], output_names=["output"],
                      dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}}, opset_version=17, dynamo=False)


class Theirs:
    """onnxruntime on one thread."""

    def __init__(self, model, pictures):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.inputs = {"input": pictures}
        [self.scores] = self.session.run(None, self.inputs)

    def time(self, times):
        """Milliseconds of one run."""
        start = time.process_time()
        for _ in range(times):
            self.session.run(None, self.inputs)
        return (time.process_time() - start) * 1000 / times


def ours(call, pictures, times, work):
    """Scores, and milliseconds of one run on one thread, as the program says; its first run is not counted."""
    (work / "in.f32").write_bytes(pictures.tobytes())
    alone = dict(os.environ, RAYON_NUM_THREADS="1")
    done = subprocess.run([*map(str, call), work / "in.f32", str(len(pictures)), work / "out.f32", str(times + 1)],
                          env=alone, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    scores = numpy.frombuffer((work / "out.f32").read_bytes(), "<f4").reshape(len(pictures), LABELS)
    return scores, float(done.stdout.split()[-1])


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--large", action="store_true")
    args.add_argument("--times", type=int, default=5)
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--keep", type=pathlib.Path)
    args.add_argument("--only", choices=KINDS)
    args.add_argument("--built", action="store_true", help="the two example programs are built already")
    args = args.parse_args()
    side = 448 if args.large else 112
    torch.set_num_threads(1)
    if not args.built:
        build = ["cargo", "build", "-q", "--workspace", "--example", "run", "--example", "tagger"]
        subprocess.run(build, cwd=ROOT, check=True)
    examples = ROOT / "target/debug/examples"
    worst = 0.0
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        models = args.keep or work
        for kind in [args.only] if args.only else KINDS:
            folder = models / "taggers" / f"{kind}-{side}"
            if not folder.exists():
                make(kind, side, folder)
            pictures = (numpy.random.default_rng(1).random((1, side, side, 3)) * 255).astype(numpy.float32)
            theirs = Theirs(folder / "model.onnx", pictures)
            wanted = theirs.scores
            runs = {"onnx": [examples / "run", models, f"taggers/{folder.name}"]}
            if kind in OWN:
                runs["safetensors"] = [examples / "tagger", folder]
            # In turn, since the machine's speed changes from one second to the next.
            base, times = [], {form: [] for form in runs}
            far = dict.fromkeys(runs, 0.0)
            for _ in range(args.rounds):
                base.append(theirs.time(args.times))
                for form, call in runs.items():
                    found, taken = ours(call, pictures, args.times, work)
                    times[form].append(taken)
                    far[form] = max(far[form], float(abs(found - wanted).max()))
            print(f"{kind:9} onnxruntime {median(base):7.1f} ms; scores {wanted.min():.3f} to {wanted.max():.3f}")
            for form, taken in times.items():
                ratios = sorted(ours / theirs for ours, theirs in zip(taken, base))
                print(f"{'':9} {form:11} {median(taken):7.1f} ms, {median(ratios):.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f}); "
                      f"largest difference {far[form]:.1e}")
            worst = max(worst, *far.values())
    assert worst <= LARGEST, f"{worst} is more than {LARGEST}"


main()
