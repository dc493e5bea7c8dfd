//! Lists on links, as ComfyUI has them: a node that takes single values runs once for each item of the longest list,
//! shorter lists repeat their last item, and its outputs become lists. A node with an input that takes lists runs once.

use crate::{Context, Node, Outputs};
use anyhow::{Context as _, bail};
use serde_json::{Map, Value as Json};
use spec::{Input, Value, Values, Widget};

/// Runs a node once, or once for each item.
pub(crate) fn run(node: &dyn Node, ctx: &Context, mut inputs: Values) -> anyhow::Result<Outputs> {
    let takes = |name: &str| node.spec().inputs.iter().any(|i| i.name == name && takes_list(i));
    let mut longest = None;
    for (name, value) in &inputs {
        if let Value::List(items) = value
            && !takes(name)
        {
            if items.is_empty() {
                bail!("input `{name}`: an empty list");
            }
            longest = longest.max(Some(items.len()));
        }
    }
    let Some(longest) = longest else { return node.run(ctx, inputs) };
    if node.spec().inputs.iter().any(takes_list) {
        for (name, value) in &mut inputs {
            if let Value::List(items) = value
                && !takes(name)
            {
                *value = match items.as_slice() {
                    [one] => one.clone(),
                    many => bail!("input `{name}`: expected one value, found a list of {}", many.len()),
                };
            }
        }
        return node.run(ctx, inputs);
    }
    let mut all = Outputs::default();
    for i in 0..longest {
        ctx.check_cancelled()?;
        let item = |(name, value): (&String, &Value)| {
            let one = match value {
                Value::List(items) if !takes(name) => items.get(i).or(items.last()).cloned(),
                other => Some(other.clone()),
            };
            Some((name.clone(), one?))
        };
        let run = node.run(ctx, inputs.iter().filter_map(item).collect());
        let run = run.with_context(|| format!("item {} of {longest}", i + 1))?;
        add(&mut all, node.spec(), run);
    }
    Ok(all)
}

/// A menu of which several may be chosen is no list of values.
fn takes_list(input: &Input) -> bool {
    input.is_list && !matches!(input.widget, Widget::Combo { multiselect: true, .. })
}

fn add(all: &mut Outputs, spec: &spec::Node, one: Outputs) {
    all.values.resize_with(one.values.len(), || Value::List(Vec::new()));
    for ((list, value), output) in all.values.iter_mut().zip(one.values).zip(&spec.outputs) {
        let Value::List(list) = list else { continue };
        match value {
            Value::List(items) if output.is_list => list.extend(items),
            other => list.push(other),
        }
    }
    merge(&mut all.ui, one.ui);
}

/// Lists of what is shown are joined; of anything else the last counts.
fn merge(all: &mut Map<String, Json>, one: Map<String, Json>) {
    for (key, value) in one {
        match (all.get_mut(&key), value) {
            (Some(Json::Array(known)), Json::Array(more)) => known.extend(more),
            (_, value) => {
                all.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Services, TypedNode, WithUi, node};
    use spec::InputError;

    /// Joins two texts.
    struct Join {
        a: String,
        b: String,
    }

    fn text(name: &str, is_list: bool) -> Input {
        let widget = Widget::Text { default: String::new(), multiline: false, placeholder: None };
        Input {
            name: name.into(),
            socket: spec::Socket::Text,
            widget,
            required: true,
            is_list,
            lazy: false,
            tooltip: None,
        }
    }

    fn string(values: &Values, name: &str) -> Result<String, Vec<InputError>> {
        let wrong = |message| vec![InputError { input: name.into(), message }];
        spec::FromValue::from_value(&values[name]).map_err(wrong)
    }

    impl spec::Inputs for Join {
        fn description() -> &'static str {
            "Joins two texts."
        }
        fn inputs() -> Vec<Input> {
            vec![text("a", false), text("b", false)]
        }
        fn from_values(values: Values) -> Result<Self, Vec<InputError>> {
            Ok(Self { a: string(&values, "a")?, b: string(&values, "b")? })
        }
    }

    impl TypedNode for Join {
        const ID: &'static str = "Join";
        const CATEGORY: &'static str = "text";
        type Output = WithUi<(String, Vec<String>)>;

        fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
            let joined = self.a.clone() + &self.b;
            Ok(WithUi::new((joined.clone(), vec![self.a, self.b])).show("text", vec![joined]))
        }
    }

    /// Counts.
    struct Count {
        all: Vec<String>,
        one: String,
    }

    impl spec::Inputs for Count {
        fn description() -> &'static str {
            "Counts."
        }
        fn inputs() -> Vec<Input> {
            vec![text("all", true), text("one", false)]
        }
        fn from_values(values: Values) -> Result<Self, Vec<InputError>> {
            let wrong = |message| vec![InputError { input: "all".into(), message }];
            let all = spec::FromValue::from_value(&values["all"]).map_err(wrong)?;
            Ok(Self { all, one: string(&values, "one")? })
        }
    }

    impl TypedNode for Count {
        const ID: &'static str = "Count";
        const CATEGORY: &'static str = "text";
        type Output = String;

        fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
            Ok(format!("{}{}", self.all.len(), self.one))
        }
    }

    fn list(items: &[&str]) -> Value {
        Value::List(items.iter().map(|t| Value::from(*t)).collect())
    }

    fn run_with(node: &dyn Node, inputs: &[(&str, Value)]) -> anyhow::Result<Outputs> {
        let inputs = inputs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        run(node, &Context::detached(Services::new()), inputs)
    }

    fn texts(value: &Value) -> Vec<String> {
        let Value::List(items) = value else { panic!("{value:?}") };
        items.iter().map(|v| spec::FromValue::from_value(v).unwrap()).collect()
    }

    #[test]
    fn a_node_runs_once_for_each_item_and_short_lists_repeat_their_last() {
        let node = node::<Join>();
        let inputs = [("a", list(&["1", "2", "3"])), ("b", list(&["x", "y"]))];
        let outputs = run_with(&*node, &inputs).unwrap();
        assert_eq!(texts(&outputs.values[0]), ["1x", "2y", "3y"]);
        assert_eq!(texts(&outputs.values[1]), ["1", "x", "2", "y", "3", "y"]);
        assert_eq!(outputs.ui["text"], serde_json::json!(["1x", "2y", "3y"]));
        let outputs = run_with(&*node, &[("a", "1".into()), ("b", "x".into())]).unwrap();
        assert!(matches!(&outputs.values[0], Value::Data(v) if v == "1x"));
        assert!(run_with(&*node, &[("a", list(&[])), ("b", "x".into())]).unwrap_err().to_string().contains("`a`"));
    }

    #[test]
    fn a_node_that_takes_lists_runs_once() {
        let node = node::<Count>();
        let outputs = run_with(&*node, &[("all", list(&["1", "2"])), ("one", list(&["x"]))]).unwrap();
        assert!(matches!(&outputs.values[0], Value::Data(v) if v == "2x"));
        assert!(run_with(&*node, &[("all", list(&["1"])), ("one", list(&["x", "y"]))]).is_err());
    }
}
