#!/usr/bin/env python3
"""Runs third-party clients of ComfyUI, unchanged, against `anagama serve`, and prints a table.

    python3 tests/peers/clients/run.py [--program target/debug/anagama] [--only NAME]

The clients are fetched by pip, npm and cargo into --folder (default: a folder of the system's temporary one) the first time.
Each is one script or crate here: it gets the server's address in $ANAGAMA_URL, prints one line of what it did, and ends with 0.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]

PYTHON = ["comfy-cli==1.23.0", "comfy-script[default]==0.6.1", "comfy-api-simplified==1.6.0", "comfy-lint==0.1.0"]
NPM = ["comfy-ui-client@0.1.2", "@saintno/comfyui-sdk@0.3.1", "@stable-canvas/comfyui-client@1.5.9", "ws@8", "playwright-core@1"]

# (what it is called, its script)
CLIENTS = [
    ("comfy-cli 1.23.0", "cli.py"),
    ("comfy-script 0.6.1", "script.py"),
    ("comfy-api-simplified 1.6.0", "simplified.py"),
    ("comfy-lint 0.1.0", "lint.py"),
    ("comfy-ui-client 0.1.2", "ui_client.mjs"),
    ("@saintno/comfyui-sdk 0.3.1", "saintno.mjs"),
    ("@stable-canvas/comfyui-client 1.5.9", "stable_canvas.mjs"),
    ("rucomfyui 1.1.1", "rucomfyui"),
]


def fetch(folder):
    """A virtual environment and a node folder with the clients."""
    venv, npm = folder / "venv", folder / "npm"
    if not (venv / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/pip", "install", "-q", *PYTHON], check=True)
        (venv / "ready").touch()
    if shutil.which("npm") and not (npm / "ready").exists():
        npm.mkdir(parents=True, exist_ok=True)
        (npm / "package.json").write_text('{"private": true}')
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", *NPM], cwd=npm, check=True)
        (npm / "ready").touch()
    return venv, npm


def build(folder, crate):
    """The program of a crate, built outside of the repository; or why there is none."""
    if not shutil.which("cargo"):
        return None, "cargo is not here"
    source = folder / crate
    shutil.copytree(HERE / crate, source, dirs_exist_ok=True)
    fetched = subprocess.run(["cargo", "fetch", "-q"], cwd=source, capture_output=True, text=True)
    if fetched.returncode != 0:
        return None, f"cargo cannot fetch it: {(fetched.stderr.strip().splitlines() or ['it does not say why'])[-1].strip()}"
    quiet = ["nice", "-n", "19"] if shutil.which("nice") else []
    target = folder / "target"
    subprocess.run([*quiet, "cargo", "build", "-q", "--target-dir", target], cwd=source, check=True)
    return target / f"debug/{crate}-client", None


class Server:
    """`anagama serve` on a free port in an empty folder."""

    def __init__(self, program, *arguments):
        self.folder = tempfile.TemporaryDirectory()
        base = pathlib.Path(self.folder.name)
        self.base = base
        environment = {**os.environ, "HOME": str(base)}
        command = [program, "serve", "--port", "0", "--base-directory", base, "--store", base / "store", *arguments]
        self.log = open(base / "log", "w")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment, cwd=base
        )
        line = self.process.stdout.readline()
        if "listens on" not in line:
            raise SystemExit(f"the server did not start: {(base / 'log').read_text()}")
        self.url = line.split()[-1]

    def stop(self):
        self.process.terminate()
        code = self.process.wait(20)
        self.folder.cleanup()
        return code


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", default=ROOT / "target/debug/anagama")
    arguments.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "anagama-clients")
    arguments.add_argument("--only")
    options = arguments.parse_args()
    venv, npm = fetch(options.folder)
    failed, rows = 0, []
    for name, script in CLIENTS:
        if options.only and options.only not in name and options.only not in script:
            continue
        node = script.endswith(".mjs")
        if node and not shutil.which("node"):
            rows.append((name, "skipped", "node is not here"))
            continue
        program = None
        if (HERE / script).is_dir():
            program, missing = build(options.folder, script)
            if missing:
                print(f"SKIPPED: {name}: {missing}")
                rows.append((name, "skipped", missing))
                continue
        server = Server(options.program, "--config", ROOT / "examples/anagama.toml")
        environment = {
            **os.environ, "ANAGAMA_URL": server.url, "ANAGAMA_BASE": str(server.base), "HOME": str(server.base),
            "PATH": f"{venv}/bin:{os.environ['PATH']}", "NO_COLOR": "1",
        }
        if program:
            command = [program]
        elif node:
            # Imports are looked for beside the script, so it is copied beside its packages.
            target = npm / script
            shutil.copy(HERE / script, target)
            command = ["node", target]
        else:
            command = [venv / "bin/python", HERE / script]
        try:
            run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, cwd=server.base)
            lines = [line for line in run.stdout.strip().splitlines() if line.startswith("did: ")]
            good = run.returncode == 0 and lines
            rows.append((name, "pass" if good else "FAIL", lines[-1][5:] if lines else ""))
            if not good:
                failed += 1
                sys.stderr.write(f"--- {name}\n{run.stdout}\n{run.stderr}\n--- server\n{(server.base / 'log').read_text()}\n")
        except subprocess.TimeoutExpired as error:
            failed += 1
            rows.append((name, "FAIL", "took too long"))
            sys.stderr.write(f"--- {name}\n{error.stdout}\n{error.stderr}\n")
        server.stop()
    print("| client | result | what it did |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(json.dumps({"failed": failed, "of": len(rows)}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
