"""rucomfyui 1.1.1 is typed: what its types demand of the answers, as its source says."""

import json
import os
import time
import urllib.request

from graphs import saved

url = os.environ["ANAGAMA_URL"]


def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
    return json.loads(text) if text else None


for name, node in ask("/object_info").items():
    assert isinstance(node["input"]["required"], dict), name
    assert isinstance(node["input_order"]["required"], list), name
    for key in ("name", "display_name", "description", "category"):
        assert isinstance(node[key], str), (name, key)
    assert isinstance(node["output_node"], bool) and isinstance(node["output_is_list"], list), name
    assert all(isinstance(o, str) for o in node["output_name"]), name
for device in ask("/system_stats")["devices"]:
    for key in ("index", "vram_total", "vram_free", "torch_vram_total", "torch_vram_free"):
        assert isinstance(device[key], int) and device[key] >= 0, key
queued = ask("/prompt", {"prompt": saved(), "client_id": "ru"})
assert isinstance(queued["number"], int) and queued["number"] >= 0 and queued["node_errors"] == {}
while not (history := ask("/history/" + queued["prompt_id"])):
    time.sleep(0.05)
entry = history[queued["prompt_id"]]
assert isinstance(entry["prompt"][0], int) and entry["status"]["status_str"] == "success"
for image in entry["outputs"]["3"]["images"]:
    assert set(image) >= {"filename", "subfolder", "type"}
queue = ask("/queue")
assert queue == {"queue_running": [], "queue_pending": []}
print("did: nodes, devices, queue number, history and queue have the types that it reads (not run itself)")
