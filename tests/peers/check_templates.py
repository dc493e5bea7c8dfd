#!/usr/bin/env python3
# needs: pip
"""ComfyUI's own workflow templates convert, and those that use only our nodes run on the tiny models of the examples.

    check_templates.py FOLDER

Two packages of templates are fetched by pip into FOLDER (or that of `ANAGAMA_TEMPLATES`), unless they lie there already. Each workflow is
converted twice: with our nodes, and with descriptions of all others that follow from the marks in the files, so that
every workflow goes through the whole converter. Where Python has comfy-cli, whose converter is another implementation,
the results for workflows that use only our nodes must be the same.
"""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import zipfile

from common import PROGRAM, ROOT, finish, need_program

PACKAGES = [("comfyui-workflow-templates", "0.1.95"), ("comfyui-workflow-templates-json", "0.1.123")]
# Exist in the editor only.
DRAWN = {"Note", "MarkdownNote", "Reroute", "PrimitiveNode", "GetNode", "SetNode"}
# comfy-cli takes the check mark of the oldest files for a value; the front end agrees with us (front_end_prompts.mjs).
# It also leaves out LoadImageOutput, which it takes for a part of the editor; it is a node of ComfyUI's own.
KNOWN = {("comfyui-workflow-templates 0.1.95", name) for name in ("default.json", "flux_kontext_dev_basic.json")}
MODELS = ROOT / "examples/models"
# Other networks for these, as transformers and spandrel have them.
DATA = ROOT / "host/models/tests/data"
# Sizes of pictures, which the tiny models make a quarter as large.
SIZES = {"width", "height", "x", "y", "left", "right", "top", "bottom", "target_width", "target_height", "largest_size"}


def download(folder, name, version):
    """The workflows of a package, by file name."""
    wheel = next(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"), None)
    if wheel is None:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, f"{name}=={version}"]
        if subprocess.run(command).returncode != 0:
            print(f"SKIPPED: check_templates: {name} {version} cannot be downloaded")
            sys.exit(0)
        return download(folder, name, version)
    found = {}
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.namelist():
            if entry.endswith(".json"):
                workflow = json.loads(archive.read(entry))
                if isinstance(workflow, dict) and "nodes" in workflow:
                    found[entry.rsplit("/", 1)[-1]] = workflow
    return found


def graphs(workflow):
    return [workflow, *workflow.get("definitions", {}).get("subgraphs", [])]


def classes(workflow):
    """The nodes that are sent, unless they stand in a muted subgraph."""
    own = {g["id"] for g in graphs(workflow)[1:]} | DRAWN
    nodes = [n for g in graphs(workflow) for n in g["nodes"] if n.get("mode", 0) not in (2, 4)]
    return {n["type"] for n in nodes} - own


def our_nodes():
    """Our nodes as a server describes them, as far as the converters look."""
    command = [PROGRAM, "nodes", "--builtin", "--json"]
    nodes = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    names = {"int": "INT", "float": "FLOAT", "boolean": "BOOLEAN", "text": "STRING", "any": "*"}

    def one(node, entry):
        kind, widget = entry["socket"], entry["widget"]
        kind = kind["named"] if isinstance(kind, dict) else names.get(kind, kind.upper())
        if widget == "none":
            return [kind, {"forceInput": True}]
        form, values = next(iter(widget.items()))
        if form == "branches":
            branches = [{"key": b["key"], "inputs": sections(node, b["inputs"])} for b in values]
            return ["COMFY_DYNAMICCOMBO_V3", {"options": branches}]
        if form == "growing":
            return ["COMFY_AUTOGROW_V3", {"template": {"input": {"required": {values["prefix"]: [kind, {}]}}, **values}}]
        if form in ("combo", "host-list"):
            options = values["options"] if form == "combo" else ["x"]
            upload = node["id"].startswith("LoadImage") and entry["name"] == "image"
            default = values["default"] if form == "combo" else None
            return [options, {"image_upload": upload} | ({"default": default} if default else {})]
        described = [kind, {"default": values["default"]}]
        if values.get("seed-control"):
            described[1]["control_after_generate"] = True
        return described

    def sections(node, inputs):
        found = {"required": {}, "optional": {}}
        for entry in inputs:
            first = entry["required"] or entry["widget"] != "none"
            found["required" if first else "optional"][entry["name"]] = one(node, entry)
        return found

    return {
        node["id"]: {"input": sections(node, node["inputs"]), "display_name": node["display-name"], "name": node["id"]}
        for node in nodes
    }


def all_nodes(ours, workflows):
    """Ours, and each other node with the inputs that some workflow shows."""
    described = {}
    for workflow in workflows:
        for node in (n for g in graphs(workflow) for n in g["nodes"]):
            inputs = described.setdefault(node["type"], {"input": {"required": {}}, "display_name": node["type"]})
            for entry in node.get("inputs", []):
                plain = entry["type"] in ("INT", "FLOAT", "STRING", "BOOLEAN")
                widget = [entry["type"] if plain else ["?"], {}]
                form = widget if entry.get("widget") else [entry["type"], {"forceInput": True}]
                inputs["input"]["required"].setdefault(entry["name"], form)
    return described | ours


