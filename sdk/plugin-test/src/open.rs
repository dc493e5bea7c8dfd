//! Plugins opened as a host opens them: from JSON.

use plugin_sdk::{
    Annotation, Captioner, DatasetSource, Error, Evaluator, Inputs, Node, Result, Tag, TagFilter, Value, settings, spec,
};

/// Opens a captioner with settings as they stand in a workflow.
///
/// # Errors
/// Wrong settings, or what the plugin says.
pub fn open_captioner<T: Captioner>(config: serde_json::Value) -> Result<T> {
    T::open(settings(config)?)
}

/// Opens a tag filter.
///
/// # Errors
/// Wrong settings, or what the plugin says.
pub fn open_tag_filter<T: TagFilter>(config: serde_json::Value) -> Result<T> {
    T::open(settings(config)?)
}

/// Opens a dataset source.
///
/// # Errors
/// Wrong settings, or what the plugin says.
pub fn open_dataset_source<T: DatasetSource>(config: serde_json::Value) -> Result<T> {
    T::open(settings(config)?)
}

/// Opens an evaluator.
///
/// # Errors
/// Wrong settings, or what the plugin says.
pub fn open_evaluator<T: Evaluator>(config: serde_json::Value) -> Result<T> {
    T::open(settings(config)?)
}

/// Runs a node on values by name; objects are given as [`Value::object`].
///
/// # Errors
/// Wrong inputs, or what the plugin says.
pub fn run_node<T: Node>(inputs: impl IntoIterator<Item = (&'static str, Value)>) -> Result<Vec<Value>> {
    let values: spec::Values = inputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let inputs = T::Inputs::from_values(values).map_err(|problems| {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        Error::invalid_input(problems.join("; "))
    })?;
    Ok(T::run(inputs)?.values)
}

/// An annotation of tags without scores.
///
/// ```
/// let a = plugin_test::annotation(&["1girl", "tree"]);
/// assert_eq!(a.tags[1].name, "tree");
/// ```
pub fn annotation(tags: &[&str]) -> Annotation {
    let tag = |name: &&str| Tag { name: (*name).to_owned(), ..Tag::default() };
    Annotation { tags: tags.iter().map(tag).collect(), ..Annotation::default() }
}
