//! What rules have in common that treat every number on its own: some arrays of state as long as the tensor.

use super::{Optimize, Settings, Slot};
use anyhow::{Result, bail, ensure};

/// One update of one tensor: settings, number of this update (from 1), learning rate, values, gradient, state.
pub(super) type Rule = fn(&Settings, u64, f64, &mut [f32], &[f32], &mut [Vec<f32>]);

pub(super) struct Elementwise {
    settings: Settings,
    rule: Rule,
    names: &'static [&'static str],
    /// For each tensor, for each name: one number for each weight.
    state: Vec<Vec<Vec<f32>>>,
    steps: u64,
}

impl Elementwise {
    pub(super) fn boxed(
        settings: Settings,
        rule: Rule,
        names: &'static [&'static str],
        lengths: &[usize],
    ) -> Box<dyn Optimize> {
        let state = lengths.iter().map(|&n| names.iter().map(|_| vec![0.0; n]).collect()).collect();
        Box::new(Self { settings, rule, names, state, steps: 0 })
    }
}

impl Optimize for Elementwise {
    fn step(&mut self, params: &mut [&mut [f32]], grads: &[&[f32]], lrs: &[f64]) {
        self.steps += 1;
        for (i, param) in params.iter_mut().enumerate() {
            (self.rule)(&self.settings, self.steps, lrs[i], param, grads[i], &mut self.state[i]);
        }
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn state(&self) -> Vec<Slot> {
        let slot = |tensor, (name, values): (&&str, &Vec<f32>)| Slot {
            tensor,
            name: (*name).to_owned(),
            values: values.clone(),
        };
        self.state.iter().enumerate().flat_map(|(i, s)| self.names.iter().zip(s).map(move |p| slot(i, p))).collect()
    }

    fn restore(&mut self, steps: u64, slots: Vec<Slot>) -> Result<()> {
        let expected = self.state.len() * self.names.len();
        ensure!(slots.len() == expected, "optimizer state: expected {expected} arrays, found {}", slots.len());
        for slot in slots {
            let place = self.names.iter().position(|n| *n == slot.name);
            let Some(here) = place.and_then(|p| self.state.get_mut(slot.tensor)?.get_mut(p)) else {
                bail!("optimizer state: no place for `{}` of tensor {}", slot.name, slot.tensor);
            };
            ensure!(
                here.len() == slot.values.len(),
                "optimizer state: `{}` of tensor {}: expected {} numbers, found {}",
                slot.name,
                slot.tensor,
                here.len(),
                slot.values.len()
            );
            *here = slot.values;
        }
        self.steps = steps;
        Ok(())
    }
}
