//! Reference pages of nodes, printed from their descriptions.

use spec::{Input, Node, Widget};
use std::collections::BTreeMap;
use std::fmt::Write;

/// One page of all nodes by category.
pub(crate) fn page(nodes: &[&Node]) -> String {
    let mut categories: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in nodes {
        categories.entry(&node.category).or_default().push(node);
    }
    let mut page = String::from("# Nodes\n");
    for (category, nodes) in categories {
        let _ = write!(page, "\n## {category}\n");
        for node in nodes {
            let _ = write!(page, "\n{}", section(node));
        }
    }
    page
}

/// One node.
pub(crate) fn section(node: &Node) -> String {
    let mut text = format!("### {}\n", node.id);
    let mut notes = Vec::new();
    if node.display_name != node.id {
        notes.push(format!("«{}»", node.display_name));
    }
    if node.output_node {
        notes.push("output node".to_owned());
    }
    if !node.deterministic {
        notes.push("runs every time".to_owned());
    }
    if node.experimental {
        notes.push("experimental".to_owned());
    }
    if node.deprecated {
        notes.push("deprecated".to_owned());
    }
    if !notes.is_empty() {
        let _ = write!(text, "\n*{}*\n", notes.join(", "));
    }
    if !node.description.is_empty() {
        let _ = write!(text, "\n{}\n", node.description.trim());
    }
    if !node.inputs.is_empty() {
        text.push_str("\n| input | type | default | values | |\n|---|---|---|---|---|\n");
        for input in &node.inputs {
            rows(input, "", &mut text);
        }
    }
    if !node.outputs.is_empty() {
        text.push_str("\n| output | type | |\n|---|---|---|\n");
        for output in &node.outputs {
            let list = if output.is_list { " list" } else { "" };
            let tooltip = output.tooltip.as_deref().unwrap_or_default();
            let cells = [format!("`{}`", output.name), format!("{}{list}", output.socket.name()), tooltip.to_owned()];
            let _ = writeln!(text, "| {} |", cells.map(|c| cell(&c)).join(" | "));
        }
    }
    text
}

/// A row for an input, and for those that the choices of a menu bring.
fn rows(input: &Input, before: &str, text: &mut String) {
    let (default, values) = widget(input);
    let shown = match &input.widget {
        Widget::Growing { prefix, .. } => format!("`{}.{prefix}0` …", input.name),
        _ => format!("`{}`", input.name),
    };
    let name = if input.required { format!("{shown} *") } else { shown };
    let list = if input.is_list { " list" } else { "" };
    let tooltip = format!("{before}{}", input.tooltip.as_deref().unwrap_or_default());
    let cells = [name, format!("{}{list}", input.socket.name()), default, values, tooltip];
    let _ = writeln!(text, "| {} |", cells.map(|c| cell(&c)).join(" | "));
    let Widget::Branches(branches) = &input.widget else { return };
    for branch in branches {
        for inner in &branch.inputs {
            let inner = Input { name: format!("{}.{}", input.name, inner.name), ..inner.clone() };
            rows(&inner, &format!("{before}For `{}`: ", branch.key), text);
        }
    }
}

/// Default and allowed values. A required input has no default.
fn widget(input: &Input) -> (String, String) {
    let (default, values) = match &input.widget {
        Widget::None => (String::new(), String::new()),
        Widget::Int { default, min, max, .. } => (default.to_string(), range(min, max, *max != i64::MAX)),
        Widget::Float { default, min, max, .. } => {
            (number(*default), range(&number(*min), &number(*max), max.abs() < f64::from(f32::MAX)))
        }
        Widget::Text { default, .. } => (quoted(default), String::new()),
        Widget::Boolean { default, .. } => (default.to_string(), String::new()),
        Widget::Combo { options, default, .. } => {
            (default.clone().unwrap_or_default(), codes(options.iter().map(String::as_str)))
        }
        Widget::Branches(branches) => (String::new(), codes(branches.iter().map(|b| b.key.as_str()))),
        Widget::Growing { min, max, .. } => (String::new(), format!("{min} to {max} links")),
        Widget::HostList(name) => (String::new(), format!("names in {name}")),
    };
    (if input.required { String::new() } else { default }, values)
}

fn codes<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    texts.map(|t| format!("`{t}`")).collect::<Vec<_>>().join(" ")
}

fn range(min: &impl std::fmt::Display, max: &impl std::fmt::Display, bounded: bool) -> String {
    if bounded { format!("{min} … {max}") } else { format!("from {min}") }
}

fn number(value: f64) -> String {
    if value != 0.0 && (value.abs() < 1e-3 || value.abs() >= 1e6) { format!("{value:e}") } else { value.to_string() }
}

fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// The list for a terminal: a line per node, by category.
pub(crate) fn list(nodes: &[&Node]) -> String {
    let mut categories: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in nodes {
        categories.entry(&node.category).or_default().push(node);
    }
    let width = nodes.iter().map(|n| n.id.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (category, nodes) in categories {
        let _ = writeln!(text, "{category}");
        for node in nodes {
            let first =
                node.description.split(". ").next().unwrap_or_default().trim_end_matches('.').replace('\n', " ");
            let line = format!("  {:<width$}  {first}", node.id);
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::{Output, Role, Socket};

    fn node() -> Node {
        let input = |name: &str, socket, widget, required| Input {
            name: name.into(),
            socket,
            widget,
            required,
            is_list: false,
            lazy: false,
            tooltip: Some("Either | or.".into()),
        };
        Node {
            id: "KSampler".into(),
            role: Role::Node,
            display_name: "Sampler".into(),
            category: "sampling".into(),
            description: "Removes noise. Step by step.".into(),
            inputs: vec![
                input("model", Socket::Model, Widget::None, true),
                input(
                    "cfg",
                    Socket::Float,
                    Widget::Float { default: 8.0, min: 0.0, max: 100.0, step: 0.1, round: None },
                    false,
                ),
                input(
                    "seed",
                    Socket::Int,
                    Widget::Int { default: 0, min: 0, max: i64::MAX, step: 1, seed_control: true },
                    false,
                ),
            ],
            outputs: vec![Output { name: "LATENT".into(), socket: Socket::Latent, is_list: false, tooltip: None }],
            output_node: false,
            deterministic: true,
            revision: 0,
            experimental: false,
            deprecated: false,
            aliases: Vec::new(),
            strict: false,
            behaviour: spec::Behaviour::default(),
        }
    }

    #[test]
    fn a_section_has_inputs_with_ranges_and_outputs() {
        let text = section(&node());
        assert!(text.contains("| `model` * | MODEL |  |  | Either \\| or. |"), "{text}");
        assert!(text.contains("| `cfg` | FLOAT | 8 | 0 … 100 |"), "{text}");
        assert!(text.contains("| `seed` | INT | 0 | from 0 |"), "{text}");
        assert!(text.contains("| `LATENT` | LATENT |  |"), "{text}");
    }

    #[test]
    fn the_list_shows_first_sentences_by_category() {
        assert_eq!(list(&[&node()]), "sampling\n  KSampler  Removes noise\n");
    }
}
