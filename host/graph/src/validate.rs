//! From a workflow as written to a plan that can run.

use crate::constants::{self, Wrong};
use crate::{
    Catalog, Given, Judgement, Kind, Link, Plan, PlanNode, Problem, Problems, Source, Workflow, WorkflowNode,
    input_config, nearest,
};
use serde_json::{Map, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Checks everything that the output nodes need, and the class of every node.
///
/// # Errors
/// All problems at once, in the order of the nodes.
pub fn validate(workflow: &Workflow, catalog: &dyn Catalog) -> Result<Plan, Problems> {
    let checked = check(workflow, catalog, &Options::default());
    match checked.plan {
        Some(plan) if checked.problems.is_empty() => Ok(plan),
        _ => Err(checked.problems),
    }
}

/// What to check.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only these output nodes (ComfyUI's `partial_execution_targets`); none: all.
    pub targets: Option<Vec<String>>,
}

/// What can run, and what is wrong with the rest.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// The outputs that nothing is wrong with; none if there is no such output.
    pub plan: Option<Plan>,
    pub problems: Problems,
}

/// Checks as [`validate`] does, but lets the good outputs run without the bad ones.
pub fn check(workflow: &Workflow, catalog: &dyn Catalog, options: &Options) -> Checked {
    let mut check = Check {
        workflow,
        catalog,
        specs: workflow.nodes().iter().map(|n| catalog.node(&n.class_type)).collect(),
        problems: Vec::new(),
        warnings: Vec::new(),
        bad: vec![false; workflow.nodes().len()],
    };
    check.classes();
    let whole = check.problems.is_empty();
    let outputs = check.outputs(options);
    let order = check.order(&outputs);
    let nodes = check.inputs(&order);
    let good: Vec<usize> = outputs.iter().copied().filter(|&o| !check.bad[o]).collect();
    let plan = (whole && !good.is_empty()).then(|| check.plan(&order, nodes, &good));
    Checked { plan, problems: Problems { dependent_outputs: check.dependent_outputs(), problems: check.sorted() } }
}

/// Positions are indices into [`Workflow::nodes`].
struct Check<'a> {
    workflow: &'a Workflow,
    catalog: &'a dyn Catalog,
    specs: Vec<Option<&'a spec::Node>>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// By position: something is wrong with the node or with what it needs.
    bad: Vec<bool>,
}

/// Reads a host list.
type Lists<'l> = &'l dyn Fn(&str) -> Vec<String>;

