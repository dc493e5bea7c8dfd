//! From a workflow as written to a plan that can run.

use crate::constants::{self, Wrong};
use crate::{Catalog, Kind, Link, Plan, PlanNode, Problem, Problems, Source, Workflow, WorkflowNode, nearest};
use serde_json::{Map, json};
use std::collections::{BTreeMap, BTreeSet};

/// Checks everything that the output nodes need, and the class of every node.
///
/// # Errors
/// All problems at once, in the order of the nodes.
pub fn validate(workflow: &Workflow, catalog: &dyn Catalog) -> Result<Plan, Problems> {
    let mut check = Check {
        workflow,
        catalog,
        specs: workflow.nodes().iter().map(|n| catalog.node(&n.class_type)).collect(),
        problems: Vec::new(),
        warnings: Vec::new(),
        plan: Plan::default(),
    };
    check.classes();
    let outputs = check.outputs();
    let order = check.order(&outputs);
    let indices = check.inputs(&order);
    check.plan.outputs = outputs.iter().map(|&o| indices[o]).collect();
    check.plan.warnings = std::mem::take(&mut check.warnings);
    if check.problems.is_empty() {
        return Ok(check.plan);
    }
    Err(Problems { dependent_outputs: check.dependent_outputs(), problems: check.sorted() })
}

