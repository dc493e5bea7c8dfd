"""comfy-api-simplified: sends, then listens, then fetches the pictures; uploads one."""

import os
import pathlib

from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper

from graphs import saved

base = pathlib.Path(os.environ["ANAGAMA_BASE"])
api = ComfyApiWrapper(os.environ["ANAGAMA_URL"] + "/")
for color in (1, 2, 3):
    graph = ComfyWorkflowWrapper(saved(color))
    graph.set_node_param("Save Image", "filename_prefix", "simplified")
    pictures = api.queue_and_wait_images(graph, "Save Image")
    assert len(pictures) == 1 and next(iter(pictures.values()))[:4] == b"\x89PNG", pictures
picture = base / "output/simplified_00001_.png"
uploaded = api.upload_image(str(picture))
assert uploaded["name"] == "simplified_00001_.png", uploaded
print("did: ran three prompts, fetched their pictures, uploaded one")
