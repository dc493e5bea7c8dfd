#!/usr/bin/env python3
"""Runs ComfyUI's own execution tests, unchanged, against `anagama serve` with the plugin `comfy-testing-pack`.

    cargo build -p app && cargo xtask guests comfy-testing-pack
    python3 tests/peers/execution/run.py FOLDER_OF_COMFYUI [--program FILE] [--keep] [PYTEST_ARGUMENT…]

The folder (or ANAGAMA_COMFYUI_TESTS) is a checkout of ComfyUI; `tests` and `comfy_execution` are copied out of it to a
folder of the system's temporary one, `main.py` is ours. 0.3.64 has 185 tests. What is not known here is given to pytest,
so `-k lazy` runs a part. ComfyUI's own tests need: pytest websocket-client numpy pillow torch
"""
import argparse
import collections
import importlib.util
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PACK = "comfy-testing-pack"

# Files that talk to a server only; the others of newer versions import ComfyUI's modules.
FILES = ["test_execution.py", "test_async_nodes.py", "test_progress_isolation.py"]
NEEDED = ["pytest", "websocket", "numpy", "PIL", "torch"]


def scratch(comfyui, folder):
    """What of ComfyUI the tests read, with our main.py, and a `python` to start that with."""
    work = folder / "work"
    work.mkdir()
    for part in ["tests", "comfy_execution"]:
        shutil.copytree(comfyui / part, work / part)
    if (comfyui / "pytest.ini").is_file():
        shutil.copy(comfyui / "pytest.ini", work)
    shutil.copy(HERE / "main.py", work)
    start = folder / "bin" / "python"
    start.parent.mkdir()
    start.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    start.chmod(0o755)
    (folder / "servers").mkdir()
    (folder / "plugins").mkdir()
    built = ROOT / "target/test-plugins" / PACK
    if not built.is_dir():
        raise SystemExit(f"{built} is not built; run `cargo xtask guests {PACK}`")
    shutil.copytree(built, folder / "plugins" / PACK)
    return work


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def report(results):
    """Prints each test that did not pass with the last line of why; returns how many of how many passed."""
    counts = collections.Counter()
    for case in xml.parse(results).iter("testcase"):
        bad = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        counts["passed" if bad is None else bad.tag] += 1
        if bad is not None:
            why = (bad.get("message") or "").strip().splitlines() or ["no reason given"]
            print(f"{bad.tag}: {case.get('name')}: {why[0][:300]}")
    return counts


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("comfyui", nargs="?", type=pathlib.Path, default=os.environ.get("ANAGAMA_COMFYUI_TESTS"))
    arguments.add_argument("--program", type=pathlib.Path, default=ROOT / "target/debug/anagama")
    arguments.add_argument("--keep", action="store_true", help="keep the servers' folders and logs, and say where")
    options, rest = arguments.parse_known_args()
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SystemExit(f"Python lacks {', '.join(missing)}; see the top of {__file__}")
    if options.comfyui is None:
        raise SystemExit("name a folder of ComfyUI, or set ANAGAMA_COMFYUI_TESTS")
    comfyui = pathlib.Path(options.comfyui).resolve()
    if not options.program.exists():
        raise SystemExit(f"{options.program} is not built")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="anagama-execution-"))
    work = scratch(comfyui, folder)
    # The compiled plugin is kept below HOME, so that only the first of the servers compiles it.
    environment = {
        **os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": str(folder), "PYTHONPATH": str(work),
        "ANAGAMA_EXECUTION": str(folder / "servers"), "ANAGAMA_EXECUTION_PLUGINS": str(folder / "plugins"),
        "ANAGAMA_EXECUTION_PROGRAM": str(options.program.resolve()),
    }
    for name in ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"]:
        environment.pop(name, None)
    results = folder / "results.xml"
    files = [str(pathlib.Path("tests/execution") / name) for name in FILES if (work / "tests/execution" / name).is_file()]
    command = [
        sys.executable, "-m", "pytest", *files, "--port", str(free_port()), "--output_dir", str(folder / "output"),
        "--junit-xml", str(results), "-q", "-p", "no:cacheprovider", *rest,
    ]
    pytest = subprocess.run(command, cwd=work, env=environment, check=False)
    if not results.is_file():
        raise SystemExit(f"pytest ended with {pytest.returncode} and no results; the servers' logs: {folder}/servers")
    counts = report(results)
    print(json.dumps({**counts, "of": counts.total()}))
    if options.keep:
        print(f"kept: {folder}")
    else:
        shutil.rmtree(folder)
    return 0 if pytest.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
