#!/usr/bin/env python3
# needs: torch diffusers transformers peft safetensors
"""A LoRA trained here loads in diffusers with zero unmatched keys.

    check_lora_loads.py [LORA.safetensors]      default: the newest one in out/demo
"""
import logging
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = ROOT / "examples/models/diffusers/embedded-base"


def newest():
    files = sorted((ROOT / "out/demo").glob("*.safetensors"), key=lambda p: p.stat().st_mtime)
    if not files:
        print("SKIPPED: check_lora_loads: no LoRA in out/demo; run `cargo xtask demo` first")
        sys.exit(0)
    return files[-1]


def main():
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else newest()
    import torch
    from diffusers import StableDiffusionPipeline
    from safetensors import safe_open

    with safe_open(path, "pt") as f:
        keys = list(f.keys())
    modules = {k.split(".")[0] for k in keys}
    in_unet = sum(m.startswith("lora_unet_") for m in modules)
    in_text = sum(m.startswith("lora_te_") for m in modules)
    assert in_unet and in_unet + in_text == len(modules), f"unknown modules among {sorted(modules)[:5]}"

    complaints = []

    class Collect(logging.Handler):
        def emit(self, record):
            complaints.append(record.getMessage())

    for name in ("diffusers", "peft", "transformers"):
        logging.getLogger(name).addHandler(Collect(level=logging.WARNING))

    pipe = StableDiffusionPipeline.from_pretrained(BASE, torch_dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)

    def picture():
        generator = torch.Generator().manual_seed(7)
        return pipe("ohwx, comic style, white background", num_inference_steps=4, height=96, width=96,
                    generator=generator, output_type="pt").images

    before = picture()
    complaints.clear()
    pipe.load_lora_weights(str(path.parent), weight_name=path.name)
    loaded_unet = sum(n.endswith("lora_A.default_0") for n, _ in pipe.unet.named_modules())
    loaded_text = sum(n.endswith("lora_A.default_0") for n, _ in pipe.text_encoder.named_modules())
    unmatched = [c for c in complaints if "unexpected" in c.lower() or "missing" in c.lower() or "not found" in c.lower()]
    assert not unmatched, unmatched
    assert (loaded_unet, loaded_text) == (in_unet, in_text), (
        f"file has {in_unet} + {in_text} modules, diffusers took {loaded_unet} + {loaded_text}")
    change = (picture() - before).abs().mean().item()
    assert change > 0.01, f"the LoRA changes nothing: mean difference {change}"
    print(f"{path.name}: {in_unet} UNet and {in_text} text encoder modules, no unmatched key, mean change {change:.3f}")
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
