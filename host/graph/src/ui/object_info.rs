//! Node descriptions from another server's `/object_info`.

use super::shape::{Describe, Holds, Shape, Slot, Widget};
use crate::nearest;
use serde_json::{Value, json};

/// The answer of a server's `GET /object_info`.
pub struct ObjectInfo(Value);

/// Types that the editor has a widget for, besides the usual ones; each has a place among the saved values.
const OTHER_WIDGETS: &[&str] = &[
    "AUDIO_RECORD",
    "AUDIO_UI",
    "BOUNDING_BOX",
    "CHART",
    "COLOR",
    "CURVE",
    "FILEUPLOAD",
    "GALLERIA",
    "IMAGECOMPARE",
    "IMAGECROP",
    "LOAD_3D",
    "LOAD_3D_ADVANCED",
    "LOAD_3D_ANIMATION",
    "PAINTER",
    "PREVIEW_3D",
    "PREVIEW_3D_ANIMATION",
    "RANGE",
    "TREESELECT",
    "WEBCAM",
];

/// Buttons: a place among the saved values, but nothing to send.
const BUTTONS: &[&str] = &["IMAGEUPLOAD", "AUDIOUPLOAD"];

impl ObjectInfo {
    /// # Errors
    /// JSON that is not an object of node descriptions by class.
    pub fn new(value: Value) -> Result<Self, String> {
        match &value {
            Value::Object(map) if map.values().all(|v| v.get("input").is_some()) && !map.is_empty() => Ok(Self(value)),
            Value::Object(map) if !map.is_empty() => {
                let wrong = map.iter().find(|(_, v)| v.get("input").is_none()).map_or("", |(k, _)| k);
                Err(format!("expected the answer of /object_info, found `{wrong}` without `input`"))
            }
            _ => Err("expected the answer of /object_info: an object with a description for each node".to_owned()),
        }
    }
}

impl Describe for ObjectInfo {
    fn shape(&self, class_type: &str) -> Option<Shape> {
        let node = self.0.get(class_type)?;
        let title = ["display_name", "name"].iter().find_map(|k| node.get(k)?.as_str()).filter(|t| !t.is_empty());
        let mut inputs = section(node, "required");
        inputs.extend(buttons(&inputs_of(node, "required")));
        inputs.extend(section(node, "optional"));
        Some(Shape { title: title.unwrap_or(class_type).to_owned(), inputs })
    }

    fn suggest(&self, class_type: &str) -> Option<String> {
        nearest(class_type, self.0.as_object()?.keys().map(String::as_str)).map(str::to_owned)
    }
}

/// The inputs of one section, in the order that the node gives, if it gives one.
fn inputs_of<'v>(node: &'v Value, section: &str) -> Vec<(&'v str, &'v Value)> {
    let Some(inputs) = node.get("input").and_then(|i| i.get(section)).and_then(Value::as_object) else {
        return Vec::new();
    };
    let order = node.get("input_order").and_then(|o| o.get(section)).and_then(Value::as_array);
    let ordered: Vec<&str> = order.into_iter().flatten().filter_map(Value::as_str).collect();
    let mut all: Vec<(&str, &Value)> = inputs.iter().map(|(k, v)| (k.as_str(), v)).collect();
    all.sort_by_key(|(name, _)| ordered.iter().position(|o| o == name).unwrap_or(ordered.len()));
    all
}

fn section(node: &Value, name: &str) -> Vec<Slot> {
    inputs_of(node, name).into_iter().map(|(name, input)| slot(name, input, 0)).collect()
}

/// The editor adds a button after the required inputs of nodes that take files.
fn buttons(inputs: &[(&str, &Value)]) -> Vec<Slot> {
    let has = |option: &str| inputs.iter().any(|(_, i)| flag(i.get(1), option));
    let mut all = Vec::new();
    if has("audio_upload") {
        let mut player = Slot::widget("audioUI", Holds::Other, Some(json!("")));
        player.name = "audioUI".to_owned();
        all.extend([player, Slot::button("upload")]);
    } else if ["image_upload", "video_upload", "animated_image_upload"].iter().any(|o| has(o)) {
        all.push(Slot::button("upload"));
    }
    all
}

fn flag(options: Option<&Value>, name: &str) -> bool {
    options.and_then(|o| o.get(name)).is_some_and(|v| !matches!(v, Value::Null | Value::Bool(false)))
}

/// Descriptions nest no deeper than JSON may.
fn slot(name: &str, input: &Value, depth: usize) -> Slot {
    let options = input.get(1);
    let option = |key: &str| options.and_then(|o| o.get(key)).filter(|v| !v.is_null());
    if flag(options, "forceInput") || flag(options, "defaultInput") {
        return Slot::link(name);
    }
    let kind = option("widgetType").or_else(|| input.get(0)).unwrap_or(&Value::Null);
    let default = option("default").cloned();
    let widget = |holds, otherwise: Option<Value>| Slot::widget(name, holds, default.clone().or(otherwise));
    let control = match option("control_after_generate") {
        Some(v) => *v != Value::Bool(false),
        None => depth == 0 && kind == "INT" && matches!(name, "seed" | "noise_seed"),
    };
    match kind {
        Value::Array(choices) => choice(name, choices, default).with_control(control),
        Value::String(kind) => match kind.as_str() {
            "INT" | "FLOAT" => widget(Holds::Number, Some(json!(0))).with_control(control),
            "BOOLEAN" => widget(Holds::Boolean, Some(json!(false))),
            "STRING" if flag(options, "dynamicPrompts") => widget(Holds::Prompt, Some(json!(""))),
            "STRING" | "MARKDOWN" | "TEXTAREA" => widget(Holds::Text, Some(json!(""))),
            "COMBO" => {
                let choices = option("options").and_then(Value::as_array);
                choice(name, choices.map_or(&[][..], Vec::as_slice), default).with_control(control)
            }
            "COMFY_DYNAMICCOMBO_V3" => branches(name, option("options"), default, depth),
            k if BUTTONS.contains(&k) => Slot::button(name),
            k if OTHER_WIDGETS.contains(&k) || flag(options, "socketless") => widget(Holds::Other, None),
            _ => Slot::link(name),
        },
        _ => Slot::link(name),
    }
}

fn choice(name: &str, choices: &[Value], default: Option<Value>) -> Slot {
    let default = default.or_else(|| choices.first().cloned());
    Slot::widget(name, Holds::Choice(choices.to_vec()), default)
}

fn branches(name: &str, options: Option<&Value>, default: Option<Value>, depth: usize) -> Slot {
    let mut all = Vec::new();
    for option in options.and_then(Value::as_array).into_iter().flatten() {
        let key = option.get("key").cloned().unwrap_or_default();
        let sections = ["required", "optional"].map(|s| option.get("inputs").and_then(|i| i.get(s)?.as_object()));
        let inner = sections.into_iter().flatten().flatten();
        all.push((key, inner.map(|(n, i)| slot(n, i, depth + 1)).collect()));
    }
    let default = default.or_else(|| all.first().map(|(key, _)| key.clone()));
    let widget = Widget { holds: Holds::Branches(all), default, control: false, sent: true };
    Slot { name: name.to_owned(), widget: Some(widget) }
}