def convert(file, *more):
    done = subprocess.run([PROGRAM, "convert", *more, file], capture_output=True, text=True)
    crashed = done.returncode not in (0, 2) or "panicked" in done.stderr
    return (json.loads(done.stdout) if done.returncode == 0 else None), done.stderr.strip(), crashed


def tensors(file):
    with open(file, "rb") as data:
        return json.loads(data.read(struct.unpack("<Q", data.read(8))[0]))


def write_tensors(file, header, data):
    header = json.dumps(header).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(struct.pack("<Q", len(header)) + header + data)


def write_controlnet(folder):
    """The ControlNet that a training for the embedded base would begin with: its way down, and zeros."""
    unet = MODELS / "diffusers/embedded-base/unet"
    file = next(unet.glob("*.safetensors"))
    found, header, data = tensors(file), {}, bytearray()
    with open(file, "rb") as whole:
        begin = 8 + struct.unpack("<Q", whole.read(8))[0]
        for key, entry in found.items():
            if key.startswith(("conv_in.", "time_embedding.", "down_blocks.", "mid_block.")):
                start, end = entry["data_offsets"]
                whole.seek(begin + start)
                header[key] = entry | {"data_offsets": [len(data), len(data) + end - start]}
                data += whole.read(end - start)

    def zeros(path, out, inp, kernel):
        for name, shape in ((f"{path}.weight", [out, inp, kernel, kernel]), (f"{path}.bias", [out])):
            size = 4 * out * (inp * kernel * kernel if len(shape) > 1 else 1)
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + size]}
            data.extend(bytes(size))

    config = json.loads((unet / "config.json").read_text())
    channels, layers = config["block_out_channels"], config.get("layers_per_block", 2)
    zeros("controlnet_cond_embedding.conv_in", 16, 3, 3)
    for n, (inp, out) in enumerate([(16, 16), (16, 32), (32, 32), (32, 96), (96, 96), (96, 256)]):
        zeros(f"controlnet_cond_embedding.blocks.{n}", out, inp, 3)
    zeros("controlnet_cond_embedding.conv_out", channels[0], 256, 3)
    kept = [channels[0]]
    for level, width in enumerate(channels):
        kept += [width] * (layers + (level + 1 < len(channels)))
    for n, width in enumerate(kept):
        zeros(f"controlnet_down_blocks.{n}", width, width, 1)
    zeros("controlnet_mid_block", channels[-1], channels[-1], 1)
    write_tensors(folder / "diffusion_pytorch_model.safetensors", header, bytes(data))
    (folder / "config.json").write_text(json.dumps(config))


def copy_networks(folder):
    """Those that look at pictures or enlarge them."""
    for kind, name in (("upscale_models", "esrgan_x4.safetensors"), ("style_models", "redux.safetensors"),
                       ("clip_vision", "vision_clip"), ("clip_vision", "vision_siglip")):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (DATA / name).is_dir() else shutil.copy
        if not (folder / kind / name).exists():
            copy(DATA / name, folder / kind / name)


def write_lora(file):
    """A LoRA that changes one layer of the embedded base by nothing."""
    base = tensors(next((MODELS / "diffusers/embedded-base/unet").glob("*.safetensors")))
    key = next(k for k in base if k.endswith("attn1.to_q.weight"))
    rows, columns = base[key]["shape"]
    name = "lora_unet_" + key.removesuffix(".weight").replace(".", "_")
    header, at = {}, 0
    for part, shape in {"lora_down": [1, columns], "lora_up": [rows, 1]}.items():
        size = 4 * shape[0] * shape[1]
        header[f"{name}.{part}.weight"] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    write_tensors(file, header, bytes(at))


