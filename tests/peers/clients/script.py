"""comfy-script: makes Python stubs of all nodes, runs a script, waits for its picture."""

import os

from comfy_script.runtime import load, queue

load(os.environ["ANAGAMA_URL"] + "/")
from comfy_script.runtime import Workflow
from comfy_script.runtime import nodes

with Workflow(wait=False) as workflow:
    image = nodes.EmptyImage(64, 64, 1, 0x123456)
    image = nodes.ImageInvert(image)
    result = nodes.SaveImage(image, "script")
task = workflow.task
results = task.wait()
pictures = results[0].wait() if hasattr(results[0], "wait") else results[0]
size = pictures[0].size if hasattr(pictures, "__getitem__") else None
assert size == (64, 64), (results, pictures, size)
count = len([name for name in dir(nodes) if name[0].isupper()])
print(f"\ndid: made stubs of {count} nodes, ran a script, read its picture of {size[0]}x{size[1]}")
os._exit(0)
