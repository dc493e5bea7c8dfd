#!/usr/bin/env python3
"""Makes small vision encoders with transformers in host/models/tests/data, and what it computes with them; a Flux.1 Redux;
and what diffusers' Flux.1 computes with a picture beside the noisy one.

    python tests/peers/make_vision.py

CLIP's encoder is there as a folder and as a file in OpenAI's names, SigLIP's as a folder.
"""

import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import save_file
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, SiglipVisionConfig, SiglipVisionModel

from make_models import DATA, REPOSITORY, half, randomise

CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
SIGLIP = ([0.5] * 3, [0.5] * 3)
# 16 heads, as a file without a config is read.
SIZES = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=16, image_size=28, patch_size=7)


def prepared(picture, crop, side, mean, spread):
    """A picture (1, 3, h, w) of 0…1 as the encoder was trained on it."""
    h, w = picture.shape[2:]
    scale = side / min(h, w)
    size = (round(h * scale), round(w * scale)) if crop else (side, side)
    picture = functional.interpolate(picture, size=size, mode="bicubic", antialias=True)
    top, left = (picture.shape[2] - side) // 2, (picture.shape[3] - side) // 2
    picture = (picture[:, :, top:top + side, left:left + side] * 255).clamp(0, 255).round() / 255
    return (picture - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(spread).view(3, 1, 1)


def openai_name(name):
    name = name.removeprefix("vision_model.")
    for new, old in [
        ("embeddings.class_embedding", "class_embedding"), ("embeddings.patch_embedding.", "conv1."),
        ("embeddings.position_embedding.weight", "positional_embedding"), ("pre_layrnorm", "ln_pre"),
        ("post_layernorm", "ln_post"), ("encoder.layers.", "transformer.resblocks."), ("layer_norm1", "ln_1"),
        ("layer_norm2", "ln_2"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"), ("self_attn.out_proj", "attn.out_proj"),
    ]:
        name = name.replace(new, old)
    return "visual." + name


def openai(weights):
    made = {"visual.proj": weights["visual_projection.weight"].T.contiguous()}
    for name, value in weights.items():
        if name == "visual_projection.weight" or ".k_proj." in name or ".v_proj." in name:
            continue
        if ".q_proj." in name:
            value = torch.cat([weights[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")])
            leaf = name.rsplit(".", 1)[1]
            made[openai_name(name.split("self_attn")[0]) + f"attn.in_proj_{leaf}"] = value
        else:
            made[openai_name(name)] = value
    return made


def make(kind, net, normal, seed):
    randomise(net, seed)
    folder = DATA / f"vision_{kind}"
    folder.mkdir(parents=True, exist_ok=True)
    net.config.to_json_file(folder / "config.json")
    weights = half({k: v for k, v in net.state_dict().items() if "position_ids" not in k})
    save_file(weights, folder / "model.safetensors")
    if kind == "clip":
        save_file(openai(weights), DATA / "vision_clip_openai.safetensors")
    picture = torch.rand((1, 3, 40, 52), generator=torch.Generator().manual_seed(seed))
    case = {"picture": picture}
    for crop in (True, False):
        pixels = prepared(picture, crop, SIZES["image_size"], *normal)
        with torch.no_grad():
            out = net(pixel_values=pixels, output_hidden_states=True)
        name = "center" if crop else "none"
        case[f"{name}.last"], case[f"{name}.penultimate"] = out.last_hidden_state, out.hidden_states[-2]
        if kind == "clip":
            case[f"{name}.embeds"] = out.image_embeds
    save_file({k: v.contiguous() for k, v in case.items()}, DATA / f"vision_{kind}_outputs.safetensors")
    print(kind, {k: tuple(v.shape) for k, v in case.items()})
    return case


def make_redux(states):
    up, down = torch.nn.Linear(32, 24), torch.nn.Linear(24, 40)
    net = randomise(torch.nn.ModuleDict({"redux_up": up, "redux_down": down}), 5)
    save_file(half(net.state_dict()), DATA / "redux.safetensors")
    with torch.no_grad():
        text = down(functional.silu(up(states)))
    save_file({"states": states.contiguous(), "text": text}, DATA / "redux_outputs.safetensors")


def make_flux():
    net = FluxTransformer2DModel.from_pretrained(REPOSITORY / "tests/reference/models/flux/transformer").eval().float()
    random = torch.Generator().manual_seed(11)
    draw = lambda *shape: torch.randn(shape, generator=random)
    c = net.config.in_channels // 4
    case = {"x": draw(1, c, 6, 8), "reference": draw(1, c, 8, 4), "context": draw(1, 5, net.config.joint_attention_dim),
            "pooled": draw(1, net.config.pooled_projection_dim), "sigma": torch.tensor([0.6]), "guidance": torch.tensor([2.5])}

    def tokens(x, axis):
        b, c, h, w = x.shape
        packed = x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h // 2 * (w // 2), 4 * c)
        ids = torch.zeros(h // 2, w // 2, 3)
        ids[..., 0] = axis
        ids[..., 1] += torch.arange(h // 2)[:, None]
        ids[..., 2] += torch.arange(w // 2)[None, :]
        return packed, ids.reshape(-1, 3)

    (x, at), (beside, beside_at) = tokens(case["x"], 0), tokens(case["reference"], 1)
    with torch.no_grad():
        out = net(hidden_states=torch.cat([x, beside], 1), img_ids=torch.cat([at, beside_at]), timestep=case["sigma"],
                  guidance=case["guidance"] if net.config.guidance_embeds else None, pooled_projections=case["pooled"],
                  encoder_hidden_states=case["context"], txt_ids=torch.zeros(5, 3)).sample[:, :x.shape[1]]
    case["output"] = out.reshape(1, 3, 4, c, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(1, c, 6, 8)
    save_file({k: v.contiguous() for k, v in case.items()}, DATA / "flux_beside_outputs.safetensors")
    print("flux", float(out.abs().max()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    clip = CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=24, hidden_act="quick_gelu", **SIZES))
    make("clip", clip, CLIP, 1)
    siglip = make("siglip", SiglipVisionModel(SiglipVisionConfig(**SIZES)), SIGLIP, 2)
    make_redux(siglip["center.last"])
    make_flux()
