#!/usr/bin/env python3
"""Makes a small BLIP with transformers in host/models/tests/data/captioners, and what it writes.

    python tests/peers/make_blip.py

The vocabulary is a few words and letters, the weights are random: what it writes means nothing.
"""
import json
import shutil

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch.nn import functional
from transformers import BlipConfig, BlipForConditionalGeneration

from make_models import DATA, half, randomise

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]
WORDS = """a an the of on in with and is are red blue green grey small large cat dog hat tree house man woman girl boy sky sea
night day photo photography picture painting drawing sitting standing looking holding two three , . ' -""".split()
LETTERS = list("abcdefghijklmnopqrstuvwxyz0123456789")
MEAN, SPREAD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
SIDE = 32


def tokenizer():
    pieces = list(dict.fromkeys(SPECIAL + WORDS + LETTERS + [f"##{c}" for c in LETTERS] + ["##ing", "##s"]))
    made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, pieces.index(name)) for name in ("[CLS]", "[SEP]")])
    made.add_special_tokens(SPECIAL)
    return made


def prepared(picture):
    """A picture (1, 3, h, w) of 0…1 as the vision encoder was trained on it."""
    picture = functional.interpolate(picture, size=(SIDE, SIDE), mode="bicubic", antialias=True)
    picture = (picture * 255).clamp(0, 255).round() / 255
    return (picture - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(SPREAD).view(3, 1, 1)


def make():
    words = tokenizer()
    id = words.token_to_id
    ids = dict(bos_token_id=id("[DEC]"), eos_token_id=2, pad_token_id=0, sep_token_id=id("[SEP]"))
    config = BlipConfig(
        vision_config=dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=SIDE, patch_size=8),
        text_config=dict(hidden_size=24, encoder_hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
                         vocab_size=words.get_vocab_size(), max_position_embeddings=40, **ids),
        projection_dim=16, image_text_hidden_size=16)
    net = randomise(BlipForConditionalGeneration(config), 4)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "LayerNorm.weight" in name:
                p.add_(1).copy_(p.half().float())
            # So that what is written depends on the picture and on the words before.
            if "crossattention" in name and name.endswith("value.weight") or "transform.dense.weight" in name:
                p.mul_(4)
        net.text_decoder.bert.embeddings.position_embeddings.weight.mul_(2)
        net.text_decoder.cls.predictions.bias[words.token_to_id("[SEP]")] = 0.5
    net.tie_weights()
    folder = DATA / "captioners/tiny-blip"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    net.config.to_json_file(folder / "config.json")
    words.save(str(folder / "tokenizer.json"))
    weights = net.state_dict()
    same = {"text_decoder.cls.predictions.decoder.weight": "text_decoder.bert.embeddings.word_embeddings.weight",
            "text_decoder.cls.predictions.decoder.bias": "text_decoder.cls.predictions.bias"}
    for copy, of in same.items():
        assert torch.equal(weights[copy], weights[of]), copy
    save_file(half({k: v for k, v in weights.items() if k not in same and "position_ids" not in k}), folder / "model.safetensors")

    generator = torch.Generator().manual_seed(9)
    pictures = torch.rand((2, 3, 20, 28), generator=generator)
    texts, tensors = [], {"pictures": pictures}
    with torch.no_grad():
        for i, prompt, more in [
            (0, "", {}), (1, "", {}), (0, "a photography of", {}), (1, "A Picture of the hats", {"min_new_tokens": 12}),
            (0, "", {"repetition_penalty": 1.5, "min_new_tokens": 12}),
        ]:
            seen = prepared(pictures[i:i + 1])
            start = words.encode(prompt).ids if prompt else [ids["bos_token_id"], ids["eos_token_id"]]
            start = torch.tensor([start])
            out = net.generate(seen, start.clone(), max_new_tokens=14, do_sample=False, num_beams=1, **more)[0].tolist()
            given = start[:, :-1].clone()
            given[:, 0] = ids["bos_token_id"]
            logits = net.text_decoder(torch.tensor([out]), encoder_hidden_states=net.vision_model(seen)[0]).logits[0]
            case = dict(picture=i, prompt=prompt, tokens=out, given=given.shape[1], text=words.decode(out), **more)
            tensors[f"logits.{len(texts)}"] = logits.contiguous()
            texts.append(case)
            print(case)
    (DATA / "blip_outputs.json").write_text(json.dumps(texts, indent=1) + "\n")
    save_file(tensors, DATA / "blip_outputs.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    make()
