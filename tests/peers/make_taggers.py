#!/usr/bin/env python3
"""Makes small taggers with timm in host/models/tests/data, and what it computes with them.

    python tests/peers/make_taggers.py

A ViT as the WD v3 taggers are, one with a class and the exact GELU, and an EVA-02.
"""
import json

import timm
import torch
from safetensors.torch import save_file

from make_models import DATA, half, randomise

SIZES = dict(img_size=24, patch_size=8, embed_dim=32, depth=2)
KINDS = {
    "vit": ("vit_tiny_patch16_224", dict(num_heads=2, mlp_ratio=3.0, class_token=False, global_pool="avg", fc_norm=False, act_layer="gelu_tanh")),
    "vit_class": ("vit_tiny_patch16_224", dict(num_heads=4, global_pool="token")),
    "eva02": ("eva02_large_patch14_448", dict(num_heads=2, ref_feat_shape=[5, 5])),
}


def make(kind, seed):
    name, own = KINDS[kind]
    args = {**SIZES, **own}
    net = randomise(timm.create_model(name, num_classes=7, **args), seed)
    folder = DATA / f"tagger_{kind}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"architecture": name, "num_classes": 7, "model_args": args}) + "\n")
    weights = {k: v for k, v in net.state_dict().items() if k in dict(net.named_parameters())}
    save_file(half(weights), folder / "model.safetensors")
    pictures = (torch.rand((2, 24, 24, 3), generator=torch.Generator().manual_seed(seed)) * 255).round()
    with torch.no_grad():
        scores = torch.sigmoid(net(pictures.permute(0, 3, 1, 2) / 127.5 - 1.0))
    save_file({"pictures": pictures, "scores": scores.contiguous()}, DATA / f"tagger_{kind}_outputs.safetensors")
    print(kind, [round(float(s), 3) for s in scores.flatten()])


if __name__ == "__main__":
    torch.set_num_threads(1)
    for seed, kind in enumerate(KINDS):
        make(kind, seed + 1)
