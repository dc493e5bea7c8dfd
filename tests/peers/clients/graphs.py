"""Prompts that need no model."""


def saved(color=0x3366CC, prefix="client"):
    def node(title, kind, **inputs):
        return {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}

    return {
        "1": node("Empty Image", "EmptyImage", width=64, height=64, batch_size=1, color=color),
        "2": node("Invert", "ImageInvert", image=["1", 0]),
        "3": node("Save Image", "SaveImage", images=["2", 0], filename_prefix=prefix),
    }


def workflow(color=0x3366CC):
    """The same as an editor saves it."""

    def node(number, kind, widgets, inputs, outputs):
        return {
            "id": number, "type": kind, "pos": [300 * number, 100], "size": [270, 100], "flags": {}, "order": number - 1,
            "mode": 0, "inputs": inputs, "outputs": outputs, "properties": {}, "widgets_values": widgets,
        }

    image = {"name": "IMAGE", "type": "IMAGE"}
    return {
        "id": "5f1f2f3c-0000-4000-8000-000000000001", "revision": 0, "last_node_id": 3, "last_link_id": 2,
        "nodes": [
            node(1, "EmptyImage", [64, 64, 1, color], [], [{**image, "links": [1]}]),
            node(2, "ImageInvert", [], [{"name": "image", "type": "IMAGE", "link": 1}], [{**image, "links": [2]}]),
            node(3, "SaveImage", ["editor"], [{"name": "images", "type": "IMAGE", "link": 2}], []),
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]],
        "groups": [], "config": {}, "extra": {}, "version": 0.4,
    }
