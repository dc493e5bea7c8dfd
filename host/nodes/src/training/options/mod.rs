//! Nodes that each hold a group of the trainer's settings, and pass on those of the nodes before them. A setting is a
//! line in its group's list; the trainer's own default is its default here, and says nothing.

mod captions;
mod data;
mod group;
mod key;
mod loss;
mod memory;
mod network;
mod noise;
mod optimizer;
mod samples;
mod save;
mod schedule;
mod validation;

use crate::Make;
use anyhow::{Context as _, Result};
use key::Key;
pub(super) use schedule::schedules;
use serde_json::{Map, Value as Json};
use train::Config;

pub(super) const NODES: &[Make] = &[
    || group::node(&optimizer::OPTIMIZER),
    || group::node(&schedule::SCHEDULE),
    || group::node(&network::NETWORK),
    || group::node(&noise::NOISE),
    || group::node(&loss::LOSS),
    || group::node(&data::DATA),
    || group::node(&captions::CAPTIONS),
    || group::node(&save::SAVE),
    || group::node(&memory::MEMORY),
    || group::node(&validation::VALIDATION),
    || group::node(&samples::SAMPLES),
];

/// All groups, for tests.
#[cfg(test)]
const GROUPS: &[&group::Group] = &[
    &optimizer::OPTIMIZER,
    &schedule::SCHEDULE,
    &network::NETWORK,
    &noise::NOISE,
    &loss::LOSS,
    &data::DATA,
    &captions::CAPTIONS,
    &save::SAVE,
    &memory::MEMORY,
    &validation::VALIDATION,
    &samples::SAMPLES,
];

/// The trainer's settings with their defaults.
fn defaults() -> Map<String, Json> {
    match serde_json::to_value(Config::default()) {
        Ok(Json::Object(map)) => map,
        _ => Map::new(),
    }
}

/// Settings that were written as JSON.
///
/// # Errors
/// Not a JSON object; a setting that the trainer does not have.
pub(super) fn more(text: &str) -> Result<Map<String, Json>> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    let more: Map<String, Json> = serde_json::from_str(text).context("input `more`: expected a JSON object")?;
    let known = defaults();
    let unknown: Map<String, Json> =
        more.iter().filter(|(k, _)| !known.contains_key(*k)).map(|(k, v)| (k.clone(), v.clone())).collect();
    if !unknown.is_empty() {
        Config::from_json(&Json::Object(unknown).to_string()).context("input `more`")?;
    }
    Ok(more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;
    use crate::types::TrainOptions;
    use engine::{Context, Services};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    #[test]
    fn every_setting_of_a_group_is_one_of_the_trainer_and_in_no_other_group() {
        let known = defaults();
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for group in GROUPS {
            for key in group.keys {
                assert!(known.contains_key(key.name), "{}: the trainer has no `{}`", group.id, key.name);
                let other = seen.insert(key.name, group.id);
                assert!(other.is_none(), "`{}` is in {} and {}", key.name, other.unwrap_or_default(), group.id);
            }
        }
    }

    /// What `TrainLora` asks for itself, and a switch for experts.
    const ELSEWHERE: &[&str] = &["output_name", "seed", "steps", "epochs", "batch_size", "prediction"];

    #[test]
    fn every_setting_of_the_trainer_has_a_place() {
        let grouped = |key: &str| GROUPS.iter().any(|group| group.keys.iter().any(|k| k.name == key));
        let missing: Vec<String> =
            defaults().keys().filter(|k| !grouped(k) && !ELSEWHERE.contains(&k.as_str())).cloned().collect();
        assert!(missing.is_empty(), "no node has {missing:?}");
    }

    fn options(class: &str, inputs: Vec<(&str, spec::Value)>) -> Result<Arc<TrainOptions>> {
        let outputs = run(&Context::detached(Services::new()), class, inputs)?;
        Ok(crate::testing::output(&outputs, 0))
    }

    #[test]
    fn nodes_with_their_defaults_say_nothing() {
        for group in GROUPS {
            let node = group::node(group);
            let inputs = node.spec().inputs.iter().filter_map(|i| Some((i.name.as_str(), key::default_of(&i.widget)?)));
            let found = options(group.id, inputs.collect()).unwrap();
            assert_eq!(*found, TrainOptions::default(), "{}", group.id);
        }
    }

    #[test]
    fn settings_are_passed_on_and_told_with_their_node() {
        let first = options("TrainOptimizerOptions", vec![("learning_rate", 1e-4.into())]).unwrap();
        let link = || crate::testing::value(&first);
        let both = options("TrainNetworkOptions", vec![("alpha", 8.0.into()), ("options", link())]).unwrap();
        assert_eq!(both.values().keys().collect::<Vec<_>>(), ["alpha", "learning_rate"]);
        assert!(both.0["alpha"].place.contains("TrainNetworkOptions") || both.0["alpha"].place.contains("detached"));
        let error = options("TrainOptimizerOptions", vec![("learning_rate", 2e-4.into()), ("options", link())]);
        assert!(error.unwrap_err().to_string().contains("`learning_rate`"));
        let error = options("TrainNoiseOptions", vec![("more", r#"{"nois_offset": 1}"#.into())]).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("nois_offset") && error.contains("`noise_offset`"), "{error}");
    }
}
