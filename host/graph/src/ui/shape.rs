//! What the converter must know of a node: its inputs in order, and which of them are widgets.

use crate::{Catalog, nearest};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// Where the converter learns what nodes look like.
pub trait Describe {
    /// The node of this class, if it is known.
    fn shape(&self, class_type: &str) -> Option<Shape>;

    /// The known class with the nearest name, for messages.
    fn suggest(&self, class_type: &str) -> Option<String>;
}

/// A node as the editor draws it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    /// The title of a node that the user has not renamed.
    pub title: String,
    /// Required inputs, then optional ones.
    pub inputs: Vec<Slot>,
}

/// One input.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    pub name: String,
    /// None: the value comes through a link only, and has no place among the saved values.
    pub widget: Option<Widget>,
}

/// An input that the user fills in.
#[derive(Clone, Debug, PartialEq)]
pub struct Widget {
    pub holds: Holds,
    /// The value of a node that was saved before it had this widget.
    pub default: Option<Value>,
    /// A `control_after_generate` follows among the saved values.
    pub control: bool,
    /// Buttons have a place among the saved values but are not sent.
    pub sent: bool,
}

/// What sort of value a widget can hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Holds {
    Number,
    Boolean,
    Text,
    /// A text in which `{a|b}` is a choice.
    Prompt,
    /// The names to choose from.
    Choice(Vec<Value>),
    /// Each choice brings inputs of its own, whose names follow after a dot.
    Branches(Vec<(Value, Vec<Slot>)>),
    Other,
}

impl Slot {
    pub(super) fn link(name: &str) -> Self {
        Self { name: name.to_owned(), widget: None }
    }

    pub(super) fn widget(name: &str, holds: Holds, default: Option<Value>) -> Self {
        Self { name: name.to_owned(), widget: Some(Widget { holds, default, control: false, sent: true }) }
    }

    pub(super) fn button(name: &str) -> Self {
        let widget = Widget { holds: Holds::Other, default: None, control: false, sent: false };
        Self { name: name.to_owned(), widget: Some(widget) }
    }

    pub(super) fn with_control(mut self, control: bool) -> Self {
        if let Some(widget) = &mut self.widget {
            widget.control = control;
        }
        self
    }
}

impl Shape {
    /// Is this input one that the user can fill in?
    pub(super) fn has_widget(&self, name: &str) -> bool {
        self.inputs.iter().any(|s| s.name == name && s.widget.is_some())
    }
}

/// The nodes of a registry.
pub struct FromCatalog<'a>(pub &'a dyn Catalog);

impl Describe for FromCatalog<'_> {
    fn shape(&self, class_type: &str) -> Option<Shape> {
        let node = self.0.node(class_type)?;
        // As `/object_info` sorts them: what has a widget has a value in every prompt.
        let comes_first = |i: &&spec::Input| i.required || i.widget != spec::Widget::None;
        let (required, optional): (Vec<_>, Vec<_>) = node.inputs.iter().partition(comes_first);
        let inputs = required.into_iter().chain(optional).map(slot).collect();
        Some(Shape { title: node.display_name.clone(), inputs })
    }

    fn suggest(&self, class_type: &str) -> Option<String> {
        let classes = self.0.classes();
        nearest(class_type, classes.iter().map(String::as_str)).map(str::to_owned)
    }
}

fn slot(input: &spec::Input) -> Slot {
    let name = &input.name;
    match &input.widget {
        spec::Widget::None => Slot::link(name),
        spec::Widget::Int { default, seed_control, .. } => {
            // ComfyUI's editor gives the control to these two names, whatever the node says.
            let control = *seed_control || matches!(name.as_str(), "seed" | "noise_seed");
            Slot::widget(name, Holds::Number, Some(json!(default))).with_control(control)
        }
        spec::Widget::Float { default, .. } => Slot::widget(name, Holds::Number, Some(json!(default))),
        // As `/object_info` describes them to the editor.
        spec::Widget::Text { default, multiline, .. } => {
            Slot::widget(name, if *multiline { Holds::Prompt } else { Holds::Text }, Some(json!(default)))
        }
        spec::Widget::Boolean { default, .. } => Slot::widget(name, Holds::Boolean, Some(json!(default))),
        spec::Widget::Combo { options, default, .. } => {
            let default = default.as_ref().or(options.first()).map(|d| json!(d));
            Slot::widget(name, Holds::Choice(options.iter().map(|o| json!(o)).collect()), default)
        }
        // Which files there are changes; an absent name is reported by validation.
        spec::Widget::HostList(_) => Slot::widget(name, Holds::Text, None),
        spec::Widget::Branches(branches) => {
            let all = branches.iter().map(|b| (json!(b.key), b.inputs.iter().map(slot).collect())).collect();
            Slot::widget(name, Holds::Branches(all), branches.first().map(|b| json!(b.key)))
        }
        spec::Widget::Growing { .. } => Slot::link(name),
    }
}

/// Every class of a document, asked for once.
#[derive(Default)]
pub(super) struct Shapes(HashMap<String, Shape>);

impl Shapes {
    pub(super) fn ask<'c>(nodes: &dyn Describe, classes: impl Iterator<Item = &'c str>) -> Self {
        let mut shapes = HashMap::new();
        let mut asked = HashSet::new();
        for class_type in classes.filter(|c| asked.insert(c.to_owned())) {
            if let Some(shape) = nodes.shape(class_type) {
                shapes.insert(class_type.to_owned(), shape);
            }
        }
        Self(shapes)
    }

    pub(super) fn get(&self, class_type: &str) -> Option<&Shape> {
        self.0.get(class_type)
    }
}
