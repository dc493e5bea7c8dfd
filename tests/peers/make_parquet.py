#!/usr/bin/env python3
"""Makes the Parquet files of sdk/columns/samples with pyarrow.

    python tests/peers/make_parquet.py
"""
import hashlib
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

OUT = pathlib.Path(__file__).resolve().parents[2] / "sdk/columns/samples"
PICTURES = pathlib.Path(__file__).resolve().parents[2] / "examples/datasets/ohwx-character"


def rows():
    """Five rows with all that a reader has to take or to leave."""
    box = pa.struct([("bbox", pa.list_(pa.list_(pa.float32()))), ("id", pa.list_(pa.int64()))])
    objects = [{"bbox": [[1.0, 2.0], []], "id": [1, 2]}, None, {"bbox": None, "id": []}, {"bbox": [], "id": None}, None]
    return pa.table({
        "n": pa.array([1, 2, None, 4, 5], pa.int64()),
        "objects": pa.array(objects, box),
        "file_name": pa.array(["a/1.png", "2.png", "3.png", "ä4.png", "5.png"]),
        "text": pa.array(["A girl waits in the rain.", "hat, coat", None, "hat, coat", ""]),
        "tags": pa.array([["hat", "red coat"], [], None, ["sea", None], ["hat"]], pa.list_(pa.string())),
        "size": pa.array([0.5] * 5, pa.float64()),
    })


def main():
    OUT.mkdir(exist_ok=True)

    def write(name, table, **options):
        pq.write_table(table, OUT / f"{name}.parquet", **options)

    write("plain", rows(), compression="none", use_dictionary=False)
    write("snappy", rows(), compression="snappy", row_group_size=2)
    write("gzip", rows(), compression="gzip", data_page_version="2.0")
    write("zstd", rows(), compression="zstd")
    write("delta", rows(), compression="none", use_dictionary=False, column_encoding={"text": "DELTA_BYTE_ARRAY"})
    # Many pages, a dictionary that grows too large and is given up, lists across pages.
    count = 1200
    text = [None if n % 7 == 0 else f"caption {n % 50}" for n in range(count)]
    names = [f"{hashlib.sha256(str(n).encode()).hexdigest()[:4]}-{n}.png" for n in range(count)]
    tags = [[f"tag {k}" for k in range(n % 4)] for n in range(count)]
    many = pa.table({"file_name": names, "text": text, "tags": tags})
    write("many", many, compression="snappy", row_group_size=450, data_page_size=256, write_batch_size=64,
          dictionary_pagesize_limit=2048)
    names = ["001", "002"]
    image = [{"bytes": (PICTURES / f"{n}.png").read_bytes(), "path": f"{n}.png"} for n in names]
    image.append({"bytes": None, "path": "elsewhere.png"})
    text = [(PICTURES / f"{n}.txt").read_text().strip() for n in names] + ["gone"]
    write("images", pa.table({"image": image, "text": text}), compression="snappy", row_group_size=2)


if __name__ == "__main__":
    main()
