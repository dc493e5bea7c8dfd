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
    /// Keep a running mean of the weights (EMA), and save, sample and validate that: the share of it that is kept at each
    /// update, such as 0.99. The first updates keep less: (1 + n) / (10 + n). Default: no mean.
    pub ema_decay: Option<f64>,
    /// Bring the running mean up to date every so many optimizer steps. Default 1.
    pub ema_every: u64,
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
            ema_decay: None,
            ema_every: 1,
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
        let optimizer = (optimizers::find(&self.kind)?.build)(&self.settings()?, shapes);
        Ok(match self.ema_decay {
            Some(decay) => optimizers::averaged(optimizer, decay, self.ema_every, shapes),
            None => optimizer,
        })
    }

    /// What will make a run worse than it could be, though it is allowed.
    pub(crate) fn warnings(&self, text_encoder: bool) -> Vec<String> {
        let Ok(row) = optimizers::find(&self.kind) else { return Vec::new() };
        let mut rates = vec![("learning_rate", self.learning_rate())];
        if text_encoder {
            rates.extend(self.text_encoder_lrs().into_iter().map(|rate| ("text_encoder_lr", rate)));
        }
        let (low, high) = row.rates;
        let odd = rates.into_iter().filter(|(_, rate)| !(low..=high).contains(rate));
        let text = |(key, rate): (&str, f64)| {
            format!(
                "`{key}` is {rate}, but with {} numbers from {low} to {high} make sense, {} is usual: {}",
                row.name, row.learning_rate, row.summary
            )
        };
        odd.map(text).collect()
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
        if let Some(decay) = self.ema_decay {
            let own = optimizers::find(&self.kind).is_ok_and(|row| row.averages);
            problems.want(decay > 0.0 && decay < 1.0, format!("`ema_decay`: expected between 0 and 1, found {decay}"));
            problems.want(!own, format!("`ema_decay`: {} averages the weights by itself; leave it out", self.kind));
        }
        problems.at_least_one("ema_every", self.ema_every);
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
    fn a_rate_for_another_optimizer_is_warned_of() {
        let of = |changes| Config::default().with(changes).unwrap().warnings();
        assert!(of(json!({})).is_empty());
        assert!(of(json!({"optimizer": "prodigy"})).is_empty());
        let found = of(json!({"optimizer": "prodigy", "learning_rate": 5e-4}));
        assert!(found[0].contains("0.0005") && found[0].contains("1 is usual"), "{found:?}");
        let found = of(json!({"optimizer": "adamw_schedulefree", "lr_schedule": "cosine"}));
        assert!(found[0].contains("lr_schedule"), "{found:?}");
        let both = Config::default().with(json!({"optimizer": "adamw_schedulefree", "ema_decay": 0.99}));
        assert!(both.is_err_and(|e| format!("{e:#}").contains("ema_decay")));
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
