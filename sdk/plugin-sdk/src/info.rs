//! How a plugin describes itself: built from its settings and a constant.

use crate::spec::Behaviour;
use crate::{Error, Input, Inputs, Output, PluginInfo, Result, Role, spec};

/// What a plugin says of itself. [`info!`](crate::info) fills in what `Cargo.toml` already knows.
///
/// ```
/// use plugin_sdk::{Info, info};
///
/// const INFO: Info = Info { category: "captions", revision: 2, ..info!("example.brightness", "Brightness") };
/// assert_eq!(INFO.id, "example.brightness");
/// assert!(INFO.deterministic);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// `vendor.name`; also the `class_type` of the node.
    pub id: &'static str,
    /// The crate's version.
    pub version: &'static str,
    /// What menus show.
    pub title: &'static str,
    /// One or two sentences; if empty, the doc comment of the settings.
    pub description: &'static str,
    /// Separated by colons, as Cargo does it.
    pub authors: &'static str,
    /// SPDX expression; may be empty.
    pub license: &'static str,
    /// Place in menus, such as `captions/tags`.
    pub category: &'static str,
    /// Raise it when results change although the settings do not: the host then forgets its cache.
    pub revision: u32,
    /// Equal inputs and seed give equal results, so the host may cache.
    pub deterministic: bool,
    /// May change without notice.
    pub experimental: bool,
    /// Kept for old workflows only.
    pub deprecated: bool,
    /// Other names to find it by.
    pub aliases: &'static [&'static str],
}

/// An [`Info`] with the version, description, authors and licence of the crate's `Cargo.toml`.
#[macro_export]
macro_rules! info {
    ($id:expr, $title:expr $(,)?) => {
        $crate::Info {
            id: $id,
            version: env!("CARGO_PKG_VERSION"),
            title: $title,
            description: env!("CARGO_PKG_DESCRIPTION"),
            authors: env!("CARGO_PKG_AUTHORS"),
            license: env!("CARGO_PKG_LICENSE"),
            category: "plugins",
            revision: 0,
            deterministic: true,
            experimental: false,
            deprecated: false,
            aliases: &[],
        }
    };
}

/// One exported type.
pub struct Part {
    pub info: Info,
    pub role: Role,
    /// The doc comment of the settings.
    pub doc: &'static str,
    pub inputs: Vec<Input>,
    pub outputs: Vec<Output>,
    /// What the node asks of the engine besides values.
    pub behaviour: Behaviour,
    pub output_node: bool,
}

impl Part {
    /// A type whose role tells the host how to wire it: it lists only its settings.
    pub fn role<S: Inputs>(role: Role, info: Info) -> Self {
        Self {
            info,
            role,
            doc: S::description(),
            inputs: S::inputs(),
            outputs: Vec::new(),
            behaviour: Behaviour::default(),
            output_node: false,
        }
    }

    fn description(&self) -> String {
        if self.info.description.is_empty() { self.doc } else { self.info.description }.to_owned()
    }
}

/// The description of a whole artefact. Without one of its own, the first part gives it its id.
pub fn describe(own: Option<Info>, parts: Vec<Part>) -> PluginInfo {
    let nodes = parts.iter().map(|part| spec::Node {
        id: part.info.id.to_owned(),
        role: part.role,
        display_name: part.info.title.to_owned(),
        category: part.info.category.to_owned(),
        description: part.description(),
        inputs: part.inputs.clone(),
        outputs: part.outputs.clone(),
        output_node: part.output_node,
        deterministic: part.info.deterministic,
        revision: part.info.revision,
        experimental: part.info.experimental,
        deprecated: part.info.deprecated,
        aliases: part.info.aliases.iter().map(|&a| a.to_owned()).collect(),
        strict: true,
        behaviour: part.behaviour.clone(),
    });
    let nodes = nodes.collect();
    let first = parts.first();
    let info = own.or(first.map(|p| p.info));
    let text = |get: fn(&Info) -> &'static str| info.as_ref().map(get).unwrap_or_default();
    let description = match own {
        Some(own) => own.description.to_owned(),
        None => first.map(Part::description).unwrap_or_default(),
    };
    PluginInfo {
        id: text(|i| i.id).to_owned(),
        version: text(|i| i.version).to_owned(),
        title: text(|i| i.title).to_owned(),
        description,
        authors: text(|i| i.authors).split(':').filter(|a| !a.is_empty()).map(str::to_owned).collect(),
        license: Some(text(|i| i.license)).filter(|l| !l.is_empty()).map(str::to_owned),
        nodes,
        config_schema: None,
    }
}

/// Settings from the JSON that the host gives to `open`.
///
/// # Errors
/// All problems in one message: unknown names, missing ones, wrong types, values out of range.
pub fn settings<S: Inputs>(config: serde_json::Value) -> Result<S> {
    let values = spec::values_from_json(config).map_err(Error::invalid_input)?;
    let mut problems = spec::unknown_inputs::<S>(&values);
    match S::from_values(values) {
        Ok(settings) if problems.is_empty() => return Ok(settings),
        Ok(_) => {}
        Err(more) => problems.extend(more),
    }
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    Err(Error::invalid_input(format!("settings: {}", problems.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Settings of a test.
    #[derive(Debug, Inputs)]
    struct Settings {
        /// How many.
        #[input(default = 3, range = 1..=9)]
        count: u32,
        name: String,
    }

    #[test]
    fn settings_report_unknown_and_wrong_together() {
        let e = settings::<Settings>(json!({"count": 10, "nmae": "x"})).unwrap_err();
        assert_eq!(e.kind, crate::ErrorKind::InvalidInput);
        assert_eq!(
            e.message,
            "settings: `nmae`: unknown setting; known are count, name; `count`: expected 1 to 9, found 10; \
             `name`: required input is missing; expected STRING"
        );
        let good = settings::<Settings>(json!({"name": "x"})).unwrap();
        assert_eq!((good.count, good.name.as_str()), (3, "x"));
    }

    #[test]
    fn describes_each_part_under_the_first_id() {
        let one = crate::info!("example.one", "One");
        let two = Info { id: "example.two", description: "", ..one };
        let parts = || vec![Part::role::<Settings>(Role::Captioner, one), Part::role::<()>(Role::Evaluator, two)];
        let info = describe(None, parts());
        assert_eq!(info.id, "example.one");
        assert_eq!(info.license.as_deref(), Some("Apache-2.0 OR MIT"));
        assert_eq!(info.nodes.iter().map(|n| n.id.as_str()).collect::<Vec<_>>(), ["example.one", "example.two"]);
        assert_eq!(info.nodes[0].inputs.len(), 2);
        assert!(info.nodes[0].strict);

        let own = describe(Some(Info { id: "example.pack", description: "Both.", ..one }), parts());
        assert_eq!((own.id.as_str(), own.description.as_str()), ("example.pack", "Both."));
        assert_eq!(own.nodes, info.nodes);
    }
}
