#!/usr/bin/env python3
# needs: torch diffusers transformers peft safetensors
"""Networks trained here load in diffusers, ComfyUI and LyCORIS with no unmatched key.

    check_lora_loads.py [LORA.safetensors]

Without a file: those of every kind, family and naming that `cargo run -p train --example network_files` writes, and the
newest LoRA in out/demo, which must also change the picture. `ANAGAMA_COMFYUI` names a folder with ComfyUI's code; LyCORIS
is asked where Python has it.
"""
import contextlib
import importlib
import importlib.util
import io
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import types

from common import ROOT, finish

BASE = ROOT / "examples/models/diffusers/embedded-base"
MODELS = ROOT / "tests/reference/models"
COMFYUI = os.environ.get("ANAGAMA_COMFYUI")
PIPELINES = {"sd15": "StableDiffusionPipeline", "sdxl": "StableDiffusionXLPipeline", "flux": "FluxPipeline"}
# What diffusers has a place for. Of DoRA it drops the lengths; Flux' joined matrices it cuts at the full model's sizes.
DIFFUSERS = {("sd15", "lora", "kohya"), ("sd15", "lora", "peft"), ("sdxl", "lora", "kohya"), ("sdxl", "lora", "peft"),
             ("flux", "lora", "peft")}


class Complaints(logging.Handler):
    """What the libraries warn of."""

    def __init__(self):
        super().__init__(level=logging.WARNING)
        self.all = []
        for name in ("diffusers", "peft", "transformers"):
            logging.getLogger(name).addHandler(self)

    def emit(self, record):
        self.all.append(record.getMessage())

    def unmatched(self):
        words = ("unexpected", "missing", "not found", "not loaded", "no lora keys")
        return [c for c in self.all if any(word in c.lower() for word in words)]


def load(path):
    from safetensors.torch import load_file
    return load_file(path)


def modules(keys):
    return {k.rsplit(".lora_", 1)[0] if ".lora_" in k else k.rsplit(".", 1)[0] for k in keys}


def in_diffusers(path, pipe, complaints):
    """Problems of loading a LoRA into a pipeline."""
    complaints.all.clear()
    with contextlib.redirect_stderr(io.StringIO()):
        pipe.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name="one")
    parts = [getattr(pipe, name, None) for name in ("unet", "transformer", "text_encoder", "text_encoder_2")]
    taken = sum(n.endswith("lora_A.one") for part in parts if part is not None for n, _ in part.named_modules())
    pipe.unload_lora_weights()
    wanted = len(modules(load(path)))
    problems = [f"diffusers: {text[:300]}" for text in complaints.unmatched()]
    if taken != wanted:
        problems.append(f"diffusers took {taken} of {wanted} modules")
    return problems


def comfyui_keys(family, lora):
    """ComfyUI's table of names for a tiny model, from the keys that it would have loaded."""
    from safetensors import safe_open
    import json

    with safe_open(MODELS / f"{family}_single.safetensors", "pt") as f:
        unet = [k.removeprefix("model.") for k in f.keys() if k.startswith("model.diffusion_model.")]
    config = json.loads((MODELS / family / "unet/config.json").read_text())
    per, levels = config["layers_per_block"], len(config["block_out_channels"])
    depths = config.get("transformer_layers_per_block", 1)
    depths = depths if isinstance(depths, list) else [depths] * levels
    depths = [d if "CrossAttn" in kind else 0 for d, kind in zip(depths, config["down_block_types"])]
    model = types.SimpleNamespace(
        state_dict=lambda: dict.fromkeys(unet),
        model_config=types.SimpleNamespace(unet_config={
            "num_res_blocks": [per] * levels, "channel_mult": [1] * levels,
            "transformer_depth": [d for d in depths for _ in range(per)],
            "transformer_depth_output": [d for d in depths for _ in range(per + 1)],
            "transformer_depth_middle": max(depths[-1], 1)}))
    texts = []
    for name, folder in (("clip_l", "text_encoder"), ("clip_g", "text_encoder_2")):
        file = MODELS / family / folder / "config.json"
        if file.exists():
            layers = range(json.loads(file.read_text())["num_hidden_layers"])
            leaves = [c for c in lora.LORA_CLIP_MAP]
            texts += [f"{name}.transformer.text_model.encoder.layers.{i}.{c}.weight" for i in layers for c in leaves]
    text = types.SimpleNamespace(state_dict=lambda: dict.fromkeys(texts))
    return lora.model_lora_keys_clip(text, lora.model_lora_keys_unet(model, {}))


def in_comfyui(path, family, kind, lora):
    """Problems of loading a network with ComfyUI's code; none: it does not know the kind."""
    source = pathlib.Path(lora.__file__).read_text()
    if kind == "dora" and "dora_scale" not in source:
        return None
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        tensors = load(path)
        patches = lora.load_lora(tensors, comfyui_keys(family, lora))
    lines = [line for line in said.getvalue().splitlines() if "not loaded" in line]
    problems = [f"ComfyUI: {line}" for line in lines[:3]]
    if len(patches) != len(modules(tensors)):
        problems.append(f"ComfyUI made {len(patches)} patches of {len(modules(tensors))} modules")
    return problems