/// Positions are indices into [`Workflow::nodes`].
struct Check<'a> {
    workflow: &'a Workflow,
    catalog: &'a dyn Catalog,
    specs: Vec<Option<&'a spec::Node>>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    plan: Plan,
}

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
            extra: wrong.extra,
        }
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
            let mut wrong = Wrong::new(Kind::MissingNodeType, details);
            wrong.extra = Map::from_iter([
                ("node_id".into(), json!(node.id)),
                ("class_type".into(), json!(node.class_type)),
                ("node_title".into(), json!(node.title.as_ref().unwrap_or(&node.class_type))),
            ]);
            self.problems.push(self.problem(position, None, wrong));
        }
    }

    fn outputs(&mut self) -> Vec<usize> {
        let outputs: Vec<usize> =
            (0..self.specs.len()).filter(|&p| self.specs[p].is_some_and(|s| s.output_node)).collect();
        if outputs.is_empty() && self.problems.is_empty() {
            self.problems.push(Problem {
                kind: Kind::NoOutputs,
                node: String::new(),
                class_type: String::new(),
                input: None,
                details: "no node of the workflow saves or shows anything; add an output node such as SaveImage".into(),
                extra: Map::new(),
            });
        }
        outputs
    }

    /// Positions of the nodes that a node's links lead to.
    fn sources(&self, position: usize) -> impl Iterator<Item = usize> + use<'a> {
        let workflow = self.workflow;
        let inputs = self.node(position).inputs.as_deref().unwrap_or_default();
        inputs.iter().filter_map(move |(_, source)| match source {
            Source::Link { node, .. } => workflow.position(node),
            Source::Constant(_) => None,
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

    /// `cycle` goes against the links, from a node to what it needs; the report follows the data.
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
        let mut wrong = Wrong::new(Kind::DependencyCycle, details);
        wrong.extra.insert("cycle".into(), json!(ids));
        if let Some(&first) = cycle.last() {
            self.problems.push(self.problem(first, None, wrong));
        }
    }

    /// Checks the inputs and fills the plan; gives each position's index in the plan.
    fn inputs(&mut self, order: &[usize]) -> Vec<usize> {
        let mut indices = vec![usize::MAX; self.specs.len()];
        // Lists come from directories: read each once.
        let lists = std::cell::RefCell::new(BTreeMap::<String, Vec<String>>::new());
        let catalog = self.catalog;
        let host_list =
            |name: &str| lists.borrow_mut().entry(name.to_owned()).or_insert_with(|| catalog.host_list(name)).clone();
        for (index, &position) in order.iter().enumerate() {
            indices[position] = index;
            let Some(spec) = self.specs[position] else { continue };
            let planned = self.node_inputs(position, spec, &indices, &host_list);
            self.plan.nodes.push(planned);
        }
        indices
    }

    fn node_inputs(
        &mut self,
        position: usize,
        spec: &spec::Node,
        indices: &[usize],
        host_list: &dyn Fn(&str) -> Vec<String>,
    ) -> PlanNode {
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
            self.problems.push(self.problem(position, None, Wrong::new(Kind::MissingInputs, details)));
            return planned;
        };
        for input in &spec.inputs {
            let source = given.iter().find(|(name, _)| *name == input.name).map(|(_, s)| s);
            let result = match source {
                // Clients send null for an optional input that is empty.
                None | Some(Source::Constant(serde_json::Value::Null)) if !input.required => Ok(()),
                None => Err(required(input)),
                Some(Source::Constant(value)) => constants::check(input, value, host_list).map(|value| {
                    planned.constants.insert(input.name.clone(), spec::Value::Data(value));
                }),
                Some(Source::Link { node, slot }) => self.link(input, node, *slot, indices).map(|link| {
                    planned.links.extend(link.map(|l| (input.name.clone(), l)));
                }),
            };
            if let Err(wrong) = result {
                self.problems.push(self.problem(position, Some(&input.name), wrong));
            }
        }
        planned.links.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, _) in given.iter().filter(|(name, _)| !spec.inputs.iter().any(|i| i.name == *name)) {
            let problem = self.problem(position, Some(name), unknown(spec, name));
            let strict = spec.strict && !self.workflow.is_swapped(&node.id);
            if strict || self.workflow.is_overridden(&node.id, name) {
                self.problems.push(problem);
            } else {
                self.warnings.push(problem);
            }
        }
        planned
    }

    /// None for links whose other end is reported elsewhere.
    fn link(&self, input: &spec::Input, node: &str, slot: usize, indices: &[usize]) -> Result<Option<Link>, Wrong> {
        let with_link = |kind, details: String| {
            let mut wrong = Wrong::new(kind, details);
            wrong.extra.insert("linked_node".into(), json!([node, slot]));
            wrong
        };
        let Some(position) = self.workflow.position(node) else {
            let ids = self.workflow.nodes().iter().map(|n| n.id.as_str());
            let hint = nearest(node, ids).map(|n| format!("; did you mean `{n}`")).unwrap_or_default();
            let mut wrong =
                with_link(Kind::LinkToNowhere, format!("links to node `{node}`, which is not in the workflow{hint}"));
            wrong.extra.insert("exception_type".into(), json!("KeyError"));
            return Err(wrong);
        };
        let Some(spec) = self.specs[position] else { return Ok(None) };
        let Some(output) = spec.outputs.get(slot) else {
            let details = match spec.outputs.len() {
                0 => format!("links to output {slot} of node {node} ({}), which has no outputs", spec.id),
                n => format!("links to output {slot} of node {node} ({}), expected 0 to {}", spec.id, n - 1),
            };
            let mut wrong = with_link(Kind::LinkToNowhere, details);
            wrong.extra.insert("exception_type".into(), json!("IndexError"));
            return Err(wrong);
        };
        if !accepts(&input.socket, &output.socket) {
            let details = format!(
                "expected {}, found {} from output {slot} of node {node} ({})",
                input.socket.name(),
                output.socket.name(),
                spec.id
            );
            let mut wrong = with_link(Kind::ReturnTypeMismatch, details);
            wrong.extra.insert("received_type".into(), json!(output.socket.name()));
            return Err(wrong);
        }
        // An index that is not yet known belongs to a cycle, which is reported as such.
        Ok(Some(Link { node: indices[position], slot }).filter(|l| l.node != usize::MAX))
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

fn required(input: &spec::Input) -> Wrong {
    let what = match input.widget {
        spec::Widget::None => format!("link it to an output of type {}", input.socket.name()),
        _ => format!("give a value of type {}", input.socket.name()),
    };
    Wrong::new(Kind::RequiredInputMissing, format!("required, but absent; {what}"))
}

fn unknown(spec: &spec::Node, name: &str) -> Wrong {
    let names = || spec.inputs.iter().map(|i| i.name.as_str());
    let help = match nearest(name, names()) {
        Some(n) => format!("did you mean `{n}`"),
        None if spec.inputs.is_empty() => "it has no inputs".to_owned(),
        None => format!("it has {}", names().collect::<Vec<_>>().join(", ")),
    };
    Wrong::new(Kind::UnknownInput, format!("{} has no such input; {help}", spec.id))
}

/// As ComfyUI: `"IMAGE,MASK"` is a union, and one common type is enough.
fn accepts(input: &spec::Socket, output: &spec::Socket) -> bool {
    let parts = |s: &'_ spec::Socket| s.name().split(',').map(|p| p.trim().to_owned()).collect::<Vec<_>>();
    input.accepts(output) || parts(output).iter().any(|o| parts(input).contains(o))
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
