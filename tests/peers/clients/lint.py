"""comfy-lint: a good prompt has no errors, a bad one has."""

import json
import os
import pathlib
import subprocess

from graphs import saved

base = pathlib.Path(os.environ["ANAGAMA_BASE"])


def lint(name, graph):
    file = base / f"{name}.json"
    file.write_text(json.dumps(graph))
    command = ["comfy-lint", "--json", "--server", os.environ["ANAGAMA_URL"], file]
    run = subprocess.run(command, capture_output=True, text=True)
    return run.returncode, run.stdout


code, text = lint("good", saved())
assert code == 0, text
bad = saved()
del bad["1"]["inputs"]["width"]
bad["2"]["inputs"]["image"] = ["9", 0]
code, text = lint("bad", bad)
assert code != 0 and "width" in text, text
examples = pathlib.Path(__file__).resolve().parents[3] / "examples"
clean, checked = 0, 0
for file in sorted(examples.glob("*/workflow.json")):
    code, text = lint("example", json.loads(file.read_text()))
    checked += 1
    clean += code == 0
    if code:
        for found in json.loads(text)["files"][0]["diagnostics"]:
            print(file.parent.name, found["rule"], found["class_type"], found["message"][:160])
print(f"did: found nothing in a good prompt and both faults in a bad one; {clean} of {checked} examples are clean")