def in_lycoris(path, layers):
    """Problems of making LyCORIS' modules from a file."""
    import torch
    from lycoris.modules import get_module, make_module

    tensors, problems, left = load(path), [], None
    left = set(tensors)
    for name in modules(tensors):
        if name not in layers:
            problems.append(f"LyCORIS: {name} is no layer")
            continue
        kind, parameters = get_module(tensors, name)
        if kind is None:
            problems.append(f"LyCORIS knows no kind for {name}")
            continue
        left -= {f"{name}.{leaf}" for leaf in kind.weight_list}
        with contextlib.redirect_stdout(io.StringIO()):
            module = make_module(kind, parameters, name, layers[name][2])
        weight = layers[name][2].weight
        merged = module.get_merged_weight(1, weight.shape)[0]
        if not torch.isfinite(merged).all() or (merged - weight).abs().max() == 0:
            problems.append(f"LyCORIS: {name} changes nothing, or to what is not finite")
    return problems + [f"LyCORIS: {key} is not loaded" for key in sorted(left)[:3]]


def every_kind(failures):
    """Files of all kinds into all programs; how many were tried."""
    passed = 0
    complaints = Complaints()
    lora = None
    if COMFYUI:
        sys.path.insert(0, COMFYUI)
        package = "comfy" if os.path.isdir(os.path.join(COMFYUI, "comfy")) else "ldm_patched.modules"
        arguments, sys.argv = sys.argv, [sys.argv[0], "--cpu"]
        lora = importlib.import_module(f"{package}.lora")
        sys.argv = arguments
    else:
        print("SKIPPED: check_lora_loads in ComfyUI: ANAGAMA_COMFYUI names no folder with ComfyUI's code")
    lycoris = importlib.util.find_spec("lycoris") is not None
    if lycoris:
        import make_network_grads
        logging.getLogger("LyCORIS").setLevel(logging.ERROR)
    else:
        print("SKIPPED: check_lora_loads in LyCORIS: Python has no lycoris")
    with tempfile.TemporaryDirectory() as folder:
        command = ["cargo", "build", "--workspace", "--example", "network_files"]
        subprocess.run(command, cwd=ROOT, check=True)
        subprocess.run([ROOT / "target/debug/examples/network_files", folder], check=True)
        import diffusers
        for family, pipeline in PIPELINES.items():
            layers = getattr(make_network_grads, family)()[0] if lycoris else None
            with contextlib.redirect_stderr(io.StringIO()):
                pipe = getattr(diffusers, pipeline).from_pretrained(MODELS / family)
            for path in sorted(pathlib.Path(folder).glob(f"{family}-*.safetensors")):
                _, kind, naming = path.stem.split("-")
                results = []
                if (family, kind, naming) in DIFFUSERS:
                    results.append(("diffusers", in_diffusers(path, pipe, complaints)))
                if lora and naming == "kohya" and family != "flux":
                    results.append(("ComfyUI", in_comfyui(path, family, kind, lora)))
                if lycoris and naming == "kohya":
                    results.append(("LyCORIS", in_lycoris(path, layers)))
                for program, problems in results:
                    if problems is None:
                        print(f"SKIPPED: check_lora_loads: this ComfyUI knows no {kind}")
                        continue
                    failures += [f"{path.name}: {problem}" for problem in problems]
                    passed += not problems
                    print(f"{path.name}: {program}: {'; '.join(problems) or 'no unmatched key'}")
    return passed


def trained(path, failures):
    """A LoRA of the embedded base loads in diffusers and changes the picture."""
    import torch
    from diffusers import StableDiffusionPipeline

    complaints = Complaints()
    pipe = StableDiffusionPipeline.from_pretrained(BASE, torch_dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)

    def picture():
        generator = torch.Generator().manual_seed(7)
        return pipe("ohwx, comic style, white background", num_inference_steps=4, height=96, width=96,
                    generator=generator, output_type="pt").images

    before = picture()
    problems = in_diffusers(path, pipe, complaints)
    pipe.load_lora_weights(str(path.parent), weight_name=path.name)
    change = (picture() - before).abs().mean().item()
    if change <= 0.01:
        problems.append(f"the LoRA changes nothing: mean difference {change}")
    failures += [f"{path.name}: {problem}" for problem in problems]
    print(f"{path.name}: {len(modules(load(path)))} modules, mean change {change:.3f}")
    return not problems


def main():
    failures, passed = [], 0
    if len(sys.argv) > 1:
        passed += trained(pathlib.Path(sys.argv[1]), failures)
    else:
        passed += every_kind(failures)
        files = sorted((ROOT / "out/demo").glob("*.safetensors"), key=lambda p: p.stat().st_mtime)
        if files:
            passed += trained(files[-1], failures)
        else:
            print("no LoRA in out/demo: `cargo xtask demo` makes one, which is then checked too")
    finish(failures, passed)


if __name__ == "__main__":
    main()
