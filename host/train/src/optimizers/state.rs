//! What optimizers remember from step to step: named arrays for each tensor, and numbers for all of them.

use anyhow::{Context, Result, ensure};

/// One array of optimizer state.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Index of the tensor that it belongs to; None: it belongs to all.
    pub tensor: Option<usize>,
    /// What it is: `mean`, `square`, `momentum` …
    pub name: String,
    pub values: Values,
}

/// Numbers in the format that a rule keeps them in.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    F32(Vec<f32>),
    F64(Vec<f64>),
    U8(Vec<u8>),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::U8(v) => v.len(),
        }
    }

    fn format(&self) -> &'static str {
        match self {
            Self::F32(_) => "f32",
            Self::F64(_) => "f64",
            Self::U8(_) => "u8",
        }
    }
}

/// The state of one tensor.
pub(super) struct Kept {
    pub(super) shape: Vec<usize>,
    names: Vec<&'static str>,
    pub(super) arrays: Vec<Values>,
}

/// The whole state of a running optimizer.
pub(super) struct State {
    /// Updates done.
    pub(super) steps: u64,
    pub(super) tensors: Vec<Kept>,
    /// Numbers for all tensors together.
    pub(super) scalars: Vec<(&'static str, f64)>,
}

/// The arrays that a rule needs for a tensor of a shape, as they are before the first step.
pub(super) type Layout = fn(&[usize]) -> Vec<(&'static str, Values)>;

impl State {
    pub(super) fn new(shapes: &[Vec<usize>], layout: impl Fn(&[usize]) -> Vec<(&'static str, Values)>) -> Self {
        let kept = |shape: &Vec<usize>| {
            let (names, arrays) = layout(shape).into_iter().unzip();
            Kept { shape: shape.clone(), names, arrays }
        };
        Self { steps: 0, tensors: shapes.iter().map(kept).collect(), scalars: Vec::new() }
    }

    pub(super) fn slots(&self) -> Vec<Slot> {
        let shared = self.scalars.iter().map(|(name, v)| Slot {
            tensor: None,
            name: (*name).to_owned(),
            values: Values::F64(vec![*v]),
        });
        let own = self.tensors.iter().enumerate().flat_map(|(i, kept)| {
            let named = kept.names.iter().zip(&kept.arrays);
            named.map(move |(name, v)| Slot { tensor: Some(i), name: (*name).to_owned(), values: v.clone() })
        });
        shared.chain(own).collect()
    }

    pub(super) fn restore(&mut self, steps: u64, slots: Vec<Slot>) -> Result<()> {
        let expected = self.scalars.len() + self.tensors.iter().map(|t| t.arrays.len()).sum::<usize>();
        ensure!(slots.len() == expected, "optimizer state: expected {expected} arrays, found {}", slots.len());
        for Slot { tensor, name, values } in slots {
            let of = tensor.map_or("all tensors".to_owned(), |i| format!("tensor {i}"));
            let no_place = || format!("optimizer state: no place for `{name}` of {of}");
            let Some(tensor) = tensor else {
                let (_, here) = self.scalars.iter_mut().find(|(n, _)| *n == name).with_context(no_place)?;
                let Values::F64(value) = &values else { anyhow::bail!("{}: expected f64", no_place()) };
                *here = *value.first().with_context(no_place)?;
                continue;
            };
            let kept = self.tensors.get_mut(tensor).with_context(no_place)?;
            let place = kept.names.iter().position(|n| *n == name).with_context(no_place)?;
            let here = &mut kept.arrays[place];
            ensure!(
                (here.len(), here.format()) == (values.len(), values.format()),
                "optimizer state: `{name}` of {of}: expected {} numbers in {}, found {} in {}",
                here.len(),
                here.format(),
                values.len(),
                values.format()
            );
            *here = values;
        }
        self.steps = steps;
        Ok(())
    }

    pub(super) fn scalar(&mut self, name: &str) -> &mut f64 {
        let place = self.scalars.iter().position(|(n, _)| *n == name);
        // A rule names only what its own `start` has made.
        &mut self.scalars[place.unwrap_or_default()].1
    }
}

/// An array of zeros, a number for each weight.
pub(super) fn zeros(shape: &[usize]) -> Values {
    Values::F32(vec![0.0; shape.iter().product()])
}
