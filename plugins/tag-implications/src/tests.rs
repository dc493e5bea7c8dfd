//! The filter as the host calls it.

use super::*;
use plugin_sdk::ErrorKind;
use plugin_test::{FakeHost, annotation, open_tag_filter};
use serde_json::{Value, json};

fn run(settings: Value, tags: &[&str]) -> Result<String> {
    let mut filter: TagImplications = open_tag_filter(settings)?;
    let request = FilterRequest { annotation: annotation(tags), ..FilterRequest::default() };
    let Verdict::Keep(found) = filter.apply(vec![request])?.remove(0) else { panic!("dropped") };
    Ok(found.tags.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", "))
}

const RULES: &str = "white shirt -> shirt # a comment\nshirt -> clothes, top";

#[test]
fn collapses_expands_and_keeps() {
    let tags = ["hat", "shirt", "white_shirt", "clothes"];
    assert_eq!(run(json!({"implications": RULES}), &tags).unwrap(), "hat, white_shirt");
    assert_eq!(run(json!({"implications": RULES, "keep": "clo*"}), &tags).unwrap(), "hat, white_shirt, clothes");
    assert_eq!(run(json!({"implications": RULES, "mode": "off"}), &tags).unwrap(), tags.join(", "));
    let expanded = run(json!({"implications": RULES, "mode": "expand"}), &["white shirt", "hat", "top"]).unwrap();
    assert_eq!(expanded, "white shirt, shirt, clothes, hat, top");
    let collapsed = run(json!({"implications": RULES}), &expanded.split(", ").collect::<Vec<_>>()).unwrap();
    assert_eq!(collapsed, "white shirt, hat", "the way back");
}

#[test]
fn aliases_come_first_and_leave_no_doubles() {
    let settings = json!({"aliases": "grey hair = gray hair, silver grey hair", "implications": "grey hair -> hair"});
    assert_eq!(run(settings, &["gray_hair", "silver grey hair", "hair"]).unwrap(), "grey_hair");
    assert_eq!(run(json!({"overlap": true}), &["shirt", "white shirt"]).unwrap(), "white shirt");
    let several = json!({"several_people": true, "keep": "red hair"});
    assert_eq!(run(several, &["2girls", "red hair", "blue hair"]).unwrap(), "2girls, red hair");
}

#[test]
fn lists_of_a_board_are_read() {
    let implications = r#"[
        {"id": 1, "antecedent_name": "white_shirt", "consequent_name": "shirt", "status": "active"},
        {"id": 2, "antecedent_name": "shirt", "consequent_name": "hat", "status": "deleted"}]"#;
    let aliases = r#"[{"antecedent_name": "tee", "consequent_name": "shirt", "status": "active"}]"#;
    let _host = FakeHost::new()
        .file("lists", "tag_implications.json", implications.as_bytes())
        .file("lists", "tag_aliases.json", aliases.as_bytes())
        .file("empty", "x", b"")
        .file("bad", "tag_aliases.json", b"{}")
        .install();
    assert_eq!(run(json!({"folder": "lists"}), &["tee", "white_shirt", "hat"]).unwrap(), "white_shirt, hat");
    let own = json!({"folder": "lists", "aliases": "t-shirt = tee"});
    assert_eq!(run(own, &["tee"]).unwrap(), "t-shirt", "the user's own counts more");
    assert_eq!(run(json!({"folder": "empty"}), &[]).unwrap_err().kind, ErrorKind::NotFound);
    assert!(run(json!({"folder": "bad"}), &[]).unwrap_err().message.contains("tag_aliases.json: expected a list"));
}

#[test]
fn mistakes_are_all_named() {
    let e = run(json!({"implications": "a\nb ->\na, b -> c", "aliases": "x"}), &[]).unwrap_err().message;
    for part in ["implications `a`", "implications `b ->`", "implications `a, b -> c`", "aliases `x`"] {
        assert!(e.contains(part), "{part}: {e}");
    }
}
