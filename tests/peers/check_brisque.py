#!/usr/bin/env python3
# needs: brisque cv2 skimage libsvm numpy PIL
"""BRISQUE's features and scores of the plugin beside those of the package `brisque`, on the same grey pictures.

    check_brisque.py [PICTURE…]

Without pictures: painted ones with grain, and copies of them blurred, noisy and compressed as JPEG. All features must agree
within 1e-7, of their size where that is above 1, and scores within 1e-3, where the package's windows find the border repeated
beyond the picture, as in the authors' release that trained the model. What it computes without that, with zeros beyond the
border, is printed beside. Two more differences are not met here: the plugin takes greys after BT.601, rounded to bytes, as the
release does, where the package takes BT.709's; and pixels of flat areas, whose normalised value is 0, count on neither side
of a fit, as in the release, where the package counts what rounding leaves of them. So each picture gets a grain of one
grey level.
"""
import io
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
from PIL import Image, ImageFilter

from make_brisque import ROOT, grey, noise, peer


def pictures(paths):
    if paths:
        for path in paths:
            yield pathlib.Path(path).name, Image.open(path).convert("L")
        return
    for kind in ["grainy", "octaves"]:
        image = Image.fromarray(grey(256, 192, kind))
        yield kind, image
        yield f"{kind}, blurred", image.filter(ImageFilter.GaussianBlur(1.5))
        rng = numpy.random.default_rng(1)
        rough = numpy.asarray(image) + rng.normal(0, 20, (192, 256))
        yield f"{kind}, noisy", Image.fromarray(rough.clip(0, 255).astype(numpy.uint8))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=15)
        yield f"{kind}, JPEG", Image.open(stream).convert("L")


def with_grain(image):
    """Of even sizes: halves of odd ones are rounded in other ways."""
    values = numpy.asarray(image).astype(int)
    values = values[: values.shape[0] // 2 * 2, : values.shape[1] // 2 * 2]
    grain = [[noise(x, y, 5) & 1 for x in range(values.shape[1])] for y in range(values.shape[0])]
    return (values + numpy.array(grain)).clip(0, 255).astype(numpy.uint8)


def main():
    rows = [(name, with_grain(image)) for name, image in pictures(sys.argv[1:])]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, (_, picture) in enumerate(rows):
            files.append(pathlib.Path(folder) / f"{number}.pgm")
            Image.fromarray(picture).save(files[-1])
        command = ["cargo", "run", "--quiet", "--package", "brisque", "--example", "features", "--", *files]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    ours = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ours) == len(rows)
    worst = 0.0
    for (name, picture), found in zip(rows, ours):
        features, score = peer(picture)
        # Shapes end at 10 in the release; the package's do not.
        if max(features[0], features[18]) > 10:
            print(f"{name:20} not compared: its shape is above 10")
            continue
        off = max(abs(a - b) / max(1, abs(b)) for a, b in zip(found["features"], features))
        _, zeros = peer(picture, "zeros")
        print(f"{name:20} ours {found['score']:9.4f}  package {score:9.4f}  features within {off:.1e}; zeros beyond the border: {zeros:.2f}")
        worst = max(worst, off / 1e-7, abs(found["score"] - score) / 1e-3)
    assert worst < 1, "differs by more than rounding explains"


if __name__ == "__main__":
    main()
