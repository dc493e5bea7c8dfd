//! Presets as rows: settings to start from, by what a network shall learn and the family of its base. They are changes
//! of a configuration, to be shown as such: whoever trains sees every number, and may change it.
//!
//! To add a goal: a file with its row, and a line in [`GOALS`].

mod bases;
mod character;
mod concept;
mod outfit;
mod pose;
mod style;

pub use bases::{BASES, Base};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// Every goal, in the order in which menus and help show them.
pub const GOALS: &[Goal] = &[character::CHARACTER, style::STYLE, concept::CONCEPT, outfit::OUTFIT, pose::POSE];

/// What a network shall learn.
pub struct Goal {
    /// Name in menus.
    pub name: &'static str,
    /// One line for help and menus.
    pub summary: &'static str,
    /// What matters for pictures and captions, which no setting can do.
    pub advice: &'static [&'static str],
    /// Changes for every base, on top of the base's own; a JSON object.
    changes: &'static str,
    /// Further changes for the base of this name.
    own: &'static [(&'static str, &'static str)],
}

/// The changes of a configuration for a goal and a family of bases, which is named as in `models::FAMILIES`.
///
/// # Errors
/// An unknown goal, or a family that there are no presets for.
pub fn find(goal: &str, family: &str) -> Result<Map<String, Value>> {
    let Some(row) = GOALS.iter().find(|g| g.name == goal) else {
        let known: Vec<_> = GOALS.iter().map(|g| g.name).collect();
        bail!("unknown goal `{goal}`; known: {}", known.join(", "));
    };
    let Some(base) = BASES.iter().find(|b| b.families.contains(&family)) else {
        let known: Vec<_> = BASES.iter().flat_map(|b| b.families).copied().collect();
        bail!("no presets for a base of {family}; there are some for {}", known.join(", "));
    };
    row.changes(base)
}

impl Goal {
    /// The changes for a base.
    ///
    /// # Errors
    /// None, as long as the tables hold JSON objects.
    pub fn changes(&self, base: &Base) -> Result<Map<String, Value>> {
        let own = self.own.iter().filter(|(name, _)| *name == base.name).map(|(_, text)| *text);
        let mut all = Map::new();
        for text in [base.changes, self.changes].into_iter().chain(own) {
            all.extend(serde_json::from_str::<Map<String, Value>>(text).with_context(|| self.name)?);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn every_preset_is_a_sound_configuration_without_warnings() {
        for goal in GOALS {
            assert!(!goal.summary.is_empty() && !goal.advice.is_empty(), "{}", goal.name);
            for (name, _) in goal.own {
                assert!(BASES.iter().any(|b| b.name == *name), "{}: {name}", goal.name);
            }
            for base in BASES {
                let changes = goal.changes(base).unwrap();
                let config = Config::default().with(changes.into()).unwrap();
                assert!(config.warnings().is_empty(), "{} {}: {:?}", goal.name, base.name, config.warnings());
                let scale = config.network.alpha() / config.network.rank as f64;
                assert!((0.25..=2.0).contains(&scale), "{} {}: scale {scale}", goal.name, base.name);
                let lr = config.optimizer.learning_rate();
                assert!((2e-5..=2e-3).contains(&lr), "{} {}: {lr}", goal.name, base.name);
            }
        }
    }

    #[test]
    fn a_preset_is_found_for_every_family() {
        for goal in GOALS {
            for family in models::FAMILIES {
                assert!(!find(goal.name, family.name).unwrap().is_empty());
            }
        }
        assert!(find("charakter", "SDXL").is_err_and(|e| e.to_string().contains("character")));
        assert!(find("style", "SD 9").is_err_and(|e| e.to_string().contains("SDXL")));
    }
}
