#!/usr/bin/env python3
"""Makes the small models and outputs of host/models/tests/data with diffusers and transformers.

    python tests/peers/make_models.py

SD 2.x: a folder and a single file (the original code's names, OpenCLIP's text encoder with its last layer), and what
diffusers computes with them. TAESD: a decoder in diffusers' names and in the original code's, and its picture.
"""

import json
import pathlib
import shutil

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
DATA = REPOSITORY / "host/models/tests/data"
TOKENIZER = REPOSITORY / "tests/reference/models/sd15/tokenizer"


def randomise(model, seed):
    """Values that half precision holds, so that files are small and exact."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = 0.1 if p.ndim < 2 else 0.7 / p[0].numel() ** 0.5
            value = torch.randn(p.shape, generator=generator) * scale
            if "norm" in name and name.endswith("weight"):
                value = value + 1
            p.copy_(value.half().float())
    return model.eval()


def half(tensors):
    return {k: v.half().contiguous() if v.is_floating_point() else v for k, v in tensors.items()}


def original_unet_name(name):
    """diffusers → the original code, for a UNet with two residual blocks a level and attention at all but the last."""
    for new, old in [
        ("time_embedding.linear_1", "time_embed.0"), ("time_embedding.linear_2", "time_embed.2"),
        ("conv_in", "input_blocks.0.0"), ("conv_norm_out", "out.0"), ("conv_out", "out.2"),
        ("mid_block.attentions.0", "middle_block.1"), ("mid_block.resnets.0", "middle_block.0"),
        ("mid_block.resnets.1", "middle_block.2"),
    ]:
        if name.startswith(new + "."):
            name = old + name[len(new):]
    parts = name.split(".")
    if parts[0] in ("down_blocks", "up_blocks"):
        level, kind, j, rest = int(parts[1]), parts[2], int(parts[3]), ".".join(parts[4:])
        if parts[0] == "down_blocks":
            place = {"resnets": (3 * level + j + 1, 0), "attentions": (3 * level + j + 1, 1),
                     "downsamplers": (3 * level + 3, 0)}[kind]
            rest = rest.replace("conv.", "op.") if kind == "downsamplers" else rest
            name = f"input_blocks.{place[0]}.{place[1]}.{rest}"
        else:
            place = {"resnets": (3 * level + j, 0), "attentions": (3 * level + j, 1),
                     "upsamplers": (3 * level + 2, 2 if level else 1)}[kind]
            name = f"output_blocks.{place[0]}.{place[1]}.{rest}"
    for new, old in [("norm1.", "in_layers.0."), ("conv1.", "in_layers.2."), ("time_emb_proj.", "emb_layers.1."),
                     ("norm2.", "out_layers.0."), ("conv2.", "out_layers.3."), ("conv_shortcut.", "skip_connection.")]:
        if "transformer_blocks" not in name:
            name = name.replace(new, old)
    return name


def original_vae_name(name, levels):
    name = name.replace("mid_block.attentions.0.group_norm", "mid.attn_1.norm")
    for new, old in [("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")]:
        name = name.replace(f"mid_block.attentions.0.{new}", f"mid.attn_1.{old}")
    name = name.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    parts = name.split(".")
    if len(parts) > 3 and parts[1] in ("down_blocks", "up_blocks"):
        level = int(parts[2]) if parts[1] == "down_blocks" else levels - 1 - int(parts[2])
        kind = {"resnets": f"block.{parts[4]}", "downsamplers": "downsample", "upsamplers": "upsample"}[parts[3]]
        name = ".".join([parts[0], parts[1].removesuffix("_blocks"), str(level), kind, *parts[5:]])
    return name


def open_clip(state, layers):
    """transformers' CLIP → OpenCLIP, `state` with one layer more than the folder's encoder."""
    state = {k.removeprefix("text_model."): v for k, v in state.items()}
    out = {"positional_embedding": state["embeddings.position_embedding.weight"],
           "token_embedding.weight": state["embeddings.token_embedding.weight"],
           "ln_final.weight": state["final_layer_norm.weight"], "ln_final.bias": state["final_layer_norm.bias"],
           "text_projection": torch.eye(state["final_layer_norm.bias"].numel()), "logit_scale": torch.tensor(4.6)}
    for i in range(layers):
        old, new = f"encoder.layers.{i}", f"transformer.resblocks.{i}"
        for leaf in ("weight", "bias"):
            qkv = [state[f"{old}.self_attn.{p}_proj.{leaf}"] for p in "qkv"]
            out[f"{new}.attn.in_proj_{leaf}"] = torch.cat(qkv)
            for a, b in [("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"),
                         ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")]:
                out[f"{new}.{b}.{leaf}"] = state[f"{old}.{a}.{leaf}"]
    return out


def text_model(layers):
    config = CLIPTextConfig(vocab_size=1014, hidden_size=24, intermediate_size=48, num_hidden_layers=layers,
                            num_attention_heads=3, hidden_act="gelu", projection_dim=24, bos_token_id=1012,
                            eos_token_id=1013, pad_token_id=0)
    return randomise(CLIPTextModel(config), 3)


def sd2():
    folder = DATA / "sd2"
    shutil.rmtree(folder, ignore_errors=True)
    unet = randomise(UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16, 16), layers_per_block=2, norm_num_groups=4, cross_attention_dim=24,
        attention_head_dim=(1, 2, 2), use_linear_projection=True,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D")), 1)
    vae = randomise(AutoencoderKL(
        block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2), 2)
    whole, text = text_model(4), text_model(3)
    # diffusers' folders leave out the last layer, which SD 2.x does not read.
    kept = {k: v for k, v in whole.state_dict().items() if k in text.state_dict()}
    text.load_state_dict(kept)
    for name, model in [("unet", unet), ("vae", vae), ("text_encoder", text)]:
        (folder / name).mkdir(parents=True)
        stem = "model" if name == "text_encoder" else "diffusion_pytorch_model"
        save_file(half(model.state_dict()), folder / name / f"{stem}.fp16.safetensors")
        config = model.config.to_dict() if name == "text_encoder" else dict(model.config)
        (folder / name / "config.json").write_text(json.dumps(config, default=str, indent=1, sort_keys=True))
    DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                  prediction_type="v_prediction").save_pretrained(folder / "scheduler")
    shutil.copytree(TOKENIZER, folder / "tokenizer")
    settings = json.loads((folder / "tokenizer/tokenizer_config.json").read_text())
    settings["pad_token"] = "!"
    (folder / "tokenizer/tokenizer_config.json").write_text(json.dumps(settings, indent=1))

    single = {f"model.diffusion_model.{original_unet_name(k)}": v for k, v in unet.state_dict().items()}
    single |= {f"first_stage_model.{original_vae_name(k, 2)}": v for k, v in vae.state_dict().items()}
    single |= {f"cond_stage_model.model.{k}": v for k, v in open_clip(whole.state_dict(), 4).items()}
    single["model_ema.decay"] = torch.tensor(0.9999)
    save_file(half(single), DATA / "sd2_single.safetensors")

    torch.manual_seed(5)
    ids = torch.tensor([[1012, 320, 65, 1013] + [0] * 73, [1012, 1013] + [0] * 75])
    with torch.no_grad():
        states = text(ids).last_hidden_state
        again = whole(ids, output_hidden_states=True).hidden_states[-2]
        norm = getattr(whole, "text_model", whole).final_layer_norm
        assert torch.allclose(states, norm(again), atol=1e-5)
        x, image = torch.randn(2, 4, 8, 12), torch.rand(1, 3, 16, 24) * 2 - 1
        t = torch.tensor([7, 901])
        mean = vae.encode(image).latent_dist.mean
        outputs = {"ids": ids, "states": states, "sample": x, "timestep": t, "output": unet(x, t, states).sample,
                   "image": image, "mean": mean, "decoded": vae.decode(mean).sample}
    save_file({k: v.contiguous() for k, v in outputs.items()}, DATA / "sd2_outputs.safetensors")


def taesd():
    for name, channels in [("taesd", 4), ("taef1", 16)]:
        model = randomise(AutoencoderTiny(
            latent_channels=channels, encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
            num_encoder_blocks=(1, 1, 1, 1), num_decoder_blocks=(2, 1, 1, 1)), 4)
        state = half(model.state_dict())
        save_file(state, DATA / f"{name}.safetensors")
        numbered = {}
        for k, v in state.items():
            if k.startswith("decoder.layers."):
                number, rest = k.removeprefix("decoder.layers.").split(".", 1)
                numbered[f"{int(number) + 1}.{rest}"] = v
        save_file(numbered, DATA / f"{name}_decoder.safetensors")
        x = torch.randn(1, channels, 5, 7, generator=torch.Generator().manual_seed(6)) * 3
        with torch.no_grad():
            save_file({"latent": x, "picture": model.decode(x).sample}, DATA / f"{name}_outputs.safetensors")


if __name__ == "__main__":
    DATA.mkdir(parents=True, exist_ok=True)
    sd2()
    taesd()
