//! Inputs that follow from others: menus whose choices bring their own, and links that grow in number.

use crate::support::Server;
use serde_json::{Value, json};

fn prompt(resize: Value, images: Value) -> Value {
    let empty = |width: u32| json!({"class_type": "EmptyImage", "inputs": {"width": width, "height": 32, "batch_size": 1, "color": width}});
    let mut resize = resize;
    resize["input"] = json!(["1", 0]);
    resize["scale_method"] = json!("area");
    json!({
        "1": empty(64),
        "2": empty(48),
        "3": {"class_type": "ResizeImageMaskNode", "inputs": resize},
        "4": {"class_type": "BatchImagesNode", "inputs": images},
        "5": {"class_type": "SaveImageAdvanced", "inputs": {
            "images": ["4", 0], "filename_prefix": "dynamic", "format": "png",
            "format.bit_depth": "16-bit", "format.input_color_space": "sRGB",
        }},
    })
}

/// Width and height, as the header of a PNG says.
fn size(png: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn dynamic_inputs_are_described_checked_and_run_as_comfyui_s() {
    let server = Server::start(&[]);
    let info = server.get("/object_info").json();
    let resize = &info["ResizeImageMaskNode"]["input"]["required"]["resize_type"];
    assert_eq!(resize[0], "COMFY_DYNAMICCOMBO_V3");
    let options = resize[1]["options"].as_array().unwrap();
    assert_eq!((options.len(), &options[0]["key"]), (9, &json!("scale dimensions")));
    let first = &options[0]["inputs"]["required"];
    assert_eq!((&first["width"][0], &first["crop"][0]), (&json!("INT"), &json!(["disabled", "center"])));
    let images = &info["BatchImagesNode"]["input"]["required"]["images"];
    assert_eq!(images[0], "COMFY_AUTOGROW_V3");
    let template = json!({"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 2, "max": 50});
    assert_eq!(images[1]["template"], template);
    assert_eq!(info["BatchImagesNode"]["input_order"]["required"], json!(["images"]));

    let half = json!({"resize_type": "scale by multiplier", "resize_type.multiplier": 0.5});
    let three = json!({"images.image0": ["3", 0], "images.image1": ["2", 0], "images.image2": ["1", 0]});
    let id = server.prompt(&json!({"prompt": prompt(half.clone(), three.clone())}));
    let entry = server.finished(&id);
    assert_eq!(entry["status"]["status_str"], "success", "{entry}");
    let shown = entry["outputs"]["5"]["images"].as_array().unwrap();
    assert_eq!(shown.len(), 3);
    for picture in shown {
        let png = server.get(&format!("/view?filename={}", picture["filename"].as_str().unwrap()));
        assert_eq!(size(&png.body), (32, 16), "all have the size of the first");
    }

    let refused = |resize: Value, images: Value| {
        let answer = server.post("/prompt", &json!({"prompt": prompt(resize, images)}));
        assert_eq!(answer.status, 400, "{}", answer.text());
        let nodes = answer.json()["node_errors"].clone();
        let errors = ["3", "4"].map(|id| nodes[id]["errors"].as_array().cloned().unwrap_or_default()).concat();
        errors
            .iter()
            .map(|e| format!("{} {}", e["extra_info"]["input_name"].as_str().unwrap(), e["type"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let nine = json!({"resize_type": "scale by multiplier", "resize_type.multiplier": 9});
    assert_eq!(
        refused(nine, json!({"images.image0": ["3", 0]})),
        ["resize_type.multiplier value_bigger_than_max", "images.image1 required_input_missing"]
    );
    assert_eq!(refused(json!({"resize_type": "scale"}), three.clone()), ["resize_type value_not_in_list"]);
    let unlinked = json!({"resize_type": "match size", "resize_type.crop": "center"});
    assert_eq!(refused(unlinked, three), ["resize_type.match required_input_missing"]);
}

/// As the editor saves it.
#[test]
fn a_workflow_of_the_editor_with_dynamic_inputs_runs() {
    let server = Server::start(&[]);
    let node = |id: u32, class: &str, inputs: &[(&str, &str, Option<u32>)], values: Value| {
        let input = |(name, kind, link): &(&str, &str, Option<u32>)| json!({"name": name, "type": kind, "link": link});
        let inputs: Vec<Value> = inputs.iter().map(input).collect();
        json!({
            "id": id, "type": class, "mode": 0, "inputs": inputs, "widgets_values": values,
            "outputs": [{"name": "IMAGE", "type": "IMAGE"}],
        })
    };
    let images =
        [("images.image0", "IMAGE", Some(2)), ("images.image1", "IMAGE", Some(3)), ("images.image2", "IMAGE", None)];
    let workflow = json!({
        "nodes": [
            node(1, "EmptyImage", &[], json!([64, 32, 1, 0])),
            node(2, "ResizeImageMaskNode", &[("input", "IMAGE,MASK", Some(1))], json!(["scale dimensions", 20, 0, "center", "area"])),
            node(3, "BatchImagesNode", &images, json!([])),
            node(4, "SaveImageAdvanced", &[("images", "IMAGE", Some(4))], json!(["edited", "png", "8-bit", "sRGB"])),
        ],
        "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"], [3, 1, 0, 3, 1, "IMAGE"], [4, 3, 0, 4, 0, "IMAGE"]],
        "version": 0.4,
    });
    let id = server.prompt(&json!({"prompt": workflow}));
    let entry = server.finished(&id);
    assert_eq!(entry["status"]["status_str"], "success", "{entry}");
    let shown = entry["outputs"]["4"]["images"].as_array().unwrap();
    assert_eq!(shown.len(), 2);
    let png = server.get(&format!("/view?filename={}", shown[1]["filename"].as_str().unwrap()));
    assert_eq!(size(&png.body), (20, 10));
}
