//! The derive and its helpers, on structs as authors write them.

use crate::{Input, Inputs, Socket, Value, Values, Widget, unknown_inputs, values_from_json};
use serde_json::json;

const NAMES: &[&str] = &["euler", "ddim"];

/// Samples
/// an image.
///
/// With a denoiser.
#[derive(Debug, Inputs)]
struct Everything {
    /// Steps
    /// to take.
    #[input(default = 20, range = 1..=10_000)]
    steps: u32,
    #[input(default = 8.0, range = 0.0..=100.0, step = 0.1, round = 0.01)]
    cfg: f32,
    #[input(default = 0, seed)]
    seed: u64,
    #[input(default = NAMES[0], options = NAMES)]
    sampler: String,
    #[input(default = vec!["a".to_owned()], options = ["a", "b"], multiselect)]
    parts: Vec<String>,
    #[input(default = "x", multiline, placeholder = "write")]
    text: String,
    #[input(default = true, label_on = "yes", label_off = "no")]
    on: bool,
    #[input(host_list = "models/loras")]
    lora: String,
    #[input(range = 0.0..=1.0)]
    strengths: Option<Vec<f32>>,
    #[input(lazy, link)]
    extra: Option<serde_json::Value>,
    #[input(name = "type", default = 3, required)]
    r#kind: i64,
    #[input(flatten)]
    inner: Inner,
}

#[derive(Debug, Inputs)]
struct Inner {
    #[input(default = 1, range = ..=5)]
    depth: i32,
}

#[derive(Inputs)]
struct Unit;

fn input(name: &str) -> Input {
    Everything::inputs().into_iter().find(|i| i.name == name).unwrap()
}

fn values(v: serde_json::Value) -> Values {
    values_from_json(v).unwrap()
}

#[test]
fn describes_every_field_in_order() {
    let names: Vec<_> = Everything::inputs().into_iter().map(|i| i.name).collect();
    let expected =
        ["steps", "cfg", "seed", "sampler", "parts", "text", "on", "lora", "strengths", "extra", "type", "depth"];
    assert_eq!(names, expected);
    assert_eq!(Everything::description(), "Samples an image.\n\nWith a denoiser.");
    assert_eq!(input("steps").tooltip.as_deref(), Some("Steps to take."));
    assert_eq!(input("cfg").tooltip, None);
    assert!(Unit::inputs().is_empty());
}

#[test]
fn widgets_follow_type_and_attributes() {
    assert_eq!(input("steps").widget, Widget::Int { default: 20, min: 1, max: 10_000, step: 1, seed_control: false });
    assert_eq!(input("cfg").widget, Widget::Float { default: 8.0, min: 0.0, max: 100.0, step: 0.1, round: Some(0.01) });
    assert_eq!(input("seed").widget, Widget::Int { default: 0, min: 0, max: i64::MAX, step: 1, seed_control: true });
    let names = vec!["euler".to_owned(), "ddim".to_owned()];
    assert_eq!(
        input("sampler").widget,
        Widget::Combo { options: names, default: Some("euler".into()), multiselect: false }
    );
    assert!(matches!(input("parts").widget, Widget::Combo { multiselect: true, .. }));
    assert_eq!(
        input("text").widget,
        Widget::Text { default: "x".into(), multiline: true, placeholder: Some("write".into()) }
    );
    assert_eq!(
        input("on").widget,
        Widget::Boolean { default: true, label_on: Some("yes".into()), label_off: Some("no".into()) }
    );
    assert_eq!(input("lora").widget, Widget::HostList("models/loras".into()));
    assert_eq!(input("extra").widget, Widget::None);
    assert_eq!(input("extra").socket, Socket::Json);
    assert!(input("extra").lazy);
    assert!(input("strengths").is_list);
}

#[test]
fn required_follows_defaults_and_options() {
    let required: Vec<_> = Everything::inputs().into_iter().filter(|i| i.required).map(|i| i.name).collect();
    assert_eq!(required, ["lora", "type"]);
}

#[test]
fn absent_inputs_take_their_defaults() {
    let e = Everything::from_values(values(json!({"lora": "l", "type": 4, "seed": u64::MAX, "depth": 5}))).unwrap();
    assert_eq!((e.steps, e.cfg, e.seed, e.kind, e.inner.depth), (20, 8.0, u64::MAX, 4, 5));
    assert_eq!((e.sampler.as_str(), e.parts, e.text.as_str(), e.on), ("euler", vec!["a".to_owned()], "x", true));
    assert!(e.strengths.is_none() && e.extra.is_none());
    assert_eq!(e.lora, "l");
}

#[test]
fn reports_all_problems_at_once() {
    let bad = values(json!({
        "steps": 0, "cfg": "much", "sampler": "heun", "parts": ["a", "c"], "strengths": [0.5, 1.5], "depth": 6,
    }));
    let problems: Vec<_> = Everything::from_values(bad).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "`steps`: expected 1 to 10000, found 0",
            "`cfg`: expected FLOAT, found \"much\"",
            "`sampler`: expected one of euler, ddim; found \"heun\"",
            "`parts`: expected one of a, b; found \"c\"",
            "`lora`: required input is missing; expected STRING",
            "`strengths`: expected 0 to 1, found 1.5",
            "`type`: required input is missing; expected INT",
            "`depth`: expected at most 5, found 6",
        ]
    );
}

#[test]
fn unknown_names_are_listed_with_the_known_ones() {
    let found = unknown_inputs::<Inner>(&values(json!({"depth": 1, "width": 2})));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].to_string(), "`width`: unknown setting; known are depth");
}

#[test]
fn only_objects_are_settings() {
    assert!(values_from_json(json!(null)).unwrap().is_empty());
    assert_eq!(values_from_json(json!([1])).unwrap_err(), "expected a JSON object, found a JSON array of 1");
}

#[test]
fn lists_are_checked_item_by_item() {
    let list = Value::List(vec![Value::from("a"), Value::from("z")]);
    let mut given = values(json!({"lora": "l", "type": 4}));
    given.insert("parts".into(), list);
    let problems = Everything::from_values(given).unwrap_err();
    assert_eq!(problems[0].message, "expected one of a, b; found \"z\"");
}