impl<'a> Check<'a> {
    fn node(&self, position: usize) -> &'a WorkflowNode {
        &self.workflow.nodes()[position]
    }

    fn problem(&self, position: usize, input: Option<&str>, wrong: Wrong) -> Problem {
        let node = self.node(position);
        Problem {
            kind: wrong.kind,
            node: node.id.clone(),
            class_type: node.class_type.clone(),
            input: input.map(str::to_owned),
            details: wrong.details,
            message: wrong.message,
            brief: wrong.brief,
            extra: *wrong.extra,
            at_output: self.specs[position].is_some_and(|s| s.output_node),
        }
    }

    fn report(&mut self, position: usize, input: Option<&str>, wrong: Wrong) {
        self.bad[position] = true;
        self.problems.push(self.problem(position, input, wrong));
    }

    /// As in ComfyUI, an unknown class is an error wherever it stands.
    fn classes(&mut self) {
        let known = self.catalog.classes();
        for position in 0..self.specs.len() {
            if self.specs[position].is_some() {
                continue;
            }
            let node = self.node(position);
            let details = if node.class_type.is_empty() {
                "the node has no `class_type`".to_owned()
            } else {
                let hint = nearest(&node.class_type, known.iter().map(String::as_str));
                let help = hint.map_or_else(
                    || "`anagama nodes` lists those there are".to_owned(),
                    |n| format!("did you mean `{n}`"),
                );
                format!("there is no node `{}`; {help}", node.class_type)
            };
            let mut wrong = Wrong::new(Kind::MissingNodeType, details).brief(format!("Node ID '#{}'", node.id));
            let named = node.title.clone().unwrap_or_else(|| node.class_type.clone());
            wrong.message = Some(match node.class_type.as_str() {
                "" => format!("Node '{named}' has no class_type. The workflow may be corrupted or a node is missing."),
                _ => format!("Node '{named}' not found. The custom node may not be installed."),
            });
            *wrong.extra = Map::from_iter([
                ("node_id".into(), json!(node.id)),
                ("class_type".into(), json!(node.class_type)),
                ("node_title".into(), json!(node.title.as_ref().unwrap_or(&node.class_type))),
            ]);
            self.report(position, None, wrong);
        }
    }

    fn outputs(&mut self, options: &Options) -> Vec<usize> {
        let wanted = |id: &str| options.targets.as_ref().is_none_or(|targets| targets.iter().any(|t| t == id));
        let is_output = |&p: &usize| self.specs[p].is_some_and(|s| s.output_node) && wanted(&self.node(p).id);
        let outputs: Vec<usize> = (0..self.specs.len()).filter(is_output).collect();
        if outputs.is_empty() && self.problems.is_empty() {
            self.problems.push(Problem {
                kind: Kind::NoOutputs,
                node: String::new(),
                class_type: String::new(),
                input: None,
                details: "no node of the workflow saves or shows anything; add an output node such as SaveImage".into(),
                message: None,
                brief: None,
                extra: Map::new(),
                at_output: false,
            });
        }
        outputs
    }

    /// Positions of the nodes that a node's links lead to, as far as the node takes these inputs.
    fn sources(&self, position: usize) -> impl Iterator<Item = usize> + use<'a> {
        let (workflow, spec) = (self.workflow, self.specs[position]);
        let given = self.node(position).inputs.as_deref().unwrap_or_default();
        let taken = spec.map(|spec| (spec, live(spec, given)));
        given.iter().filter_map(move |(name, source)| match source {
            Source::Link { node, .. } if taken.as_ref().is_none_or(|(s, live)| takes(s, live, name)) => {
                workflow.position(node)
            }
            _ => None,
        })
    }

    /// Everything that the outputs need, ancestors first; reports cycles. Depth first with a stack of its own.
    fn order(&mut self, outputs: &[usize]) -> Vec<usize> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.specs.len()];
        let mut order = Vec::new();
        for &output in outputs {
            if marks[output] != Mark::New {
                continue;
            }
            marks[output] = Mark::Open;
            let mut path = vec![(output, self.sources(output))];
            while let Some((position, sources)) = path.last_mut() {
                let position = *position;
                match sources.next() {
                    None => {
                        marks[position] = Mark::Done;
                        order.push(position);
                        path.pop();
                    }
                    Some(next) => match marks[next] {
                        Mark::Done => {}
                        Mark::New => {
                            marks[next] = Mark::Open;
                            let sources = self.sources(next);
                            path.push((next, sources));
                        }
                        Mark::Open => {
                            let start = path.iter().position(|(p, _)| *p == next).unwrap_or(0);
                            let cycle: Vec<usize> = path[start..].iter().map(|(p, _)| *p).collect();
                            self.report_cycle(&cycle);
                        }
                    },
                }
            }
        }
        order
    }

    /// `cycle` goes against the links, from a node to what it needs; our sentence follows the data.
    fn report_cycle(&mut self, cycle: &[usize]) {
        let mut ids: Vec<&str> = cycle.iter().rev().map(|&p| self.node(p).id.as_str()).collect();
        ids.extend(ids.first().copied());
        let shown: Vec<String> = if ids.len() > 12 {
            let (head, tail) = (&ids[..6], &ids[ids.len() - 5..]);
            let gap = format!("… {} more …", ids.len() - 11);
            head.iter().map(|s| (*s).to_owned()).chain([gap]).chain(tail.iter().map(|s| (*s).to_owned())).collect()
        } else {
            ids.iter().map(|s| (*s).to_owned()).collect()
        };
        let details = format!("the node needs its own output: {}; break one of these links", shown.join(" → "));
        let named = |&p: &usize| format!("{} ({})", self.node(p).id, self.node(p).class_type);
        let path: Vec<String> = cycle.iter().chain(cycle.first()).map(named).collect();
        let mut wrong = Wrong::new(Kind::DependencyCycle, details).brief(path.join(" -> "));
        wrong.extra.insert("cycle_nodes".into(), cycle.iter().map(|&p| self.node(p).id.as_str()).collect());
        wrong.extra.insert("cycle_classes".into(), cycle.iter().map(|&p| self.node(p).class_type.as_str()).collect());
        cycle.iter().for_each(|&p| self.bad[p] = true);
        if let Some(&first) = cycle.last() {
            self.report(first, None, wrong);
        }
    }

    /// Checks the inputs; by position, what a plan needs of each node, its links by position too.
    fn inputs(&mut self, order: &[usize]) -> Vec<Option<PlanNode>> {
        let mut nodes = vec![None; self.specs.len()];
        // Lists come from directories: read each once.
        let lists = std::cell::RefCell::new(BTreeMap::<String, Vec<String>>::new());
        let catalog = self.catalog;
        let host_list =
            |name: &str| lists.borrow_mut().entry(name.to_owned()).or_insert_with(|| catalog.host_list(name)).clone();
        for &position in order {
            self.bad[position] |= self.sources(position).any(|source| self.bad[source]);
            let Some(spec) = self.specs[position] else { continue };
            nodes[position] = Some(self.node_inputs(position, spec, &host_list));
        }
        nodes
    }

    fn node_inputs(&mut self, position: usize, spec: &spec::Node, host_list: Lists) -> PlanNode {
        let node = self.node(position);
        let mut planned = PlanNode {
            id: node.id.clone(),
            class_type: node.class_type.clone(),
            title: node.title.clone(),
            constants: spec::Values::new(),
            links: Vec::new(),
        };
        let Some(given) = &node.inputs else {
            let details = "the node has no `inputs` object; write `\"inputs\": {}` if it needs none";
            let mut wrong = Wrong::new(Kind::MissingInputs, details).brief("'inputs'".into());
            wrong.extra.insert("exception_type".into(), json!("KeyError"));
            self.report(position, None, wrong);
            return planned;
        };
        let own_check = spec.behaviour.validates.as_ref();
        let mut types = BTreeMap::new();
        let live = live(spec, given);
        for input in live.iter() {
            let source = given.iter().find(|(name, _)| *name == input.name).map(|(_, s)| s);
            let result = match source {
                // Clients send null for an optional input that is empty.
                None | Some(Source::Constant(serde_json::Value::Null)) if !input.required => Ok(()),
                None => Err(required(input)),
                Some(Source::Constant(value)) => {
                    let bounds = !own_check.is_some_and(|c| c.covers(&input.name));
                    constants::check(input, value, bounds, host_list).map(|value| {
                        planned.constants.insert(input.name.clone(), spec::Value::Data(value));
                    })
                }
                Some(Source::Link { .. }) if input.is_dynamic() => Err(linked_menu(input)),
                Some(Source::Link { node, slot }) => {
                    let judge_type = !own_check.is_some_and(|c| c.types);
                    self.link(node, *slot, Some(input).filter(|_| judge_type)).map(|found| {
                        if let Some((link, kind)) = found {
                            planned.links.push((input.name.clone(), link));
                            types.insert(input.name.clone(), kind);
                        }
                    })
                }
            };
            if let Err(mut wrong) = result {
                if wrong.kind != Kind::RequiredInputMissing && !wrong.extra.contains_key("input_config") {
                    wrong.extra.insert("input_config".into(), input_config(input, host_list));
                }
                self.report(position, Some(&input.name), wrong);
            }
        }
        for (name, source) in given.iter().filter(|(name, _)| !declares(&live, name)) {
            if spec.behaviour.variadic {
                match source {
                    Source::Constant(value) => {
                        planned.constants.insert(name.clone(), spec::Value::Data(value.clone()));
                    }
                    Source::Link { node, slot } => match self.link(node, *slot, None) {
                        Ok(found) => planned.links.extend(found.map(|(link, _)| (name.clone(), link))),
                        Err(wrong) => self.report(position, Some(name), wrong),
                    },
                }
                continue;
            }
            let problem = self.problem(position, Some(name), unknown(&spec.id, &live, name));
            let strict = spec.strict && !self.workflow.is_swapped(&node.id);
            if strict || self.workflow.is_overridden(&node.id, name) {
                self.bad[position] = true;
                self.problems.push(problem);
            } else {
                self.warnings.push(problem);
            }
        }
        planned.links.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(own) = own_check {
            self.ask(position, (spec, &live), own, given, &planned, types);
        }
        planned
    }

    /// Asks the node itself. As in ComfyUI, a refusal is reported at each input that the check covers.
    fn ask(
        &mut self,
        position: usize,
        (spec, live): (&spec::Node, &[spec::Input]),
        own: &spec::Validates,
        given: &[(String, Source)],
        planned: &PlanNode,
        types: BTreeMap<String, String>,
    ) {
        let value = |name: &str, source: &Source| match source {
            Source::Link { .. } => spec::Value::Data(serde_json::Value::Null),
            Source::Constant(raw) => planned.constants.get(name).cloned().unwrap_or(spec::Value::Data(raw.clone())),
        };
        let covered = || given.iter().filter(|(name, _)| takes(spec, live, name) && own.covers(name));
        let inputs = covered().map(|(name, source)| (name.clone(), value(name, source))).collect();
        let mut names: Vec<Option<String>> = covered().map(|(name, _)| Some(name.clone())).collect();
        names.extend(own.types.then(|| Some("input_types".to_owned())));
        if names.is_empty() {
            names.push(None);
        }
        let request = Given { node_id: self.node(position).id.clone(), inputs, types };
        match self.catalog.judge(&spec.id, &request) {
            Judgement::Fine => {}
            Judgement::Failed(message) => {
                let mut wrong = Wrong::new(Kind::CheckFailed, message.clone()).brief(message.clone());
                wrong.extra.insert("exception_message".into(), json!(message));
                self.report(position, None, wrong);
            }
            Judgement::Refused(reason) => {
                for name in names {
                    let help = reason.clone().unwrap_or_else(|| "the node does not accept this value".into());
                    let brief = match (&name, &reason) {
                        (Some(name), Some(reason)) => format!("{name} - {reason}"),
                        (Some(one), None) | (None, Some(one)) => one.clone(),
                        (None, None) => String::new(),
                    };
                    let wrong = Wrong::new(Kind::CustomValidationFailed, help).brief(brief);
                    self.report(position, name.as_deref(), wrong);
                }
            }
        }
    }

    /// The nodes that the good outputs need, their links as indices.
    fn plan(&mut self, order: &[usize], mut nodes: Vec<Option<PlanNode>>, good: &[usize]) -> Plan {
        let mut needed = vec![false; self.specs.len()];
        good.iter().for_each(|&o| needed[o] = true);
        for &position in order.iter().rev().filter(|&&p| nodes[p].is_some()) {
            if needed[position] {
                self.sources(position).for_each(|source| needed[source] = true);
            }
        }
        let mut indices = vec![usize::MAX; self.specs.len()];
        let mut plan = Plan { warnings: std::mem::take(&mut self.warnings), ..Plan::default() };
        for &position in order.iter().filter(|&&p| needed[p]) {
            let Some(mut node) = nodes[position].take() else { continue };
            indices[position] = plan.nodes.len();
            node.links.iter_mut().for_each(|(_, link)| link.node = indices[link.node]);
            plan.nodes.push(node);
        }
        plan.outputs = good.iter().map(|&o| indices[o]).collect();
        plan
    }

    /// The link, by position, and the type of what comes through it; none if the other end is reported elsewhere.
    /// With an input its type is checked.
    fn link(&self, node: &str, slot: usize, input: Option<&spec::Input>) -> Result<Option<(Link, String)>, Wrong> {
        let with_link = |kind, details: String| {
            let mut wrong = Wrong::new(kind, details);
            wrong.extra.insert("linked_node".into(), json!([node, slot]));
            wrong
        };
        let exception = |name: &str, text: &str, mut wrong: Wrong| {
            wrong.extra.insert("exception_type".into(), json!(name));
            wrong.extra.insert("exception_message".into(), json!(text));
            Err(wrong.brief(text.to_owned()))
        };
        let Some(position) = self.workflow.position(node) else {
            let ids = self.workflow.nodes().iter().map(|n| n.id.as_str());
            let hint = nearest(node, ids).map(|n| format!("; did you mean `{n}`")).unwrap_or_default();
            let details = format!("links to node `{node}`, which is not in the workflow{hint}");
            return exception("KeyError", &format!("'{node}'"), with_link(Kind::LinkToNowhere, details));
        };
        let Some(spec) = self.specs[position] else { return Ok(None) };
        let Some(output) = spec.outputs.get(slot) else {
            let details = match spec.outputs.len() {
                0 => format!("links to output {slot} of node {node} ({}), which has no outputs", spec.id),
                n => format!("links to output {slot} of node {node} ({}), expected 0 to {}", spec.id, n - 1),
            };
            return exception("IndexError", "tuple index out of range", with_link(Kind::LinkToNowhere, details));
        };
        let found = output.socket.name();
        if let Some(input) = input.filter(|i| !accepts(&i.socket, &output.socket)) {
            let wanted = input.socket.name();
            let details = format!("expected {wanted}, found {found} from output {slot} of node {node} ({})", spec.id);
            let brief = format!("{}, received_type({found}) mismatch input_type({wanted})", input.name);
            let mut wrong = with_link(Kind::ReturnTypeMismatch, details).brief(brief);
            wrong.extra.insert("received_type".into(), json!(found));
            return Err(wrong);
        }
        Ok(Some((Link { node: position, slot }, found.to_owned())))
    }

    fn sorted(&mut self) -> Vec<Problem> {
        let mut problems = std::mem::take(&mut self.problems);
        problems.sort_by_key(|p| self.workflow.position(&p.node));
        problems
    }

    /// For each node with a problem, the outputs downstream of it.
    fn dependent_outputs(&self) -> BTreeMap<String, Vec<String>> {
        let mut needed_by = vec![Vec::new(); self.specs.len()];
        for position in 0..self.specs.len() {
            for source in self.sources(position) {
                needed_by[source].push(position);
            }
        }
        let bad: BTreeSet<usize> = self.problems.iter().filter_map(|p| self.workflow.position(&p.node)).collect();
        let mut found = BTreeMap::new();
        for start in bad {
            let (mut seen, mut stack, mut outputs) = (BTreeSet::from([start]), vec![start], BTreeSet::new());
            while let Some(position) = stack.pop() {
                if self.specs[position].is_some_and(|s| s.output_node) {
                    outputs.insert(position);
                }
                stack.extend(needed_by[position].iter().filter(|&&p| seen.insert(p)));
            }
            let ids = outputs.into_iter().map(|p| self.node(p).id.clone()).collect();
            found.insert(self.node(start).id.clone(), ids);
        }
        found
    }
}

