"""What the picture checks share: running our program, the sigma lists by their definitions, and k-diffusion's samplers."""
import importlib
import importlib.util
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import types

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "target/debug/anagama"


def need_program(name):
    if not PROGRAM.exists():
        print(f"SKIPPED: {name}: target/debug/anagama is not built")
        sys.exit(0)


def run(workflow, models, changes=()):
    """8-bit pixels (n, h, w, 3) of the pictures that the workflow (a dict) saves, with the models of a folder."""
    import numpy as np
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "workflow.json").write_text(json.dumps(workflow))
        (folder / "anagama.toml").write_text(f'models = ["{models}"]\nplugins = []\nstore = "store"\n')
        command = [PROGRAM, "run", folder / "workflow.json", "--out", folder / "out", "--config", folder / "anagama.toml"]
        for change in changes:
            command += ["--set", change]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
        files = sorted((folder / "out").rglob("*.png"))
        return np.stack([np.asarray(Image.open(f).convert("RGB")) for f in files])


def k_diffusion():
    """k-diffusion's samplers, without the parts of the package that train (they import a dozen further packages)."""
    import torch

    spec = importlib.util.find_spec("k_diffusion")
    package = types.ModuleType("k_diffusion")
    package.__path__ = list(spec.submodule_search_locations)
    utils = types.ModuleType("k_diffusion.utils")
    utils.append_dims = lambda x, n: x[(...,) + (None,) * (n - x.ndim)] if torch.is_tensor(x) else torch.as_tensor(x)
    sys.modules.update({"k_diffusion": package, "k_diffusion.utils": utils})
    return importlib.import_module("k_diffusion.sampling")


def sd_table(dtype=None):
    """Sigmas of the 1000 timesteps of Stable Diffusion, ascending; float32 unless told otherwise."""
    import torch

    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    product = torch.cumprod(1 - betas, 0)
    return ((1 - product) / product).sqrt().to(dtype or torch.float32)


def sd_sigmas(schedule, steps):
    """ComfyUI's «normal» and Karras' (rho 7) lists, descending to 0."""
    import torch

    table = sd_table()
    if schedule == "karras":
        low, high = table[0].item() ** (1 / 7), table[-1].item() ** (1 / 7)
        sigmas = (high + torch.linspace(0, 1, steps) * (low - high)) ** 7
    else:
        times = torch.linspace(999, 0, steps)
        below, above, w = times.floor().long(), times.ceil().long(), times.frac()
        sigmas = ((1 - w) * table.log()[below] + w * table.log()[above]).exp()
    return torch.cat([sigmas, torch.zeros(1)])


def flow_sigmas(steps, mu=1.15):
    """ComfyUI's «simple» list over Flux' shifted times, descending to 0."""
    import torch

    table = [math.exp(mu) / (math.exp(mu) + 10_000 / i - 1) for i in range(1, 10_001)]
    return torch.tensor([table[-1 - int(i * 10_000 / steps)] for i in range(steps)] + [0.0])


def sd_denoiser(network, cfg):
    """network(x of variance 1, timestep, "on" or "off") → epsilon, as k-diffusion's samplers call a model."""
    logs = sd_table().log()

    def denoise(x, sigma, **_):
        sigma = sigma.flatten()[0]
        timestep = (sigma.log() - logs).abs().argmin()
        scaled = x / (sigma**2 + 1).sqrt()
        off, on = (x - sigma * network(scaled, timestep, which) for which in ("off", "on"))
        return off + cfg * (on - off)

    return denoise


def compare(what, ours, pictures, allowed=2):
    """Largest difference of 8-bit pixels between ours and pictures (n, 3, h, w) in -1…1. Rounding alone makes up to 1."""
    import numpy as np

    theirs = ((pictures / 2 + 0.5).clamp(0, 1) * 255).permute(0, 2, 3, 1).numpy()
    assert ours.shape == theirs.shape, (what, ours.shape, theirs.shape)
    difference = np.abs(ours.astype(np.float32) - theirs)
    print(f"{what}: {len(ours)} pictures, largest difference {difference.max():.2f} of 255, mean {difference.mean():.3f}")
    return [] if difference.max() <= allowed else [f"{what}: largest difference {difference.max():.2f} of 255"]


def finish(failures, passed):
    for failure in failures:
        print(f"FAILED: {failure}")
    print(f"{passed} passed, {len(failures)} failed")
    sys.exit(bool(failures))
