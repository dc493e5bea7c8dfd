#!/usr/bin/env python3
# needs: torch diffusers transformers safetensors lycoris
"""Gradients of every trained tensor of each network on each tiny model of tests/reference/models, as LyCORIS' modules have
them with diffusers' networks: host/train/tests/data/grads_<family>_<network>.safetensors.

    make_network_grads.py [FAMILY…]

All numbers that go in are made of their names (`values`), so that only what comes out is stored: for each tensor, in the
order of their names, the norm of its gradient and three products with numbers made of its name.
"""
import contextlib
import io
import json
import math
import pathlib
import sys
import types

import numpy as np
import torch
from safetensors.torch import save_file
from torch.func import functional_call

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests/reference/models"
DATA = ROOT / "host/train/tests/data"
PROBES = 3

# LyCORIS reads its presets with this package, which nothing here needs.
sys.modules.setdefault("toml", types.ModuleType("toml"))
from lycoris.modules.locon import LoConModule  # noqa: E402
from lycoris.modules.loha import LohaModule  # noqa: E402
from lycoris.modules.lokr import LokrModule  # noqa: E402

NETWORKS = {
    "lora": (LoConModule, {}),
    "loha": (LohaModule, {}),
    "lokr": (LokrModule, {}),
    "dora": (LoConModule, {"weight_decompose": True}),
}
CONFIG = {"rank": 3, "alpha": 2.0, "conv_rank": 2, "conv_alpha": 1.5, "targets": "linear+conv", "train_text_encoder": True}


def values(name, shape, scale):
    """Numbers in ±scale made of a name: FNV-1a of it, then SplitMix64, the upper 24 bits of each."""
    n = math.prod(shape)
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & (2**64 - 1)
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    unit = (z >> np.uint64(40)).astype(np.float64) / 2**24
    return torch.from_numpy(((2 * unit - 1) * scale).astype(np.float32)).reshape(shape)


def ids(length, vocabulary, start, end, padding):
    """Five tokens between start and end."""
    own = [(37 * i + 11) % (vocabulary - 2) for i in range(5)]
    return torch.tensor([[start, *own, end] + [padding] * (length - 7)])


def text_layers(prefix, encoder, name, last):
    """Kohya's names → parameter, attention and feed-forward layers of the first `last` layers."""
    found = {}
    for path, module in encoder.named_modules():
        if isinstance(module, torch.nn.Linear) and (".self_attn." in path or ".mlp." in path):
            full = path if path.startswith("text_model.") else f"text_model.{path}"
            if int(full.split(".layers.")[1].split(".")[0]) < last:
                found[f"{prefix}_{full.replace('.', '_')}"] = (name, [path], module)
    return found


