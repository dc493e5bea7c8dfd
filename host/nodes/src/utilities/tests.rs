use crate::testing::{host, run};
use serde_json::{Value as Json, json};
use spec::Value;

fn data(class: &str, inputs: Vec<(&str, Value)>) -> Json {
    let dir = tempfile::tempdir().unwrap();
    match &run(&host(dir.path()), class, inputs).unwrap().values[0] {
        Value::Data(json) => json.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn primitives_give_what_they_hold() {
    assert_eq!(data("PrimitiveInt", vec![("value", i64::MIN.into())]), json!(i64::MIN));
    assert_eq!(data("PrimitiveFloat", vec![("value", 0.5.into())]), 0.5);
    assert_eq!(data("PrimitiveBoolean", vec![("value", true.into())]), true);
    assert_eq!(data("PrimitiveString", vec![("value", "a".into())]), "a");
    assert_eq!(data("PrimitiveStringMultiline", vec![("value", "a\nb".into())]), "a\nb");
}

/// As Python computes it: `s = sqrt(mp * 1024 * 1024 / (w * h))`, `round(w * s / m) * m`.
#[test]
fn sizes_follow_from_shape_and_pixels() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let size = |shape: &str, pixels: f64, multiple: u32| {
        let inputs = vec![("aspect_ratio", shape.into()), ("megapixels", pixels.into()), ("multiple", multiple.into())];
        let made = run(&ctx, "ResolutionSelector", inputs).unwrap();
        made.values.iter().map(|v| if let Value::Data(n) = v { n.as_u64() } else { None }).collect::<Vec<_>>()
    };
    assert_eq!(size("16:9 (Widescreen)", 0.9, 32), [Some(1280), Some(736)]);
    assert_eq!(size("9:16 (Portrait Widescreen)", 1.0, 8), [Some(768), Some(1368)]);
    assert_eq!(size("1:1 (Square)", 1.0, 8), [Some(1024), Some(1024)]);
}

#[test]
fn texts_are_joined_and_replaced_as_in_python() {
    let join = |a: &str, b: &str, by: &str| {
        data("StringConcatenate", vec![("string_a", a.into()), ("string_b", b.into()), ("delimiter", by.into())])
    };
    assert_eq!(join("a", "b", ", "), "a, b");
    assert_eq!(join("", "b", ""), "b");
    let replace = |text: &str, find: &str, by: &str| {
        data("StringReplace", vec![("string", text.into()), ("find", find.into()), ("replace", by.into())])
    };
    assert_eq!(replace("aXbX", "X", "--"), "a--b--");
    assert_eq!(replace("ab", "", "-"), "-a-b-");
}

#[test]
fn values_are_shown_as_python_writes_them() {
    let shown = |value: Json| data("PreviewAny", vec![("source", Value::Data(value))]);
    assert_eq!(shown(json!("as it is")), "as it is");
    assert_eq!((shown(json!(true)), shown(Json::Null)), (json!("True"), json!("None")));
    assert_eq!((shown(json!(3)), shown(json!(1.0))), (json!("3"), json!("1.0")));
    assert_eq!(shown(json!({"a": [1, "é"]})), "{\n    \"a\": [\n        1,\n        \"\\u00e9\"\n    ]\n}");
    let dir = tempfile::tempdir().unwrap();
    let ui = run(&host(dir.path()), "PreviewAny", vec![("source", 5.into())]).unwrap().ui;
    assert_eq!(ui["text"], json!(["5"]));
}

#[test]
fn a_switch_passes_one_of_two_on_or_the_only_one() {
    let (off, on) = (("on_false", Value::from("off")), ("on_true", Value::from("on")));
    assert_eq!(data("ComfySwitchNode", vec![("switch", false.into()), off.clone(), on.clone()]), "off");
    assert_eq!(data("ComfySwitchNode", vec![("switch", true.into()), off.clone(), on.clone()]), "on");
    assert_eq!(data("ComfySwitchNode", vec![("switch", true.into()), off]), "off");
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    assert!(run(&ctx, "ComfySwitchNode", vec![("switch", true.into())]).is_err());
    let node = crate::builtin().into_iter().find(|n| n.spec().id == "ComfySwitchNode").unwrap();
    let asks = |linked: &[&str], switch: bool| {
        let null = linked.iter().map(|name| ((*name).to_owned(), Value::Data(Json::Null)));
        node.check_lazy(&ctx, &null.chain([("switch".to_owned(), switch.into())]).collect()).unwrap()
    };
    assert_eq!(asks(&["on_false", "on_true"], true), ["on_true"]);
    assert_eq!(asks(&["on_false", "on_true"], false), ["on_false"]);
    assert_eq!(asks(&["on_false"], true), ["on_false"], "the only one");
}