def tiny(prompt):
    """The same graph with tiny models, small pictures and two steps."""
    text = json.dumps(prompt).lower()
    flux = "flux" in text
    family = "tiny-sdxl" if "sd_xl" in text or "sdxl" in text else "embedded-base"
    changed, autoencoders = {}, set()
    for node, entry in json.loads(json.dumps(prompt)).items():
        kind, inputs = entry["class_type"], entry["inputs"]
        for name, value in inputs.items():
            if name in SIZES and isinstance(value, int):
                inputs[name] = max(value // 32 * 8, 64 if name in ("width", "height") else 0)
        if "steps" in inputs:
            inputs["steps"] = 2
        if "end_at_step" in inputs:
            inputs.update(start_at_step=min(inputs["start_at_step"], 1), end_at_step=min(inputs["end_at_step"], 2))
        if kind == "CheckpointLoaderSimple" and not flux:
            entry.update(class_type="DiffusersLoader", inputs={"model_path": family})
        elif kind == "CheckpointLoaderSimple":
            parts = {f"{node}.clip": ("DualCLIPLoader", {}), f"{node}.vae": ("VAELoader", {"vae_name": "tiny-flux"})}
            changed |= {n: {"class_type": k, "inputs": i} for n, (k, i) in parts.items()}
            entry.update(class_type="UNETLoader", inputs={"unet_name": "tiny-flux"})
        elif kind == "UNETLoader":
            inputs.update(unet_name="tiny-flux", weight_dtype="default")
        elif kind == "VAELoader" and flux:
            inputs["vae_name"] = "tiny-flux"
        elif kind == "VAELoader":
            entry.update(class_type="DiffusersLoader", inputs={"model_path": family})
            autoencoders.add(node)
        elif kind in ("LoraLoader", "LoraLoaderModelOnly"):
            inputs["lora_name"] = "nothing.safetensors"
        elif kind == "ControlNetLoader":
            inputs["control_net_name"] = "nothing"
        elif kind == "UpscaleModelLoader":
            inputs["model_name"] = "esrgan_x4.safetensors"
        elif kind == "CLIPVisionLoader":
            inputs["clip_name"] = "vision_siglip" if flux else "vision_clip"
        elif kind == "StyleModelLoader":
            inputs["style_model_name"] = "redux.safetensors"
        elif kind.startswith("LoadImage"):
            inputs["image"] = "in.png"
        elif kind == "KSampler" and inputs.get("sampler_name") == "uni_pc":
            inputs["steps"] = 4
        changed[node] = entry
    for entry in list(changed.values()):
        if entry["class_type"] == "DualCLIPLoader":
            names = {"clip_name1": "tiny-flux/text_encoder", "clip_name2": "tiny-flux/text_encoder_2", "type": "flux"}
            entry["inputs"] = names
        for name, link in entry["inputs"].items():
            if isinstance(link, list) and link[1] and f"{link[0]}.clip" in changed:
                entry["inputs"][name] = [f"{link[0]}.{['', 'clip', 'vae'][link[1]]}", 0]
            elif isinstance(link, list) and link[0] in autoencoders:
                entry["inputs"][name] = [link[0], 2]
    return changed


def runs(prompt, folder):
    (folder / "tiny.json").write_text(json.dumps(tiny(prompt)))
    command = [PROGRAM, "run", "tiny.json", "--config", folder / "anagama.toml", "--out", folder / "out"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode == 0, done.stderr.strip()


def comfy_cli():
    try:
        from comfy_cli.workflow_to_api import convert_ui_to_api
        return convert_ui_to_api
    except ImportError as missing:
        print(f"SKIPPED: comfy-cli's converter: {missing}")


def check(folder):
    packages = {f"{name} {version}": download(folder, name, version) for name, version in PACKAGES}
    ours = our_nodes()
    described = all_nodes(ours, [w for workflows in packages.values() for w in workflows.values()])
    (folder / "all.json").write_text(json.dumps(described))
    (folder / "anagama.toml").write_text(f'models = ["{MODELS}", "models"]\nplugins = []\nstore = "store"\n')
    write_lora(folder / "models/loras/nothing.safetensors")
    write_controlnet(folder / "models/controlnet/nothing")
    copy_networks(folder / "models")
    (folder / "in.png").write_bytes((ROOT / "examples/datasets/ohwx-character/001.png").read_bytes())
    other, wrong, same = comfy_cli(), [], 0
    print(f"{'package':42} workflows  convert  ours only  run")
    for package, workflows in packages.items():
        whole, mine, run, notes = 0, 0, 0, []
        for name, workflow in workflows.items():
            file = folder / "workflow.json"
            file.write_text(json.dumps(workflow))
            _, said, crashed = convert(file, "--object-info", folder / "all.json")
            whole += not (said or crashed)
            if said or crashed:
                wrong.append(f"{package}: {name}: {said}")
            prompt, said, crashed = convert(file)
            unknown = classes(workflow) - set(ours)
            if crashed or (prompt is None) != bool(unknown) or (unknown and "there is no node" not in said):
                wrong.append(f"{package}: {name}: unknown are {sorted(unknown)}, but: {said}")
            if prompt is None:
                continue
            mine += 1
            good, why = runs(prompt, folder)
            run += good
            if not good:
                notes.append(f"  {name}: " + next((line for line in why.splitlines() if "error" in line), why))
            if other and (package, name) not in KNOWN:
                theirs = other(workflow, ours)
                same += theirs == prompt
                if theirs != prompt:
                    wrong.append(f"{package}: {name}: comfy-cli has {theirs}, ours is {prompt}")
        print(f"{package:42} {len(workflows):9}  {whole:7}  {mine:9}  {run:3}")
        print("\n".join(notes))
    if other:
        print(f"the same in comfy-cli: {same}")
    finish(wrong, sum(map(len, packages.values())))


if __name__ == "__main__":
    need_program("check_templates")
    folder = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("ANAGAMA_TEMPLATES")
    if folder is None:
        # All other tests work without a network.
        print("SKIPPED: check_templates: ANAGAMA_TEMPLATES names no folder to put ComfyUI's templates into")
    else:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        check(pathlib.Path(folder).resolve())
