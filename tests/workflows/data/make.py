#!/usr/bin/env python3
"""Makes the broken files of this folder, with nothing but the standard library. Run in this folder."""
import json
import pathlib
import shutil
import struct
import zipfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
CHARACTER = HERE.parents[2] / "examples/datasets/ohwx-character"


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def safetensors(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


for n in ("001", "002", "003"):
    shutil.copyfile(CHARACTER / f"{n}.png", HERE / "pictures" / f"{n}.png")
    shutil.copyfile(CHARACTER / f"{n}.txt", HERE / "pictures" / f"{n}.txt")
shutil.copyfile(CHARACTER / "001.png", HERE / "no-caption/001.png")
shutil.copyfile(CHARACTER / "001.txt", HERE / "no-caption/001.txt")
shutil.copyfile(CHARACTER / "002.png", HERE / "no-caption/left-alone.png")

whole = (CHARACTER / "001.png").read_bytes()
(HERE / "truncated/cut-off.png").write_bytes(whole[: len(whole) // 3])
(HERE / "truncated/cut-off.txt").write_text("ohwx")
# The header promises 60,000 × 60,000 pixels, 10.8 GB; the file has a few bytes.
(HERE / "huge/huge.png").write_bytes(png(60_000, 60_000, b"\0" * 100))
(HERE / "huge/huge.txt").write_text("ohwx")

checkpoints, loras, embeddings = (HERE / "models" / kind for kind in ("checkpoints", "loras", "embeddings"))
# A header that says it is longer than the file.
(checkpoints / "header-longer-than-file.safetensors").write_bytes(struct.pack("<Q", 1 << 40) + b"{}")
# A tensor whose bytes lie beyond the end.
lying = {"model.diffusion_model.input_blocks.0.0.weight": {"dtype": "F32", "shape": [320, 4, 3, 3], "data_offsets": [0, 46080]}}
(checkpoints / "offsets-beyond-end.safetensors").write_bytes(safetensors(lying, b"\0" * 16))
with zipfile.ZipFile(checkpoints / "pickle.ckpt", "w") as z:
    z.writestr(zipfile.ZipInfo("archive/data.pkl"), b"\x80\x02}q\x00.")
# A LoRA whose modules no model of ours has.
strange = {
    f"lora_unet_left_blocks_0_attn.{part}": {"dtype": "F32", "shape": shape, "data_offsets": [a, b]}
    for part, shape, a, b in (("lora_down.weight", [1, 4], 0, 16), ("lora_up.weight", [4, 1], 16, 32), ("alpha", [], 32, 36))
}
(loras / "strange.safetensors").write_bytes(safetensors(strange, b"\0" * 36))

# An embedding whose vectors have features of no encoder, and one that is a pickle.
wide = {"emb_params": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
(embeddings / "wide.safetensors").write_bytes(safetensors(wide, b"\0" * 24))
with zipfile.ZipFile(embeddings / "old.pt", "w") as z:
    z.writestr(zipfile.ZipInfo("archive/data.pkl"), b"\x80\x02}q\x00.")
