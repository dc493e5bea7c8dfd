//! Saved values, which have positions, as values by name.

use super::shape::{Holds, Slot, Widget};
use serde_json::Value;

/// What the editor writes after a seed: how to change it between runs.
const CONTROLS: [&str; 4] = ["fixed", "increment", "decrement", "randomize"];

/// Each widget that a saved value belongs to, in order.
///
/// Whether a control follows a seed depends on the age of the file. The reading that uses up every value is right;
/// if none does, a word that the next widget could hold itself is that widget's.
pub(super) fn by_name<'a>(slots: &[Slot], values: &'a [Value]) -> Vec<(String, &'a Value)> {
    let newest = walk(slots, values, false);
    if newest.exact { newest.pairs } else { walk(slots, values, true).pairs }
}

struct Walk<'a> {
    pairs: Vec<(String, &'a Value)>,
    /// Every widget found a value, and every value a widget.
    exact: bool,
}

fn walk<'a>(slots: &[Slot], values: &'a [Value], careful: bool) -> Walk<'a> {
    let mut values = values.iter().peekable();
    let (mut pairs, mut short) = (Vec::new(), false);
    let mut todo: Vec<(String, &Slot)> = slots.iter().rev().map(|s| (s.name.clone(), s)).collect();
    while let Some((name, slot)) = todo.pop() {
        let Some(widget) = &slot.widget else { continue };
        // A file that is older than this widget: what stands here belongs to a later one.
        if careful && values.peek().is_some_and(|v| !could_be(widget, v)) {
            continue;
        }
        let Some(value) = values.next() else {
            short = true;
            continue;
        };
        if let Holds::Branches(branches) = &widget.holds
            && let Some((_, inner)) = branches.iter().find(|(key, _)| same_choice(key, value))
        {
            todo.extend(inner.iter().rev().map(|s| (format!("{name}.{}", s.name), s)));
        }
        if widget.sent {
            pairs.push((name, value));
        }
        let next = todo.iter().rev().find_map(|(_, s)| s.widget.as_ref());
        if values.peek().is_some_and(|v| is_control(widget, v, next, careful)) {
            values.next();
            // A menu's control has a second part, the filter of its names.
            if matches!(widget.holds, Holds::Choice(_)) && !careful && values.peek().is_some_and(|v| v.is_string()) {
                values.next();
            }
        }
    }
    Walk { pairs, exact: !short && values.peek().is_none() }
}

/// The oldest files have a check mark for «randomize».
fn is_control(widget: &Widget, value: &Value, next: Option<&Widget>, careful: bool) -> bool {
    let control = value.is_boolean() || value.as_str().is_some_and(|v| CONTROLS.contains(&v));
    control && widget.control && !(careful && next.is_some_and(|n| could_hold(n, value)))
}

/// Could this word or check mark be the widget's own value?
fn could_hold(widget: &Widget, value: &Value) -> bool {
    match &widget.holds {
        Holds::Choice(options) => options.contains(value),
        Holds::Branches(branches) => branches.iter().any(|(key, _)| key == value),
        Holds::Boolean => value.is_boolean(),
        _ => false,
    }
}

/// Is it no word where a number is due? Numbers may be written as text.
fn could_be(widget: &Widget, value: &Value) -> bool {
    let word = |v: &Value| v.as_str().is_some_and(|v| v.trim().parse::<f64>().is_err());
    !(widget.holds == Holds::Number && word(value))
}

/// Keys may be numbers or booleans, which files also hold as text.
pub(super) fn same_choice(key: &Value, value: &Value) -> bool {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    key == value || text(key) == text(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn number(name: &str) -> Slot {
        Slot::widget(name, Holds::Number, Some(json!(0)))
    }

    fn choice(name: &str, options: &[&str]) -> Slot {
        Slot::widget(name, Holds::Choice(options.iter().map(|o| json!(o)).collect()), None)
    }

    fn read(slots: &[Slot], values: Value) -> String {
        let values = values.as_array().unwrap().clone();
        let pairs = by_name(slots, &values);
        pairs.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn links_have_no_place_and_controls_are_passed_over() {
        let slots = [Slot::link("model"), number("seed").with_control(true), number("steps")];
        assert_eq!(read(&slots, json!([7, "randomize", 20])), "seed=7 steps=20");
        assert_eq!(read(&slots, json!([7, 20])), "seed=7 steps=20");
        assert_eq!(read(&slots, json!([7])), "seed=7");
        assert_eq!(read(&slots, json!([7, true, 20])), "seed=7 steps=20", "as the oldest files have it");
        assert_eq!(read(&slots, json!([7, "fixed", 20, "image"])), "seed=7 steps=20");
    }

    #[test]
    fn a_word_that_the_next_menu_knows_belongs_to_it_unless_there_is_one_for_each() {
        let slots = [number("seed").with_control(true), choice("mode", &["fixed", "free"])];
        assert_eq!(read(&slots, json!([7, "fixed"])), "seed=7 mode=\"fixed\"");
        assert_eq!(read(&slots, json!([7, "fixed", "fixed"])), "seed=7 mode=\"fixed\"");
        assert_eq!(read(&slots, json!([7, "randomize", "free"])), "seed=7 mode=\"free\"");
    }

    #[test]
    fn a_check_mark_after_a_seed_may_be_the_next_widgets() {
        let slots = [number("seed").with_control(true), Slot::widget("tiled", Holds::Boolean, None)];
        assert_eq!(read(&slots, json!([7, true])), "seed=7 tiled=true");
        assert_eq!(read(&slots, json!([7, true, false])), "seed=7 tiled=false");
    }

    #[test]
    fn a_word_where_a_number_is_due_belongs_to_a_later_widget() {
        let slots = [number("megapixels"), number("multiple"), choice("way", &["area", "lanczos"])];
        assert_eq!(read(&slots, json!([1, "lanczos"])), "megapixels=1 way=\"lanczos\"");
        assert_eq!(read(&slots, json!(["1.5", 8, "area"])), "megapixels=\"1.5\" multiple=8 way=\"area\"");
    }

    #[test]
    fn a_menu_with_a_control_has_a_filter_too() {
        let slots = [choice("model", &["a", "b"]).with_control(true), number("steps")];
        assert_eq!(read(&slots, json!(["a", "fixed", "", 4])), "model=\"a\" steps=4");
        assert_eq!(read(&slots, json!(["a", 4])), "model=\"a\" steps=4");
    }

    #[test]
    fn a_choice_brings_its_own_inputs() {
        let inner = Holds::Branches(vec![(json!("x2"), vec![number("c")])]);
        let branches = vec![
            (json!("size"), vec![number("width"), Slot::link("mask"), number("height")]),
            (json!("factor"), vec![number("by"), Slot::widget("deep", inner, None)]),
        ];
        let slots = [Slot::widget("resize", Holds::Branches(branches), None), number("last")];
        assert_eq!(read(&slots, json!(["size", 4, 5, 6])), "resize=\"size\" resize.width=4 resize.height=5 last=6");
        assert_eq!(
            read(&slots, json!(["factor", 2, "x2", 3, 6])),
            "resize=\"factor\" resize.by=2 resize.deep=\"x2\" resize.deep.c=3 last=6"
        );
        assert_eq!(read(&slots, json!(["gone", 6])), "resize=\"gone\" last=6");
    }
}
