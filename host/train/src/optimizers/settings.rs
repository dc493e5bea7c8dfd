//! The numbers of an update rule: which ones a rule has, and what they are in a run.

use anyhow::{Result, bail};

/// A number that a rule lets people choose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knob {
    /// Name in `optimizer_args`; `beta1`, `beta2`, `eps`, `weight_decay` and `momentum` have keys of their own.
    pub name: &'static str,
    /// What it is where a configuration is silent. Switches are 0 or 1.
    pub default: f64,
    /// One line for help and menus.
    pub help: &'static str,
}

pub(super) const fn knob(name: &'static str, default: f64, help: &'static str) -> Knob {
    Knob { name, default, help }
}

pub(super) const fn beta1(default: f64) -> Knob {
    knob("beta1", default, "share of the running mean of gradients that is kept at each step")
}

pub(super) const fn beta2(default: f64) -> Knob {
    knob("beta2", default, "share of the running mean of squared gradients that is kept at each step")
}

pub(super) const fn eps(default: f64) -> Knob {
    knob("eps", default, "added to the denominator")
}

pub(super) const fn weight_decay(default: f64) -> Knob {
    knob("weight_decay", default, "how fast weights shrink, per unit of learning rate")
}

/// The numbers of a rule in one run: a value for each of its knobs.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings(Vec<(&'static str, f64)>);

impl Settings {
    pub(super) fn new(knobs: &[Knob]) -> Self {
        Self(knobs.iter().map(|k| (k.name, k.default)).collect())
    }

    /// The value of a knob; None: this rule has no such knob.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    /// All values, in the order of the knobs.
    pub fn all(&self) -> &[(&'static str, f64)] {
        &self.0
    }

    /// Changes the value of a knob.
    ///
    /// # Errors
    /// This rule has no such knob; the message lists those it has.
    pub fn set(&mut self, name: &str, value: f64) -> Result<()> {
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, v)) => *v = value,
            None => {
                let known: Vec<_> = self.0.iter().map(|(n, _)| *n).collect();
                bail!("no such setting; it has {}", known.join(", "))
            }
        }
        Ok(())
    }

    /// The value of a knob that the rule is known to have.
    pub(super) fn number(&self, name: &str) -> f64 {
        let found = self.get(name);
        debug_assert!(found.is_some(), "the row has no knob `{name}`");
        found.unwrap_or_default()
    }

    /// A knob that is a switch.
    pub(super) fn on(&self, name: &str) -> bool {
        self.number(name) != 0.0
    }

    pub(super) fn betas(&self) -> (f64, f64) {
        (self.number("beta1"), self.number("beta2"))
    }
}
