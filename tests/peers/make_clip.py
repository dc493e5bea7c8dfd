#!/usr/bin/env python3
"""Makes a small CLIP with both encoders with transformers in host/models/tests/data/encoders, and what it computes; and a head
that judges its embeddings in the layout of LAION's aesthetic predictors.

    python tests/peers/make_clip.py
"""
import json
import shutil

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPConfig, CLIPModel

from make_models import DATA, half, randomise
from make_vision import CLIP, prepared

WORDS = DATA / "sd2/tokenizer"
TEXTS = ["a photo of a cat", "", "red hair, blue eyes, smile"]
FEATURES = 24


def make():
    words = json.loads((WORDS / "vocab.json").read_text())
    start, end = words["<|startoftext|>"], words["<|endoftext|>"]
    config = CLIPConfig(
        projection_dim=FEATURES,
        text_config=dict(vocab_size=len(words), hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
                         bos_token_id=start, eos_token_id=end, pad_token_id=0),
        vision_config=dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=28, patch_size=7))
    net = randomise(CLIPModel(config), 6)
    folder = DATA / "encoders/tiny-clip"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    net.config.to_json_file(folder / "config.json")
    save_file(half({k: v for k, v in net.state_dict().items() if "position_ids" not in k}), folder / "model.safetensors")
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copyfile(WORDS / name, folder / name)

    from transformers import CLIPTokenizer
    tokenizer = CLIPTokenizer.from_pretrained(str(WORDS))
    pictures = torch.rand((2, 3, 36, 44), generator=torch.Generator().manual_seed(8))
    case = {"pictures": pictures}
    with torch.no_grad():
        seen = net.visual_projection(net.vision_model(pixel_values=prepared(pictures, True, 28, *CLIP)).pooler_output)
        case["pictures.embeds"] = seen
        for i, text in enumerate(TEXTS):
            ids = tokenizer(text, return_tensors="pt").input_ids
            case[f"text.{i}"] = net.text_projection(net.text_model(input_ids=ids).pooler_output)
    head = nn.Sequential(nn.Linear(FEATURES, 8), nn.Dropout(0.2), nn.Linear(8, 4), nn.Linear(4, 1)).eval()
    randomise(head, 7)
    folder = DATA / "aesthetics/tiny-head"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(half({f"layers.{k}": v for k, v in head.state_dict().items()}), folder / "model.safetensors")
    with torch.no_grad():
        case["scores"] = head(seen / seen.norm(dim=1, keepdim=True))
    save_file({k: v.contiguous() for k, v in case.items()}, DATA / "clip_outputs.safetensors")
    print({k: v.flatten()[:3].tolist() for k, v in case.items()})


if __name__ == "__main__":
    torch.set_num_threads(1)
    make()
