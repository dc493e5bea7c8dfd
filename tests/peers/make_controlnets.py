#!/usr/bin/env python3
"""Makes the small ControlNets of host/models/tests/data with diffusers, and what it computes with them.

    python tests/peers/make_controlnets.py

For the reference's SD 1.5 and SDXL: a folder, for SD 1.5 also a single file in the original code's names; the residuals
for a picture, and the UNet's prediction with 0.7 of them. And T2I-Adapters: a full one for each, for SD 1.5 also in the
original code's names, and a light one.
"""

import torch
from diffusers import ControlNetModel, T2IAdapter, UNet2DConditionModel
from safetensors.torch import save_file

from make_models import DATA, REPOSITORY, half, original_unet_name, randomise

REFERENCE = REPOSITORY / "tests/reference/models"


def original_name(name):
    """diffusers → the original code."""
    begin = "controlnet_cond_embedding."
    if name.startswith(begin):
        rest = name[len(begin):]
        if rest.startswith("conv_in."):
            return "input_hint_block.0." + rest[len("conv_in."):]
        if rest.startswith("conv_out."):
            return "input_hint_block.14." + rest[len("conv_out."):]
        _, n, rest = rest.split(".", 2)
        return f"input_hint_block.{2 * int(n) + 2}.{rest}"
    if name.startswith("controlnet_down_blocks."):
        _, n, rest = name.split(".", 2)
        return f"zero_convs.{n}.0.{rest}"
    if name.startswith("controlnet_mid_block."):
        return "middle_block_out.0." + name[len("controlnet_mid_block."):]
    return original_unet_name(name)


def original_adapter_name(name):
    level, _, rest = name.removeprefix("body.").partition(".") if name.startswith("body.") else ("", "", name)
    if not level:
        return name
    if rest.startswith("resnets."):
        _, block, rest = rest.split(".", 2)
        return f"body.{2 * int(level) + int(block)}.{rest}"
    return f"body.{2 * int(level)}.{rest}"


def make_adapter(family, kind, seed):
    unet = UNet2DConditionModel.from_pretrained(REFERENCE / family / "unet").eval()
    c = unet.config
    # The light kind adds a last level of the same width by itself.
    channels = [*c.block_out_channels, c.block_out_channels[-1]][:3 if kind == "light_adapter" else 4]
    net = randomise(T2IAdapter(3, channels, 2, 16 if kind == "full_adapter_xl" else 8, kind), seed)
    weights = half(net.state_dict())
    name = f"adapter_{family}_{kind.split('_')[0]}"
    save_file(weights, DATA / f"{name}.safetensors")
    if kind == "full_adapter":
        old = {original_adapter_name(k.removeprefix("adapter.")): v for k, v in weights.items()}
        save_file(old, DATA / f"{name}_original.safetensors")
    random = torch.Generator().manual_seed(seed + 1)
    draw = lambda *shape: torch.randn(shape, generator=random)
    case = {"sample": draw(2, 4, 8, 16), "timesteps": torch.tensor([7.0, 501.0]),
            "encoder_hidden_states": draw(2, 5, c.cross_attention_dim),
            "picture": torch.rand((1, 3, 64, 128), generator=random)}
    added = {}
    if c.addition_embed_type:
        pooled = c.projection_class_embeddings_input_dim - 6 * c.addition_time_embed_dim
        case["text_embeds"] = draw(2, pooled)
        case["time_ids"] = torch.tensor([[64.0, 128, 0, 8, 64, 128]] * 2)
        added = {"added_cond_kwargs": {k: case[k] for k in ("text_embeds", "time_ids")}}
    with torch.no_grad():
        say = (case["sample"], case["timesteps"], case["encoder_hidden_states"])
        features = [0.7 * f.repeat(2, 1, 1, 1) for f in net(case["picture"])]
        case["plain"] = unet(*say, **added).sample
        case["controlled"] = unet(*say, down_intrablock_additional_residuals=features, **added).sample
    save_file({k: v.contiguous() for k, v in case.items()}, DATA / f"{name}_outputs.safetensors")
    print(name, float((case["plain"] - case["controlled"]).abs().max()))


def make(family, seed):
    unet = UNet2DConditionModel.from_pretrained(REFERENCE / family / "unet").eval()
    c = unet.config
    net = ControlNetModel(
        down_block_types=c.down_block_types, block_out_channels=c.block_out_channels, layers_per_block=c.layers_per_block,
        # As a file without a config is read: 8 heads, and as many groups as fit.
        norm_num_groups=4, attention_head_dim=8 if family == "sd15" else c.attention_head_dim,
        cross_attention_dim=c.cross_attention_dim, transformer_layers_per_block=c.transformer_layers_per_block,
        use_linear_projection=c.use_linear_projection, addition_embed_type=c.addition_embed_type,
        addition_time_embed_dim=c.addition_time_embed_dim,
        projection_class_embeddings_input_dim=c.projection_class_embeddings_input_dim,
        conditioning_embedding_out_channels=(4, 8, 12, 16))
    randomise(net, seed)
    folder = DATA / f"controlnet_{family}"
    folder.mkdir(parents=True, exist_ok=True)
    net.save_config(folder)
    weights = half(net.state_dict())
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")
    if family == "sd15":
        save_file({"control_model." + original_name(k): v for k, v in weights.items()}, DATA / f"controlnet_{family}_single.safetensors")

    random = torch.Generator().manual_seed(seed + 1)
    draw = lambda *shape: torch.randn(shape, generator=random)
    case = {"sample": draw(2, 4, 8, 12), "timesteps": torch.tensor([7.0, 501.0]),
            "encoder_hidden_states": draw(2, 5, c.cross_attention_dim),
            "picture": torch.rand((2, 3, 64, 96), generator=random)}
    added = {}
    if c.addition_embed_type:
        pooled = c.projection_class_embeddings_input_dim - 6 * c.addition_time_embed_dim
        case["text_embeds"] = draw(2, pooled)
        case["time_ids"] = torch.tensor([[64.0, 96, 0, 8, 64, 96]] * 2)
        added = {"added_cond_kwargs": {k: case[k] for k in ("text_embeds", "time_ids")}}
    with torch.no_grad():
        say = (case["sample"], case["timesteps"], case["encoder_hidden_states"])
        down, middle = net(*say, controlnet_cond=case["picture"], return_dict=False, **added)
        case |= {f"skip.{i}": t for i, t in enumerate(down)} | {"middle": middle}
        case["plain"] = unet(*say, **added).sample
        case["controlled"] = unet(*say, down_block_additional_residuals=[0.7 * t for t in down],
                                  mid_block_additional_residual=0.7 * middle, **added).sample
    save_file({k: v.contiguous() for k, v in case.items()}, DATA / f"controlnet_{family}_outputs.safetensors")
    print(family, len(down), float((case["plain"] - case["controlled"]).abs().max()))


if __name__ == "__main__":
    make("sd15", 21)
    make("sdxl", 22)
    make_adapter("sd15", "full_adapter", 31)
    make_adapter("sd15", "light_adapter", 32)
    make_adapter("sdxl", "full_adapter_xl", 33)
