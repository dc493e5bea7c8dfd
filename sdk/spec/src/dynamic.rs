//! Inputs that depend on what is given: menus whose choices bring inputs of their own, and links that grow in number.

use crate::derive::{number_of, pick, prefixed};
use crate::{FromValue, Input, InputError, Value, Values, Widget};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A choice of a menu, and the inputs that it brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Branch {
    pub key: String,
    /// By their own names; a workflow has the menu's name and a dot before each.
    pub inputs: Vec<Input>,
}

/// An enum whose variants are the choices of a menu, and their fields the inputs that these bring. Usually derived; the
/// fields take the attributes of [`Inputs`](crate::Inputs).
///
/// ```
/// use spec::{Branches, Inputs, Value};
///
/// #[derive(Debug, PartialEq, Branches)]
/// enum Resize {
///     #[input(name = "by factor")]
///     Factor {
///         /// What both sides are multiplied by.
///         #[input(default = 2.0, range = 0.01..=8.0)]
///         factor: f64,
///     },
///     #[input(name = "not at all")]
///     Not,
/// }
///
/// #[derive(Inputs)]
/// struct Settings {
///     /// How to resize.
///     #[input(branches)]
///     resize: Resize,
/// }
///
/// let values = [("resize".into(), Value::from("by factor")), ("resize.factor".into(), Value::from(3))].into();
/// assert_eq!(Settings::from_values(values).unwrap().resize, Resize::Factor { factor: 3.0 });
///
/// let values = [("resize".into(), Value::from("by factor")), ("resize.factor".into(), Value::from(9))].into();
/// let problems = Settings::from_values(values).err().unwrap();
/// assert_eq!(problems[0].to_string(), "`resize.factor`: expected 0.01 to 8, found 9");
/// ```
pub trait Branches: Sized {
    /// All choices, in order.
    fn branches() -> Vec<Branch>;

    /// Builds a choice from its values, which have the names of its fields.
    ///
    /// # Errors
    /// All problems at once; `None` if there is no such choice.
    fn from_branch(key: &str, values: Values) -> Option<Result<Self, Vec<InputError>>>;
}

impl Input {
    /// Does it stand for inputs of its own, whose names follow after a dot?
    pub fn is_dynamic(&self) -> bool {
        matches!(self.widget, Widget::Branches(_) | Widget::Growing { .. })
    }

    /// The same under another name.
    fn named(&self, name: String) -> Self {
        Self { name, ..self.clone() }
    }
}

/// The inputs that there are when `names` are given and `choice` says what a menu stands at: after a menu those of its
/// choice, and in the place of links that grow in number those that are given and those that must be.
pub fn live_inputs<'i>(
    inputs: &'i [Input],
    names: &[&str],
    choice: &dyn Fn(&str) -> Option<String>,
) -> Cow<'i, [Input]> {
    if !inputs.iter().any(Input::is_dynamic) {
        return Cow::Borrowed(inputs);
    }
    let mut live = Vec::new();
    let mut todo: Vec<Input> = inputs.iter().rev().cloned().collect();
    while let Some(input) = todo.pop() {
        match &input.widget {
            Widget::Branches(branches) => {
                let chosen = choice(&input.name).and_then(|key| branches.iter().find(|b| b.key == key));
                let inner = chosen.into_iter().flat_map(|b| b.inputs.iter().rev());
                todo.extend(inner.map(|i| i.named(format!("{}.{}", input.name, i.name))));
                live.push(input);
            }
            Widget::Growing { prefix, min, max } => {
                let given = names.iter().filter_map(|name| number_of(name, &input.name, prefix)).filter(|n| n < max);
                let least = if input.required { *min } else { 0 };
                let mut numbers: Vec<u32> = given.chain(0..least).collect();
                numbers.sort_unstable();
                numbers.dedup();
                live.extend(numbers.into_iter().map(|n| Input {
                    name: format!("{}.{prefix}{n}", input.name),
                    widget: Widget::None,
                    required: n < least,
                    ..input.clone()
                }));
            }
            _ => live.push(input),
        }
    }
    Cow::Owned(live)
}

/// For the derive: a menu and the inputs of its choice.
pub fn branch<T: Branches>(values: &mut Values, name: &str, problems: &mut Vec<InputError>) -> Option<T> {
    let fail = |message: String| vec![InputError { input: name.to_owned(), message }];
    let keys = || T::branches().into_iter().map(|b| b.key).collect::<Vec<_>>().join(", ");
    let inner = pick(values, name);
    let made = match values.remove(name).map(|value| String::from_value(&value)) {
        None => Err(fail(format!("required input is missing; expected one of {}", keys()))),
        Some(Err(message)) => Err(fail(message)),
        Some(Ok(key)) => match T::from_branch(&key, inner) {
            Some(made) => made.map_err(|more| prefixed(more, name)),
            None => Err(fail(format!("expected one of {}; found \"{key}\"", keys()))),
        },
    };
    made.map_err(|more| problems.extend(more)).ok()
}