def sgm(path, config):
    """The path of a layer of an SDXL UNet in the original code (sd-scripts, library/sdxl_model_util.py)."""
    per = config.layers_per_block
    parts = path.split(".")
    if parts[0] == "mid_block":
        place = "middle_block." + {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2"}[".".join(parts[1:3])]
        rest = parts[3:]
    else:
        down, level, kind, number = parts[0] == "down_blocks", int(parts[1]), parts[2], int(parts[3])
        side = "input_blocks" if down else "output_blocks"
        rest = parts[4:]
        if kind == "downsamplers":
            return f"input_blocks.{(per + 1) * (level + 1)}.0.op"
        if kind == "upsamplers":
            attends = "CrossAttn" in config.up_block_types[level]
            return f"output_blocks.{(per + 1) * level + per}.{2 if attends else 1}.conv"
        place = f"{side}.{(per + 1) * level + number + (1 if down else 0)}.{0 if kind == 'resnets' else 1}"
    names = {"conv1": "in_layers.2", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1",
             "conv_shortcut": "skip_connection"}
    return f"{place}.{names.get(rest[0], '.'.join(rest))}"


def unet_layers(unet, original):
    found = {}
    for path, module in unet.named_modules():
        blocks = any(part in path for part in ("attentions.", "resnets.", "downsamplers.", "upsamplers."))
        if blocks and isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
            name = sgm(path, unet.config) if original else path
            found[f"lora_unet_{name.replace('.', '_')}"] = ("network", [path], module)
    return found


DOUBLE = {"img_attn_qkv": ["attn.to_q", "attn.to_k", "attn.to_v"], "img_attn_proj": ["attn.to_out.0"],
          "txt_attn_qkv": ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"], "txt_attn_proj": ["attn.to_add_out"],
          "img_mlp_0": ["ff.net.0.proj"], "img_mlp_2": ["ff.net.2"], "txt_mlp_0": ["ff_context.net.0.proj"],
          "txt_mlp_2": ["ff_context.net.2"], "img_mod_lin": ["norm1.linear"], "txt_mod_lin": ["norm1_context.linear"]}
SINGLE = {"linear1": ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"], "linear2": ["proj_out"],
          "modulation_lin": ["norm.linear"]}


def flux_layers(transformer):
    modules, found = dict(transformer.named_modules()), {}
    for ours, theirs, table, count in (
        ("double_blocks", "transformer_blocks", DOUBLE, len(transformer.transformer_blocks)),
        ("single_blocks", "single_transformer_blocks", SINGLE, len(transformer.single_transformer_blocks)),
    ):
        for i in range(count):
            for name, paths in table.items():
                paths = [f"{theirs}.{i}.{path}" for path in paths]
                weight = torch.cat([modules[path].weight.data for path in paths])
                joined = torch.nn.Linear(weight.shape[1], weight.shape[0])
                joined.weight.data = weight
                found[f"lora_unet_{ours}_{i}_{name}"] = ("network", paths, joined)
    return found


def clip(folder, kind):
    import transformers
    cls = getattr(transformers, kind)
    return cls.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def text_ids(encoder):
    config = encoder.config
    tokens = config.vocab_size
    return ids(config.max_position_embeddings, tokens, tokens - 2, tokens - 1, tokens - 1)


def sd15():
    from diffusers import UNet2DConditionModel
    unet = UNet2DConditionModel.from_pretrained(MODELS / "sd15/unet", torch_dtype=torch.float32).eval()
    encoder = clip(MODELS / "sd15/text_encoder", "CLIPTextModel")
    layers = text_layers("lora_te", encoder, "text", encoder.config.num_hidden_layers) | unet_layers(unet, False)
    x = values("latents", (1, 4, 16, 8), 1.7)

    def run(call):
        states = call("text", encoder, text_ids(encoder)).last_hidden_state
        return call("network", unet, x, torch.tensor([321.0]), states).sample

    return layers, run


def sdxl():
    from diffusers import UNet2DConditionModel
    unet = UNet2DConditionModel.from_pretrained(MODELS / "sdxl/unet", torch_dtype=torch.float32).eval()
    one = clip(MODELS / "sdxl/text_encoder", "CLIPTextModel")
    two = clip(MODELS / "sdxl/text_encoder_2", "CLIPTextModelWithProjection")
    layers = text_layers("lora_te1", one, "one", one.config.num_hidden_layers - 1)
    layers |= text_layers("lora_te2", two, "two", two.config.num_hidden_layers) | unet_layers(unet, True)
    x = values("latents", (1, 4, 8, 16), 1.7)

    def run(call):
        first = call("one", one, text_ids(one), output_hidden_states=True)
        second = call("two", two, text_ids(two), output_hidden_states=True)
        states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
        added = {"text_embeds": second.text_embeds, "time_ids": torch.tensor([[64.0, 128.0, 3.0, 5.0, 64.0, 128.0]])}
        return call("network", unet, x, torch.tensor([321.0]), states, added_cond_kwargs=added).sample

    return layers, run


def flux():
    from diffusers import FluxTransformer2DModel
    folder = MODELS / "flux"
    transformer = FluxTransformer2DModel.from_pretrained(folder / "transformer", torch_dtype=torch.float32).eval()
    encoder = clip(folder / "text_encoder", "CLIPTextModel")
    layers = text_layers("lora_te1", encoder, "text", encoder.config.num_hidden_layers) | flux_layers(transformer)
    h, w = 8, 6
    x = values("latents", (1, 16, h, w), 1.2)
    packed = x.view(1, 16, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(1, h * w // 4, 64)
    places = torch.zeros(h // 2, w // 2, 3)
    places[..., 1] += torch.arange(h // 2)[:, None]
    places[..., 2] += torch.arange(w // 2)[None]
    states = values("t5", (1, 9, transformer.config.joint_attention_dim), 1.0)

    def run(call):
        pooled = call("text", encoder, text_ids(encoder)).pooler_output
        out = call("network", transformer, hidden_states=packed, encoder_hidden_states=states, pooled_projections=pooled,
                   timestep=torch.tensor([0.37]), guidance=torch.tensor([2.5]), img_ids=places.reshape(-1, 3),
                   txt_ids=torch.zeros(9, 3)).sample
        return out.view(1, h // 2, w // 2, 16, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(1, 16, h, w)

    return layers, run


def network(name, kind, layer):
    """LyCORIS' module for a layer, with values made of the names, and its tensors under their names."""
    cls, options = NETWORKS[kind]
    wide = isinstance(layer, torch.nn.Conv2d) and layer.kernel_size != (1, 1)
    rank, alpha = (CONFIG["conv_rank"], CONFIG["conv_alpha"]) if wide else (CONFIG["rank"], CONFIG["alpha"])
    with contextlib.redirect_stdout(io.StringIO()):
        module = cls(name, layer, 1.0, rank, alpha, **options)
    tensors = {}
    for leaf, tensor in module.custom_state_dict().items():
        if leaf == "alpha":
            continue
        owner, _, attribute = leaf.rpartition(".")
        parameter = getattr(module.get_submodule(owner), attribute)
        key = f"{name}.{leaf}"
        if leaf == "dora_scale":
            new = tensor.detach() * (1 + values(key, tensor.shape, 0.2))
        else:
            new = values(key, tensor.shape, 0.3)
        if not isinstance(parameter, torch.nn.Parameter):
            # `dora_scale`, which a cast has made a plain tensor.
            parameter = torch.nn.Parameter(new)
            del module._parameters[attribute]
        parameter.data = new
        parameter.requires_grad_(True)
        if not owner:
            setattr(module, attribute, parameter)
        tensors[key] = parameter
    return module, tensors


def merged(module, weight):
    """The weight with the network's change, as the module's `forward` makes it."""
    delta = module.make_weight() * module.scale if isinstance(module, LoConModule) else module.get_weight(module.shape)
    changed = weight + delta.reshape(weight.shape)
    return module.apply_weight_decompose(changed) if module.wd else changed


def gradients(kind, layers, run):
    modules, tensors = {}, {}
    for name, (_, _, layer) in layers.items():
        modules[name], own = network(name, kind, layer)
        tensors |= own
    weights = {}
    for name, (model, paths, layer) in layers.items():
        whole = merged(modules[name], layer.weight.detach())
        at = 0
        for path in paths:
            rows = whole.shape[0] if len(paths) == 1 else sizes(layers[name], path)
            weights.setdefault(model, {})[f"{path}.weight"] = whole[at:at + rows]
            at += rows

    def call(model, module, *args, **kwargs):
        return functional_call(module, weights.get(model, {}), args, kwargs)

    out = run(call)
    (out * values("probe", out.shape, 1.0)).sum().backward()
    rows = []
    for name in sorted(tensors):
        grad = tensors[name].grad.double()
        assert grad.norm() > 0, name
        probes = [values(f"{name}#{i}", grad.shape, 1.0).double() for i in range(PROBES)]
        rows.append([grad.norm().item()] + [(grad * probe).sum().item() for probe in probes])
    return sorted(tensors), torch.tensor(rows, dtype=torch.float32), out


def sizes(layer, path):
    """Rows of one of the pieces of a joined matrix."""
    _, paths, joined = layer
    out, width = joined.weight.shape
    return out - (len(paths) - 1) * width if path == paths[-1] and "proj_mlp" in path else width


def main():
    torch.set_num_threads(2)
    wanted = sys.argv[1:] or ["sd15", "sdxl", "flux"]
    for family in wanted:
        layers, run = globals()[family]()
        for kind in NETWORKS:
            names, rows, out = gradients(kind, layers, run)
            header = {"config": json.dumps(CONFIG | {"network": kind}), "family": family,
                      "first": names[0], "last": names[-1], "tensors": str(len(names))}
            save_file({"gradients": rows, "output": out.detach().contiguous()},
                      DATA / f"grads_{family}_{kind}.safetensors", header)
            print(family, kind, len(layers), "layers", len(names), "tensors, norms",
                  f"{rows[:, 0].min():.2e} to {rows[:, 0].max():.2e}")


if __name__ == "__main__":
    main()
