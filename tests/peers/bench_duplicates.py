#!/usr/bin/env python3
# needs: PIL
"""Finding duplicates on a painted set: precision, recall and pictures a second, beside imagehash and imagededup.

    bench_duplicates.py [--scenes 200] [--side 1100] [--keep FOLDER] [--program target/debug/examples/duplicates]

Each scene is there six times: as PNG, resized to 70 %, as JPEG of quality 35, brighter and paler, cropped by 6 % at two
sides, and with another face. Pairs of the first four are copies. Time is the processor's (user + system) on one core, with
reading, decoding and comparing, without the start of Python. The program is built by `cargo build -p data --example duplicates`.
Both peers are asked as their own pages do it: hashes of 64 bits, pairs up to 10 bits apart; imagehash, which finds no pairs
itself, by comparing all with all.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import tempfile
import time

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

ROOT = pathlib.Path(__file__).resolve().parents[2]
KINDS = ["original", "resized", "quality", "brighter", "crop", "face"]
COPIES = {"original", "resized", "quality", "brighter"}


def scene(number, side, face):
    """Shapes on a gradient and a figure; the same number gives the same scene."""
    rng = random.Random(number)
    w, h = side, int(side * rng.uniform(0.8, 1.3))
    top, bottom = ([rng.randrange(30, 230) for _ in range(3)] for _ in range(2))
    column = Image.new("RGB", (1, 2))
    column.putdata([tuple(top), tuple(bottom)])
    image = column.resize((w, h), Image.BILINEAR)
    draw = ImageDraw.Draw(image)
    for _ in range(30):
        x, y, r = rng.randrange(w), rng.randrange(h), rng.randrange(side // 40, side // 6)
        colour = tuple(rng.randrange(256) for _ in range(3))
        shape = rng.choice([draw.ellipse, draw.rectangle])
        shape([x - r, y - r * rng.uniform(0.4, 1), x + r, y + r], fill=colour)
    x, y, r = w // 2, int(h * 0.4), side // 6
    draw.ellipse([x - r, y - r, x + r, y + r], fill=(240, 205, 180))
    dark = (20, 20, 40)
    if face:
        eyes, mouth, size = [(-0.55, 0.2), (0.5, 0.25)], (0.05, -0.5), 0.22
    else:
        eyes, mouth, size = [(-0.35, -0.2), (0.35, -0.2)], (0.0, 0.5), 0.13
    for dx, dy in eyes:
        draw.ellipse([x + (dx - size) * r, y + (dy - size) * r, x + (dx + size) * r, y + (dy + size) * r], fill=dark)
    dx, dy = mouth
    draw.ellipse([x + (dx - 0.3) * r, y + (dy - 0.1) * r, x + (dx + 0.3) * r, y + (dy + 0.1) * r], fill=(180, 40, 40))
    return image.filter(ImageFilter.GaussianBlur(0.7))


def paint(folder, scenes, side):
    for n in range(scenes):
        original = scene(n, side, False)
        w, h = original.size
        versions = {
            "original": (original, "png", {"compress_level": 1}),
            "resized": (original.resize((int(w * 0.7), int(h * 0.7)), Image.LANCZOS), "jpg", {"quality": 90}),
            "quality": (original, "jpg", {"quality": 35}),
            "brighter": (ImageEnhance.Contrast(ImageEnhance.Brightness(original).enhance(1.12)).enhance(0.85), "jpg", {"quality": 90}),
            "crop": (original.crop((int(w * 0.06), int(h * 0.06), w, h)), "jpg", {"quality": 90}),
            "face": (scene(n, side, True), "jpg", {"quality": 90}),
        }
        for kind, (image, ending, options) in versions.items():
            image.save(folder / f"{n:04}_{kind}.{ending}", **options)


def ours(program, folder):
    done = subprocess.run(["taskset", "-c", "0", program, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    parts = ", ".join(f"{name} {value:.2f}" for name, value in report["milliseconds"].items())
    print(f"ours, milliseconds a picture: {parts}")
    called = [(a, b) for a, b, relation in report["pairs"] if relation in ("copy", "file", "pixels")]
    near = [(a, b) for a, b, _ in report["pairs"]]
    return report["seconds"], called, near


def by_imagehash(folder):
    import imagehash
    import numpy

    start = time.process_time()
    names, hashes = [], []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            hashes.append(numpy.packbits(imagehash.phash(image).hash.flatten()))
            names.append(path.name)
    bits = numpy.unpackbits(numpy.array(hashes), axis=1).astype(numpy.int16)
    apart = bits @ (1 - bits).T
    apart = apart + apart.T
    pairs = [(names[a], names[b]) for a, b in zip(*numpy.nonzero(apart <= 10)) if a < b]
    return time.process_time() - start, pairs, pairs


def by_imagededup(folder):
    from imagededup.methods import PHash

    start = time.process_time()
    method = PHash(verbose=False)
    # One by one: `encode_images` would give them to processes whose time is not ours.
    hashes = {path.name: method.encode_image(image_file=str(path)) for path in sorted(folder.iterdir())}
    found = method.find_duplicates(encoding_map=hashes, max_distance_threshold=10, num_dist_workers=0)
    pairs = list({tuple(sorted((name, other))) for name, others in found.items() for other in others})
    return time.process_time() - start, pairs, pairs


def judge(who, files, scenes, seconds, called, near):
    """`called`: pairs that it takes for copies; `near`: all pairs that it shows."""

    def kind(pair):
        (n, one), (m, two) = (pathlib.Path(name).stem.split("_") for name in pair)
        if n != m:
            return "strangers"
        return "copies" if {one, two} <= COPIES else "faces" if "face" in (one, two) else "crops"

    counts = {name: 0 for name in ("copies", "crops", "faces", "strangers")}
    for pair in called:
        counts[kind(pair)] += 1
    crops = sum(kind(pair) == "crops" for pair in near)
    wanted = scenes * len(COPIES) * (len(COPIES) - 1) // 2
    print(
        f"{who:11} {files / seconds:6.0f} pictures a second; copies: precision {counts['copies'] / max(len(called), 1):.4f}, "
        f"recall {counts['copies'] / wanted:.4f}; called copies wrongly: {counts['faces']} faces, {counts['crops']} crops, "
        f"{counts['strangers']} strangers; crops found: {crops} of {scenes * len(COPIES)}"
    )


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--scenes", type=int, default=200)
    args.add_argument("--side", type=int, default=1100)
    args.add_argument("--keep", type=pathlib.Path)
    args.add_argument("--program", default=str(ROOT / "target/debug/examples/duplicates"))
    args = args.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = args.keep or pathlib.Path(work) / "set"
        if not folder.exists():
            folder.mkdir(parents=True)
            paint(folder, args.scenes, args.side)
        files = len(list(folder.iterdir()))
        judge("ours", files, files // len(KINDS), *ours(args.program, folder))
        os.sched_setaffinity(0, {0})
        for who, find in [("imagehash", by_imagehash), ("imagededup", by_imagededup)]:
            try:
                result = find(folder)
            except ImportError as e:
                print(f"{who}: not installed ({e})")
                continue
            judge(who, files, files // len(KINDS), *result)


main()