/// For the derive: links that grow in number, in their order.
pub fn growing<T: FromValue>(
    values: &mut Values,
    name: &str,
    prefix: &str,
    count: std::ops::RangeInclusive<u32>,
    problems: &mut Vec<InputError>,
) -> Option<Vec<T>> {
    let names: Vec<String> = values.keys().cloned().collect();
    let mut given: Vec<(u32, String, Value)> = Vec::new();
    for key in names {
        if let Some(number) = number_of(&key, name, prefix)
            && let Some(value) = values.remove(&key)
        {
            given.push((number, key, value));
        }
    }
    given.sort_by_key(|(number, ..)| *number);
    let (before, mut all) = (problems.len(), Vec::new());
    for (_, key, value) in given {
        match T::from_value(&value) {
            Ok(value) => all.push(value),
            Err(message) => problems.push(InputError { input: key, message }),
        }
    }
    if problems.len() == before && !u32::try_from(all.len()).is_ok_and(|n| count.contains(&n)) {
        let message = format!("expected {} to {} links, found {}", count.start(), count.end(), all.len());
        problems.push(InputError { input: name.to_owned(), message });
    }
    (problems.len() == before).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Branches, Inputs};
    use serde_json::json;

    #[derive(Debug, PartialEq, Branches)]
    enum Inner {
        #[input(name = "x2")]
        Twice {
            /// How.
            #[input(default = 1, range = 0..=9)]
            how: u32,
        },
        #[input(name = "plain")]
        Plain,
    }

    #[derive(Debug, PartialEq, Branches)]
    enum Way {
        #[input(name = "by factor")]
        Factor {
            by: f64,
            #[input(branches)]
            deep: Inner,
        },
        #[input(name = "not")]
        Not,
    }

    #[derive(Debug, Inputs)]
    struct Both {
        #[input(branches)]
        way: Way,
        #[input(grow = "text", count = 2..=4)]
        texts: Vec<String>,
        #[input(default = 7)]
        last: u32,
    }

    #[derive(Debug, Inputs)]
    struct Around {
        #[input(flatten)]
        both: Both,
        own: u32,
    }

    fn values(json: serde_json::Value) -> Values {
        crate::values_from_json(json).unwrap()
    }

    fn live(names: &[&str], choices: &[(&str, &str)]) -> Vec<String> {
        let choice = |name: &str| choices.iter().find(|(n, _)| *n == name).map(|(_, key)| (*key).to_owned());
        let inputs = Both::inputs();
        let live = live_inputs(&inputs, names, &choice);
        live.iter().map(|i| format!("{}{}", i.name, if i.required { "*" } else { "" })).collect()
    }

    #[test]
    fn a_choice_brings_its_inputs_and_links_grow() {
        let deep = [("way", "by factor"), ("way.deep", "x2")];
        assert_eq!(
            live(&["texts.text3", "texts.text4", "texts.text03", "texts.texts"], &deep),
            ["way*", "way.by*", "way.deep*", "way.deep.how", "texts.text0*", "texts.text1*", "texts.text3", "last"]
        );
        assert_eq!(live(&[], &[("way", "not")]), ["way*", "texts.text0*", "texts.text1*", "last"]);
        assert_eq!(live(&[], &[]), ["way*", "texts.text0*", "texts.text1*", "last"]);
        assert!(matches!(live_inputs(&<()>::inputs(), &[], &|_| None), Cow::Borrowed(_)));
    }

    #[test]
    fn values_become_variants_and_lists_in_order() {
        let given = json!({
            "way": "by factor", "way.by": 2, "way.deep": "x2", "way.deep.how": 3,
            "texts.text10": "c", "texts.text2": "b", "texts.text0": "a", "own": 1,
        });
        let read = Around::from_values(values(given)).unwrap();
        assert_eq!(read.both.way, Way::Factor { by: 2.0, deep: Inner::Twice { how: 3 } });
        assert_eq!((read.both.texts.join(""), read.both.last, read.own), ("abc".to_owned(), 7, 1));
        let plain = json!({"way": "not", "texts.text0": "a", "texts.text1": "b", "own": 1});
        assert_eq!(Around::from_values(values(plain)).unwrap().both.way, Way::Not);
    }

    #[test]
    fn every_problem_names_its_input() {
        let said = |json| {
            let problems = Around::from_values(values(json)).unwrap_err();
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            said(json!({"way": "by factor", "way.deep": "x2", "way.deep.how": 10, "texts.text0": "a", "own": 1})),
            [
                "`way.by`: required input is missing; expected FLOAT",
                "`way.deep.how`: expected 0 to 9, found 10",
                "`texts`: expected 2 to 4 links, found 1",
            ]
        );
        assert_eq!(
            said(json!({"way": "up", "texts.text0": "a", "texts.text1": [1], "own": 1})),
            [
                "`way`: expected one of by factor, not; found \"up\"",
                "`texts.text1`: expected STRING, found a JSON array of 1"
            ]
        );
        assert_eq!(
            said(json!({"texts.text0": "a", "texts.text1": "b", "own": 1})),
            ["`way`: required input is missing; expected one of by factor, not"]
        );
    }

    #[test]
    fn names_that_no_input_has_are_found() {
        let given = json!({"way": "not", "way.by": 1, "texts.text9": "x", "wayward": 1, "texts": 1, "textsx.text1": 1});
        let unknown = crate::unknown_inputs::<Both>(&values(given));
        let names: Vec<&str> = unknown.iter().map(|p| p.input.as_str()).collect();
        assert_eq!(names, ["textsx.text1", "wayward"]);
    }
}
