//! One setting of a group: its widget, and its value as the trainer's configuration has it.

use crate::types::same;
use anyhow::{Result, anyhow, ensure};
use serde_json::{Value as Json, json};
use spec::{FromValue, Input, Socket, Value, Widget};

/// A setting of the trainer.
pub(super) struct Key {
    pub(super) name: &'static str,
    kind: Kind,
    about: &'static str,
}

/// How a setting is entered. Where the trainer's default is none, the lowest number, the first choice or the empty text
/// stands for it.
enum Kind {
    Flag,
    Whole {
        from: i64,
        to: i64,
    },
    Number {
        from: f64,
        to: f64,
    },
    Choice(fn() -> Vec<String>),
    Text,
    /// Text of several lines.
    Lines,
    /// Texts, separated by commas.
    List,
    /// Anything else, as JSON; names may go without quotes.
    Json,
}

impl Key {
    pub(super) const fn flag(name: &'static str, about: &'static str) -> Self {
        Self { name, kind: Kind::Flag, about }
    }

    pub(super) const fn whole(name: &'static str, from: i64, to: i64, about: &'static str) -> Self {
        Self { name, kind: Kind::Whole { from, to }, about }
    }

    pub(super) const fn number(name: &'static str, from: f64, to: f64, about: &'static str) -> Self {
        Self { name, kind: Kind::Number { from, to }, about }
    }

    pub(super) const fn choice(name: &'static str, names: fn() -> Vec<String>, about: &'static str) -> Self {
        Self { name, kind: Kind::Choice(names), about }
    }

    pub(super) const fn text(name: &'static str, about: &'static str) -> Self {
        Self { name, kind: Kind::Text, about }
    }

    pub(super) const fn lines(name: &'static str, about: &'static str) -> Self {
        Self { name, kind: Kind::Lines, about }
    }

    pub(super) const fn list(name: &'static str, about: &'static str) -> Self {
        Self { name, kind: Kind::List, about }
    }

    pub(super) const fn json(name: &'static str, about: &'static str) -> Self {
        Self { name, kind: Kind::Json, about }
    }

    /// The input, starting with the trainer's `default`.
    pub(super) fn input(&self, default: &Json) -> Input {
        let (socket, widget) = match &self.kind {
            Kind::Flag => {
                let default = default.as_bool().unwrap_or_default();
                (Socket::Boolean, Widget::Boolean { default, label_on: None, label_off: None })
            }
            Kind::Whole { from, to } => {
                let default = default.as_i64().unwrap_or(*from);
                let widget = Widget::Int { default, min: *from, max: *to, step: 1, seed_control: self.name == "seed" };
                (Socket::Int, widget)
            }
            Kind::Number { from, to } => {
                let default = default.as_f64().unwrap_or(*from);
                // Learning rates and the like are far below 1.
                let step = if *to <= 1.0 { 0.0001 } else { 0.01 };
                (Socket::Float, Widget::Float { default, min: *from, max: *to, step, round: None })
            }
            Kind::Choice(names) => {
                let options = names();
                let default = default.as_str().map(str::to_owned).or_else(|| options.first().cloned());
                (Socket::Text, Widget::Combo { options, default, multiselect: false })
            }
            Kind::Text | Kind::Lines | Kind::List | Kind::Json => {
                let multiline = matches!(self.kind, Kind::Lines);
                (Socket::Text, Widget::Text { default: self.shown(default), multiline, placeholder: None })
            }
        };
        let tooltip = Some(self.about.to_owned());
        Input { name: self.name.to_owned(), socket, widget, required: false, is_list: false, lazy: false, tooltip }
    }

    /// A default as the text of a widget.
    fn shown(&self, default: &Json) -> String {
        match default {
            Json::Null => String::new(),
            Json::String(text) => text.clone(),
            Json::Array(items) if matches!(self.kind, Kind::List) => {
                items.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(", ")
            }
            other => other.to_string(),
        }
    }

    /// What was entered, as the configuration has it; none if it is the trainer's `default`.
    ///
    /// # Errors
    /// Another type, or out of range.
    pub(super) fn read(&self, value: &Value, default: &Json) -> Result<Option<Json>> {
        let wrong = |message: String| anyhow!("input `{}`: {message}", self.name);
        let unset = self.unset(default);
        let found = match &self.kind {
            Kind::Flag => json!(bool::from_value(value).map_err(wrong)?),
            Kind::Whole { from, to } => {
                let n = i64::from_value(value).map_err(wrong)?;
                ensure!((*from..=*to).contains(&n), wrong(format!("expected {from} to {to}, found {n}")));
                json!(n)
            }
            Kind::Number { from, to } => {
                let n = f64::from_value(value).map_err(wrong)?;
                ensure!((*from..=*to).contains(&n), wrong(format!("expected {from} to {to}, found {n}")));
                json!(n)
            }
            Kind::Choice(_) | Kind::Text | Kind::Lines => json!(String::from_value(value).map_err(wrong)?),
            Kind::List => json!(data::captions::split(&String::from_value(value).map_err(wrong)?)),
            Kind::Json => {
                let text = String::from_value(value).map_err(wrong)?;
                if text.trim().is_empty() {
                    return Ok(None);
                }
                match serde_json::from_str(&text) {
                    Ok(json) => json,
                    // A name needs no quotes.
                    Err(_) if default.is_string() => json!(text.trim()),
                    Err(e) => return Err(wrong(format!("expected JSON, found `{text}`: {e}"))),
                }
            }
        };
        Ok((!same(&found, &unset)).then_some(found))
    }

    /// The value that stands for the trainer's default.
    fn unset(&self, default: &Json) -> Json {
        match (&self.kind, default) {
            (Kind::Whole { from, .. }, Json::Null) => json!(from),
            (Kind::Number { from, .. }, Json::Null) => json!(from),
            (Kind::Choice(names), Json::Null) => json!(names().first()),
            (Kind::Text, Json::Null) => json!(""),
            (Kind::List, Json::Null) => json!([]),
            (_, default) => default.clone(),
        }
    }
}

/// The names of a table.
macro_rules! names {
    ($table:path) => {
        || $table.iter().map(|row| row.name.to_owned()).collect()
    };
}
pub(super) use names;

/// What a widget starts with.
#[cfg(test)]
pub(super) fn default_of(widget: &Widget) -> Option<Value> {
    Some(match widget {
        Widget::Int { default, .. } => (*default).into(),
        Widget::Float { default, .. } => (*default).into(),
        Widget::Text { default, .. } => default.clone().into(),
        Widget::Boolean { default, .. } => (*default).into(),
        Widget::Combo { default, .. } => default.clone()?.into(),
        Widget::None | Widget::HostList(_) | Widget::Branches(_) | Widget::Growing { .. } => return None,
    })
}
