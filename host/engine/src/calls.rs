//! The calls of one node, as ComfyUI has them: a node that takes single values is called once for each item of the
//! longest list, shorter lists repeat their last item, and its outputs become lists. A node with an input that takes
//! lists is called once. A call with a blocker among its inputs does not happen, and its outputs are blockers.

use crate::{Context, Node, Outputs};
use anyhow::{Context as _, bail};
use serde_json::{Map, Value as Json};
use spec::{Expansion, Input, Value, Values, Widget};
use std::collections::BTreeSet;

/// Items of a node that mostly waits, at once.
const SIDE_BY_SIDE: usize = 32;

/// What one call gave.
#[derive(Debug)]
pub(crate) enum Call {
    Values(Vec<Value>),
    Expanded(Expansion),
}

/// All calls of a node.
#[derive(Debug, Default)]
pub(crate) struct Called {
    pub(crate) calls: Vec<Call>,
    pub(crate) ui: Map<String, Json>,
    /// Were the inputs lists, so that the outputs become lists?
    pub(crate) mapped: bool,
}

/// Calls a node once, or once for each item. `blocked` hears the messages of blockers.
pub(crate) fn call(
    node: &dyn Node,
    ctx: &Context,
    inputs: Values,
    blocked: &(dyn Fn(&str) + Sync),
) -> anyhow::Result<Called> {
    let (items, mapped) = split(node.spec(), inputs)?;
    let total = items.len();
    let one = |(index, values): (usize, Values)| -> anyhow::Result<Outputs> {
        ctx.check_cancelled()?;
        if let Some(message) = blocker(&values) {
            message.iter().for_each(|m| blocked(m));
            let values = vec![Value::blocker(None); node.spec().outputs.len()];
            return Ok(Outputs { values, ..Outputs::default() });
        }
        let outputs = node.run(&ctx.for_call(index), values);
        if mapped { outputs.with_context(|| format!("item {} of {total}", index + 1)) } else { outputs }
    };
    let work: Vec<(usize, Values)> = items.into_iter().enumerate().collect();
    let results = match node.spec().behaviour.asynchronous && total > 1 {
        true => side_by_side(work, &one)?,
        false => work.into_iter().map(one).collect::<anyhow::Result<Vec<_>>>()?,
    };
    let mut called = Called { mapped, ..Called::default() };
    for outputs in results {
        merge(&mut called.ui, outputs.ui);
        called.calls.push(match outputs.expand {
            Some(expansion) => Call::Expanded(expansion),
            None => Call::Values(outputs.values),
        });
    }
    Ok(called)
}

/// The lazy inputs that the node wants now, by name. `inputs` has null for what nobody has computed.
pub(crate) fn wanted(node: &dyn Node, ctx: &Context, inputs: Values) -> anyhow::Result<BTreeSet<String>> {
    let mut wanted = BTreeSet::new();
    let (items, _) = split(node.spec(), inputs)?;
    for (index, values) in items.into_iter().enumerate() {
        ctx.check_cancelled()?;
        if blocker(&values).is_none() {
            wanted.extend(node.check_lazy(&ctx.for_call(index), &values)?);
        }
    }
    Ok(wanted)
}

/// Puts the values of all calls together, output by output.
pub(crate) fn join(spec: &spec::Node, calls: Vec<Vec<Value>>, mapped: bool) -> anyhow::Result<Vec<Value>> {
    let expected = spec.outputs.len();
    for values in &calls {
        let found = values.len();
        anyhow::ensure!(expected == found, "expected {expected} outputs as the node describes them, found {found}");
    }
    if !mapped && calls.len() == 1 {
        return Ok(calls.into_iter().next().unwrap_or_default());
    }
    let mut all: Vec<Vec<Value>> = vec![Vec::new(); expected];
    for values in calls {
        for ((list, value), output) in all.iter_mut().zip(values).zip(&spec.outputs) {
            match value {
                Value::List(items) if output.is_list => list.extend(items),
                other => list.push(other),
            }
        }
    }
    Ok(all.into_iter().map(Value::List).collect())
}

/// The inputs of each call, and whether lists were taken apart for them.
fn split(spec: &spec::Node, mut inputs: Values) -> anyhow::Result<(Vec<Values>, bool)> {
    if spec.behaviour.takes_lists {
        for value in inputs.values_mut().filter(|v| !matches!(v, Value::List(_))) {
            *value = Value::List(vec![std::mem::replace(value, Value::List(Vec::new()))]);
        }
        return Ok((vec![inputs], false));
    }
    let takes = |name: &str| spec.inputs.iter().any(|i| i.name == name && takes_list(i));
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
    let Some(longest) = longest else { return Ok((vec![inputs], false)) };
    if spec.inputs.iter().any(takes_list) {
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
        return Ok((vec![inputs], false));
    }
    let item = |i: usize| {
        let one = |(name, value): (&String, &Value)| {
            let one = match value {
                Value::List(items) if !takes(name) => items.get(i).or(items.last()).cloned(),
                other => Some(other.clone()),
            };
            Some((name.clone(), one?))
        };
        inputs.iter().filter_map(one).collect()
    };
    Ok(((0..longest).map(item).collect(), true))
}

/// The first blocker among the inputs of a call: its message, if it has one.
fn blocker(values: &Values) -> Option<Option<String>> {
    let found = values.values().find_map(|value| match value {
        Value::List(items) => items.iter().find_map(Value::as_blocker),
        other => other.as_blocker(),
    });
    found.map(|blocker| blocker.0.clone())
}

/// Threads of one's own, because these calls wait more than they work.
fn side_by_side(
    work: Vec<(usize, Values)>,
    one: &(dyn Fn((usize, Values)) -> anyhow::Result<Outputs> + Sync),
) -> anyhow::Result<Vec<Outputs>> {
    let mut results = Vec::with_capacity(work.len());
    let mut work = work.into_iter().peekable();
    while work.peek().is_some() {
        let part: Vec<_> = work.by_ref().take(SIDE_BY_SIDE).collect();
        let answers = std::thread::scope(|scope| {
            let started: Vec<_> = part.into_iter().map(|item| scope.spawn(move || one(item))).collect();
            let panicked = |_| Err(anyhow::anyhow!("panicked"));
            started.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect::<Vec<_>>()
        });
        for answer in answers {
            results.push(answer?);
        }
    }
    Ok(results)
}

/// A menu of which several may be chosen is no list of values.
fn takes_list(input: &Input) -> bool {
    input.is_list && !matches!(input.widget, Widget::Combo { multiselect: true, .. })
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
        let called = call(node, &Context::detached(Services::new()), inputs, &|_| ())?;
        let values = |call| match call {
            Call::Values(values) => values,
            Call::Expanded(_) => panic!("expanded"),
        };
        let values = join(node.spec(), called.calls.into_iter().map(values).collect(), called.mapped)?;
        Ok(Outputs { values, ui: called.ui, expand: None })
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
