#!/usr/bin/env python3
"""Makes plugins/brisque/src/model.bin of the model that the package `brisque` carries, and golden.json beside it: what that
package computes of the pictures that the plugin's tests paint.

    python tests/peers/make_brisque.py

The ranges lie in a pickle. It is read as a list of opcodes and never executed.
"""
import array
import hashlib
import importlib.util
import json
import pathlib
import pickletools
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "plugins/brisque/src"
FEATURES = 36
# Of the file that the release calls `allmodel`.
SHA256 = "19526fb799c4c7992ccc109fcfecddb25976ba024b194cd3ee275d27e8909c8d"


def models():
    """The folder with the package's model, without running the package."""
    return pathlib.Path(importlib.util.find_spec("brisque").submodule_search_locations[0]) / "models"


def ranges():
    """Least and most of each feature."""
    opcodes = pickletools.genops((models() / "normalize.pickle").read_bytes())
    lists, strings = [], []
    for opcode, value, _ in opcodes:
        if opcode.name == "EMPTY_LIST":
            lists.append([])
        elif opcode.name == "BINFLOAT":
            lists[-1].append(value)
        elif isinstance(value, str):
            strings.append(value)
    assert strings == ["min_", "max_"] and [len(values) for values in lists] == [FEATURES] * 2, (strings, lists)
    return lists


def make_model():
    text = (models() / "svm.txt").read_bytes()
    assert hashlib.sha256(text).hexdigest() == SHA256, "another model than the release's"
    head, vectors = text.decode().split("\nSV\n")
    head = dict(line.split(" ", 1) for line in head.splitlines())
    assert (head["svm_type"], head["kernel_type"]) == ("epsilon_svr", "rbf"), head
    values = array.array("f", sum(ranges(), []) + [float(head["gamma"]), float(head["rho"])])
    lines = vectors.strip().splitlines()
    assert len(lines) == int(head["total_sv"])
    for line in lines:
        coefficient, *features = line.split()
        row = [0.0] * FEATURES
        for feature in features:
            index, value = feature.split(":")
            row[int(index) - 1] = float(value)
        values.extend([float(coefficient)] + row)
    if sys.byteorder == "big":
        values.byteswap()
    # The terms ask for the notice in all copies; so it lies in every build of the plugin, too.
    (OUT / "model.bin").write_bytes((OUT.parent / "NOTICE").read_bytes() + values.tobytes())
    print(f"{len(lines)} vectors, {4 * len(values)} bytes")


def noise(x, y, seed):
    """A number of 0…255 for each place."""
    n = (x * 374761393 + y * 668265263 + seed * 2246822519) & 0xFFFFFFFF
    n = ((n ^ (n >> 13)) * 1274126177) & 0xFFFFFFFF
    return (n ^ (n >> 16)) & 0xFF


def grey(width, height, kind):
    """The pictures of plugins/brisque/src/tests.rs, (h, w) of bytes."""
    import numpy

    def pixel(x, y):
        wave = abs((x * x // 9 + y * y // 17 + x * y // 11) % 256 - 128) + 60
        if kind == "grainy":
            return wave * 7 // 10 + noise(x, y, 1) // 8
        if kind == "smooth":
            return wave + noise(x, y, 2) // 64
        return sum(noise(x >> o, y >> o, o) * weight for o, weight in enumerate([1, 1, 2, 4, 6, 10])) // 24

    rows = [[min(pixel(x, y), 255) for x in range(width)] for y in range(height)]
    return numpy.array(rows, dtype=numpy.uint8)


def peer(picture, edges="repeated"):
    """Features and score of a grey picture (h, w) of bytes by the package.

    Its windows find zeros beyond the border; with `edges` as "repeated" they find what is at the border, as the release
    that trained the model has it. `BRISQUE.score` itself stops at arrays that newer numpy does not take for numbers, so that
    its steps are called one by one.
    """
    import numpy
    from brisque import brisque as package

    whole = package.signal.convolve2d

    def repeated(image, kernel, _mode):
        return whole(numpy.pad(image, kernel.shape[0] // 2, mode="edge"), kernel, "valid")

    model = package.BRISQUE()
    rgb = numpy.stack([picture] * 3, -1)
    values = package.skimage.color.rgb2gray(rgb)
    half = package.cv2.resize(values, None, fx=0.5, fy=0.5, interpolation=package.cv2.INTER_CUBIC)
    package.signal.convolve2d = repeated if edges == "repeated" else whole
    try:
        both = [model.calculate_brisque_features(image, 7, 7 / 6) for image in (values, half)]
    finally:
        package.signal.convolve2d = whole
    features = [float(numpy.ravel(value)[0]) for value in numpy.concatenate(both)]
    return features, model.calculate_image_quality_score(features)


def make_goldens():
    rows = []
    for kind, width, height in [("grainy", 96, 80), ("smooth", 64, 64), ("octaves", 128, 96)]:
        features, score = peer(grey(width, height, kind))
        rows.append({"kind": kind, "width": width, "height": height, "features": features, "score": score})
        print(f"{kind}: {score:.4f}")
    lines = [json.dumps(row) for row in rows]
    (OUT / "golden.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    make_model()
    make_goldens()
