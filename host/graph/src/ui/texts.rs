//! `%Sampler.seed%` and `%date:yyyy-MM-dd%` in the names of files: a value of another node, and the day, which the editor
//! fills in before it sends.

use crate::Moment;
use serde_json::{Map, Value};

/// Nodes whose `filename_prefix` the editor fills in.
const SAVES: &[&str] = &[
    "CLIPSave",
    "LoraSave",
    "ModelSave",
    "SaveAnimatedPNG",
    "SaveAnimatedWEBP",
    "SaveAudio",
    "SaveGLB",
    "SaveImage",
    "SaveLatent",
    "SaveSVGNode",
    "SaveVideo",
    "SaveWEBM",
    "VAESave",
];

const PREFIX: &str = "filename_prefix";

/// What the editor knows of a node by name.
pub(super) struct Named<'a> {
    /// `Node name for S&R`, which counts before the title.
    pub(super) alias: Option<&'a str>,
    pub(super) title: String,
    pub(super) values: Map<String, Value>,
}

pub(super) fn is_save(class_type: &str) -> bool {
    SAVES.contains(&class_type)
}

/// Fills in the prefix of a node that saves.
pub(super) fn fill_in(inputs: &mut Map<String, Value>, nodes: &[Named<'_>], now: &Moment) {
    if let Some(Value::String(text)) = inputs.get_mut(PREFIX) {
        *text = filled(text, nodes, now);
    }
}

/// What cannot be filled in stays: the server knows `%width%`, `%year%` and the like.
fn filled(text: &str, nodes: &[Named<'_>], now: &Moment) -> String {
    let (mut done, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('%') {
        done.push_str(before);
        let Some((inside, behind)) = after.split_once('%').filter(|(inside, _)| !inside.is_empty()) else {
            done.push('%');
            rest = after;
            continue;
        };
        // The editor itself takes a date with dots in it for a node and its widget, which helps nobody.
        let date = inside.strip_prefix("date:").map(|pattern| now.format(pattern));
        match date.or_else(|| value(inside, nodes)) {
            Some(value) => done.push_str(&value),
            None => done.push_str(&format!("%{inside}%")),
        }
        rest = behind;
    }
    done + rest
}

fn value(inside: &str, nodes: &[Named<'_>]) -> Option<String> {
    let (name, widget) = inside.split_once('.').filter(|(_, widget)| !widget.contains('.'))?;
    let node = nodes.iter().find(|n| n.alias == Some(name)).or_else(|| nodes.iter().find(|n| n.title == name))?;
    let text = match node.values.get(widget)? {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let unfit = |c: char| c.is_ascii_control() || "/?<>\\:*|\"".contains(c);
    Some(text.chars().map(|c| if unfit(c) { '_' } else { c }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_other_nodes_are_filled_in_by_alias_or_title() {
        let node = |alias, title: &str, values: Value| Named {
            alias,
            title: title.to_owned(),
            values: values.as_object().cloned().unwrap(),
        };
        let nodes = [
            node(Some("KSampler"), "First pass", json!({ "seed": 7, "cfg": 7.5 })),
            node(None, "KSampler", json!({ "seed": 8 })),
            node(None, "Loader", json!({ "name": "sd/15:a?.ckpt", "none": null })),
        ];
        let now = Moment { year: 2031, month: 4, day: 7, hour: 15, minute: 9, second: 26 };
        let fill = |text: &str| filled(text, &nodes, &now);
        assert_eq!(fill("out/%KSampler.seed%_%First pass.cfg%"), "out/7_7.5");
        assert_eq!(fill("%Loader.name%%Loader.none%"), "sd_15_a_.ckpt");
        assert_eq!(fill("%date:yyyy-MM-dd%/%date:hh.mm%_%KSampler.seed%"), "2031-04-07/15.09_7");
        for kept in ["%width%x%height%", "%date%", "%Absent.seed%", "%KSampler.absent%", "100%", "%%a", "%a.b.c%"] {
            assert_eq!(fill(kept), kept);
        }
    }
}