/// The node's inputs as they follow from what is given.
/// The node's inputs as they follow from what is given.
fn live<'s>(spec: &'s spec::Node, given: &[(String, Source)]) -> Cow<'s, [spec::Input]> {
    if !spec.inputs.iter().any(spec::Input::is_dynamic) {
        return Cow::Borrowed(&spec.inputs);
    }
    let names: Vec<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
    let choice = |menu: &str| match given.iter().find(|(name, _)| name == menu) {
        Some((_, Source::Constant(serde_json::Value::String(key)))) => Some(key.clone()),
        Some((_, Source::Constant(other))) => Some(other.to_string()),
        _ => None,
    };
    spec::live_inputs(&spec.inputs, &names, &choice)
}

fn declares(inputs: &[spec::Input], name: &str) -> bool {
    inputs.iter().any(|i| i.name == name)
}

/// Does a value for this input reach the node?
fn takes(spec: &spec::Node, live: &[spec::Input], name: &str) -> bool {
    spec.behaviour.variadic || declares(live, name)
}

fn linked_menu(input: &spec::Input) -> Wrong {
    let details = "linked, but which other inputs the node has depends on it; give one of its names";
    Wrong::new(Kind::BadLinkedInput, details).brief(input.name.clone())
}

fn required(input: &spec::Input) -> Wrong {
    let what = match input.widget {
        spec::Widget::None => format!("link it to an output of type {}", input.socket.name()),
        _ => format!("give a value of type {}", input.socket.name()),
    };
    Wrong::new(Kind::RequiredInputMissing, format!("required, but absent; {what}"))
}

fn unknown(class: &str, inputs: &[spec::Input], name: &str) -> Wrong {
    let names = || inputs.iter().map(|i| i.name.as_str());
    let help = match nearest(name, names()) {
        Some(n) => format!("did you mean `{n}`"),
        None if inputs.is_empty() => "it has no inputs".to_owned(),
        None => format!("it has {}", names().collect::<Vec<_>>().join(", ")),
    };
    Wrong::new(Kind::UnknownInput, format!("{class} has no such input; {help}"))
}

/// As ComfyUI: `"IMAGE,MASK"` is a union, and one common type is enough.
fn accepts(input: &spec::Socket, output: &spec::Socket) -> bool {
    let parts = |s: &'_ spec::Socket| s.name().split(',').map(|p| p.trim().to_owned()).collect::<Vec<_>>();
    input.accepts(output) || parts(output).iter().any(|o| parts(input).contains(o))
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
