"""comfy-cli: runs a prompt and an editor's workflow to their ends."""

import json
import os
import pathlib
import subprocess

from graphs import saved, workflow

host, port = os.environ["ANAGAMA_URL"].removeprefix("http://").split(":")
base = pathlib.Path(os.environ["ANAGAMA_BASE"])
subprocess.run(["comfy", "--skip-prompt", "tracking", "disable"], capture_output=True)
for name, graph in [("api", saved(prefix="api")), ("editor", workflow())]:
    file = base / f"{name}.json"
    file.write_text(json.dumps(graph))
    command = ["comfy", "--skip-prompt", "run", "--workflow", file, "--wait", "--host", host, "--port", port, "--timeout", "60"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert (base / f"output/{name}_00001_.png").exists(), run.stdout
print("did: ran a prompt in API form and a workflow in editor form, both saved their picture")
