//! How weights are changed.

use super::{Problems, Section};
use crate::optimizers::{self, Optimize, Settings};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// How weights are changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerOptions {
    /// A row of `OPTIMIZERS`. Default `adamw`.
    #[serde(rename = "optimizer")]
    pub kind: String,
    /// Learning rate of the network. Default: the optimizer's own; 5e-4 for adamw, 1 for those that find it themselves.
    pub learning_rate: Option<f64>,
    /// Learning rate of the text encoders' networks, or a list with one for each. Default: half of `learning_rate`, or all
    /// of it for optimizers that find the rate themselves.
    pub text_encoder_lr: Option<Rates>,
    /// Decay of the optimizer's running means. Default: the optimizer's own.
    pub betas: Option<(f64, f64)>,
    /// Added to the optimizer's denominator. Default: the optimizer's own.
    pub eps: Option<f64>,
    /// Weight decay. Default: the optimizer's own.
    pub weight_decay: Option<f64>,
    /// Momentum (sgd). Default: the optimizer's own.
    pub momentum: Option<f64>,
    /// More settings of the optimizer by their names, such as `{"d_coef": 2, "use_bias_correction": true}`. Default:
    /// the optimizer's own.
    pub optimizer_args: BTreeMap<String, Value>,
    /// Gradients are scaled down so that their norm is at most this; 0: never. Default 1.
    pub max_grad_norm: f64,
}

/// One learning rate, or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Rates {
    One(f64),
    Each(Vec<f64>),
}

impl Default for OptimizerOptions {
    fn default() -> Self {
        Self {
            kind: "adamw".into(),
            learning_rate: None,
            text_encoder_lr: None,
            betas: None,
            eps: None,
            weight_decay: None,
            momentum: None,
            optimizer_args: BTreeMap::new(),
            max_grad_norm: 1.0,
        }
    }
}

impl OptimizerOptions {
    /// Learning rate of the network: what was asked for, else the optimizer's own.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate.or_else(|| Some(optimizers::find(&self.kind).ok()?.learning_rate)).unwrap_or_default()
    }

    /// Learning rates of the text encoders' networks in the family's order; the last holds for those behind it.
    pub fn text_encoder_lrs(&self) -> Vec<f64> {
        match &self.text_encoder_lr {
            None => {
                let share = optimizers::find(&self.kind).map_or(0.5, |row| row.text_encoder);
                vec![self.learning_rate() * share]
            }
            Some(Rates::One(rate)) => vec![*rate],
            Some(Rates::Each(rates)) => rates.clone(),
        }
    }

    /// The optimizer's numbers: what was asked for, else its row's.
    ///
    /// # Errors
    /// The first of [`Self::problems`].
    pub fn settings(&self) -> Result<Settings> {
        let mut problems = Vec::new();
        let settings = self.collect(&mut problems)?;
        problems.into_iter().next().map_or(Ok(settings), |p| Err(anyhow::Error::msg(p)))
    }

    /// The running optimizer for trained tensors of these shapes.
    ///
    /// # Errors
    /// As [`Self::settings`].
    pub fn build(&self, shapes: &[Vec<usize>]) -> Result<Box<dyn Optimize>> {
        Ok((optimizers::find(&self.kind)?.build)(&self.settings()?, shapes))
    }

    fn collect(&self, problems: &mut Vec<String>) -> Result<Settings> {
        let row = optimizers::find(&self.kind)?;
        let mut settings = row.settings();
        let own = [
            ("betas", "beta1", self.betas.map(|b| b.0)),
            ("betas", "beta2", self.betas.map(|b| b.1)),
            ("eps", "eps", self.eps),
            ("weight_decay", "weight_decay", self.weight_decay),
            ("momentum", "momentum", self.momentum),
        ];
        let asked = own.into_iter().filter_map(|(key, name, value)| Some((key.to_owned(), name, value?)));
        let mut all: Vec<(String, &str, f64)> = asked.collect();
        for (name, value) in &self.optimizer_args {
            match value.as_f64().or_else(|| value.as_bool().map(f64::from)) {
                Some(number) => all.push((format!("optimizer_args.{name}"), name, number)),
                None => problems.push(format!("`optimizer_args.{name}`: expected a number or a switch, found {value}")),
            }
        }
        for (key, name, value) in all {
            if let Err(e) = settings.set(name, value).with_context(|| format!("`{key}`: {}", row.name)) {
                problems.push(format!("{e:#}"));
            }
        }
        if let Err(e) = (row.check)(&settings) {
            problems.push(format!("{}: {e:#}", row.name));
        }
        Ok(settings)
    }
}

impl Section for OptimizerOptions {
    fn check(&self, problems: &mut Problems) {
        problems.found(optimizers::find(&self.kind));
        if let Some(lr) = self.learning_rate {
            problems.positive("learning_rate", lr);
        }
        let rates = self.text_encoder_lrs();
        problems
            .want(!rates.is_empty(), "`text_encoder_lr`: expected a number or a list of numbers, found an empty list");
        rates.into_iter().for_each(|rate| problems.positive("text_encoder_lr", rate));
        problems.not_negative("max_grad_norm", self.max_grad_norm);
        problems.not_negative("weight_decay", self.weight_decay.unwrap_or(0.0));
        let mut list = Vec::new();
        let Ok(settings) = self.collect(&mut list) else { return };
        list.into_iter().for_each(|text| problems.want(false, text));
        for name in ["beta1", "beta2"] {
            let beta = settings.get(name).unwrap_or_default();
            problems.want((0.0..1.0).contains(&beta), format!("{name}: expected 0 to below 1, found {beta}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use serde_json::json;

    #[test]
    fn what_an_optimizer_does_not_have_is_an_error_that_lists_what_it_has() {
        let error = |changes| format!("{:#}", Config::default().with(changes).unwrap_err());
        let found = error(json!({"optimizer": "sgd", "betas": [0.9, 0.99]}));
        assert!(found.contains("`betas`") && found.contains("momentum"), "{found}");
        let found = error(json!({"optimizer": "prodigy", "optimizer_args": {"d_coeff": 2, "decouple": "yes"}}));
        assert!(found.contains("d_coeff") && found.contains("d_coef,") && found.contains("decouple"), "{found}");
        let found = error(json!({"optimizer": "adafactor", "optimizer_args": {"warmup_init": true}}));
        assert!(found.contains("relative_step"), "{found}");
    }

    #[test]
    fn rates_and_schedule_follow_the_optimizer() {
        let of = |changes| Config::default().with(changes).unwrap();
        let prodigy = of(json!({"optimizer": "prodigy", "optimizer_args": {"use_bias_correction": true}}));
        assert_eq!((prodigy.optimizer.learning_rate(), prodigy.optimizer.text_encoder_lrs()), (1.0, vec![1.0]));
        assert_eq!(prodigy.optimizer.settings().unwrap().get("use_bias_correction"), Some(1.0));
        assert_eq!(prodigy.lr_schedule(), "cosine");
        let adamw = of(json!({"learning_rate": 1e-4}));
        assert_eq!((adamw.optimizer.text_encoder_lrs(), adamw.lr_schedule()), (vec![5e-5], "cosine_with_restarts"));
        assert_eq!(of(json!({"optimizer": "prodigy", "lr_schedule": "linear"})).lr_schedule(), "linear");
    }
}
