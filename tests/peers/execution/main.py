"""Stands where ComfyUI's tests start their server: becomes `anagama serve` with the same flags.

`run.py` copies it beside the tests and says in the environment which program and plugins to use. Each start is a new
host: its folder below `ANAGAMA_EXECUTION` is empty, so that nothing which an earlier server computed is remembered.
"""
import json
import os
import pathlib
import sys
import tempfile

base = pathlib.Path(tempfile.mkdtemp(prefix="server-", dir=os.environ["ANAGAMA_EXECUTION"]))
plugins = json.dumps([os.environ["ANAGAMA_EXECUTION_PLUGINS"]])
names = '[grants.plugins."test.comfy-testing-pack"]\nnode-names = ["Stub*", "Test*"]\n'
(base / "anagama.toml").write_text(f'plugins = {plugins}\nstore = "store"\n{names}')
program = os.environ["ANAGAMA_EXECUTION_PROGRAM"]
given = ["--config", str(base / "anagama.toml"), "--base-directory", str(base), "--no-front-end"]
with open(base / "log", "w") as log:
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
os.execv(program, [program, "serve", *given, *sys.argv[1:]])
