#!/usr/bin/env python3
# needs: PIL
"""Finding duplicates: precision, recall and pictures a second on a painted set, beside imagehash if it is installed.

    bench_duplicates.py [--scenes 200] [--side 1100] [--keep FOLDER] [--program target/debug/anagama]

Each scene is there six times: as PNG, resized to 70 %, as JPEG of quality 35, brighter and paler, cropped by 6 % at two
sides, and with another face. Time is the process's own (user + system) on one core, reading and decoding of files included;
the import, which decodes each picture too, is measured by a run without looking for duplicates.
"""
import argparse
import json
import pathlib
import random
import resource
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


def ours(program, folder, out):
    """The clusters, and CPU seconds of the import and of what finds duplicates."""
    nodes = {"1": {"class_type": "anagama.folder-source", "inputs": {"folder": str(folder), "captions": "ignore"}}}
    report = {"2": {"class_type": "DatasetReport", "inputs": {"dataset": ["1", 0]}}}
    duplicates = {"2": {"class_type": "MarkDuplicates", "inputs": {"dataset": ["1", 0], "filename": "duplicates.json"}}}
    (out / "a.toml").write_text(f"plugins = [{json.dumps(str(ROOT / 'target/plugins'))}]\n")
    imported = run(program, {**nodes, **report}, out, "first")
    both = run(program, {**nodes, **duplicates}, out, "second")
    return json.loads((out / "out/duplicates.json").read_text()), imported, both - imported


def run(program, workflow, out, store):
    """CPU seconds of one run with a store of its own, on one core."""
    (out / "w.json").write_text(json.dumps(workflow))
    call = ["taskset", "-c", "0", program, "run", out / "w.json", "--config", out / "a.toml", "--out", out / "out", "--store", out / store]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([str(c) for c in call], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout + done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def judge(clusters):
    """Counts by what each picture was called, against what it is."""
    counts = {}
    for cluster in clusters:
        number = cluster["best"].split("_")[0]
        for other in cluster["others"]:
            n, kind = pathlib.Path(other["id"]).stem.split("_")
            key = (kind if n == number else "stranger", other["relation"])
            counts[key] = counts.get(key, 0) + 1
    return counts


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--scenes", type=int, default=200)
    args.add_argument("--side", type=int, default=1100)
    args.add_argument("--keep", type=pathlib.Path)
    args.add_argument("--program", default=str(ROOT / "target/debug/anagama"))
    args = args.parse_args()
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        folder = args.keep or work / "set"
        if not folder.exists():
            folder.mkdir(parents=True)
            paint(folder, args.scenes, args.side)
        clusters, imported, seconds = ours(args.program, folder, work)
        files = len(list(folder.iterdir()))
        counts = judge(clusters)
        for (kind, relation), n in sorted(counts.items()):
            print(f"{kind:9} called {relation:8} {n}")
        copies = sum(n for (kind, relation), n in counts.items() if relation in ("copy", "file", "pixels"))
        right = sum(n for (kind, relation), n in counts.items() if kind in COPIES and relation in ("copy", "file", "pixels"))
        faces = sum(n for (kind, relation), n in counts.items() if kind == "face" and relation == "copy")
        all_copies = args.scenes * (len(COPIES) - 1)
        print(f"copies: precision {right / max(copies, 1):.4f}, recall {right / all_copies:.4f}; faces called copies: {faces}")
        print(f"ours: {files} pictures in {seconds:.1f} CPU s: {files / seconds:.0f} a second; {imported:.1f} s more for the import")
        try:
            import imagehash
        except ImportError:
            print("imagehash is not installed")
            return
        start = time.process_time()
        for path in folder.iterdir():
            with Image.open(path) as image:
                imagehash.phash(image), imagehash.dhash(image)
        seconds = time.process_time() - start
        print(f"imagehash: {files} pictures in {seconds:.1f} CPU s: {files / seconds:.0f} a second")


main()
