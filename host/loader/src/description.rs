//! What a plugin says of itself, kept on disk by the artefact's hash, so that starting runs no plugin code.

use crate::grants::Rights;
use crate::kinds::Kind;
use crate::lock::write_atomic;
use crate::plugin::Form;
use crate::services::refusals::Refusal;
use serde::{Deserialize, Serialize};
use spec::PluginInfo;
use std::path::{Path, PathBuf};

/// Raised when what is kept, or how it is derived, changes.
const REVISION: u32 = 1;

/// The cached part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) kinds: Vec<Kind>,
    /// Interfaces that a component imports; empty for native libraries, which are handed everything.
    pub(crate) imports: Vec<String>,
    pub(crate) info: PluginInfo,
}

impl Description {
    /// What was kept for this artefact, if it can still be read.
    pub(crate) fn read(cache: &Path, sha: &str) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(file(cache, sha)).ok()?).ok()
    }

    /// Keeps it; failing to do so costs time at the next start, nothing else.
    pub(crate) fn write(&self, cache: &Path, sha: &str) {
        let file = file(cache, sha);
        let written = serde_json::to_vec(self).map_err(std::io::Error::from).and_then(|b| write_atomic(&file, &b));
        if let Err(e) = written {
            tracing::warn!("{}: {e}", file.display());
        }
    }

    /// Does it hold together, with the manifest and with what is granted?
    pub(crate) fn check(&self, id: &str, rights: &Rights) -> Result<(), String> {
        if self.kinds.is_empty() {
            return Err("it exports none of the plugin kinds".to_owned());
        }
        if self.info.id != id {
            return Err(format!("its manifest says it is `{id}`, but it calls itself `{}`", self.info.id));
        }
        for node in &self.info.nodes {
            rights.node_name(&node.id)?;
            if !self.kinds.contains(&node.role) {
                return Err(format!(
                    "node `{}` is a {}, which it does not export",
                    node.id,
                    crate::kinds::name(node.role)
                ));
            }
        }
        Ok(())
    }
}

fn file(cache: &Path, sha: &str) -> PathBuf {
    cache.join("describe").join(format!("{sha}-{REVISION}.json"))
}

/// Everything about an installed plugin, for `plugins explain`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explanation {
    pub id: String,
    pub version: String,
    pub title: String,
    pub description: String,
    pub license: Option<String>,
    pub form: Form,
    pub kinds: Vec<&'static str>,
    pub wit: String,
    pub path: PathBuf,
    pub sha256: String,
    /// Ids of its nodes.
    pub nodes: Vec<String>,
    /// Interfaces that it imports.
    pub imports: Vec<String>,
    /// What it may do, in plain words.
    pub may: Vec<String>,
    /// What it asked for and whether it is granted.
    pub rights: Vec<String>,
    /// What it was refused lately, newest first.
    pub refused: Vec<Refusal>,
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} {}: {}", self.id, self.version, self.title)?;
        if !self.description.is_empty() {
            writeln!(f, "  {}", self.description.replace('\n', "\n  "))?;
        }
        let form = match self.form {
            Form::Wasm => "component, sandboxed",
            Form::Native => "native library, approved: runs with all your rights, the grants below do not bind it",
        };
        writeln!(f, "form:    {form}")?;
        writeln!(f, "kinds:   {}", self.kinds.join(", "))?;
        writeln!(f, "nodes:   {}", self.nodes.join(", "))?;
        writeln!(f, "file:    {}", self.path.display())?;
        writeln!(f, "sha256:  {}", self.sha256)?;
        writeln!(f, "made for {}", self.wit)?;
        if let Some(license) = &self.license {
            writeln!(f, "licence: {license}")?;
        }
        let (wasi, own): (Vec<&str>, Vec<&str>) =
            self.imports.iter().map(String::as_str).partition(|import| import.starts_with("wasi:"));
        if !own.is_empty() {
            writeln!(f, "imports: {}", own.join(", "))?;
        }
        if !wasi.is_empty() {
            writeln!(
                f,
                "WASI:    {} interfaces of an interpreter, with nothing behind them: no files, no network",
                wasi.len()
            )?;
        }
        let it_may = if self.form == Form::Native {
            "through the host it may (by itself it can do all that you can):"
        } else {
            "may:"
        };
        writeln!(f, "{it_may}")?;
        for line in &self.may {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "asks for:")?;
        for line in &self.rights {
            writeln!(f, "  {line}")?;
        }
        if self.refused.is_empty() {
            return writeln!(f, "was refused nothing lately");
        }
        writeln!(f, "was refused lately:")?;
        for refusal in &self.refused {
            let times = if refusal.times == 1 { "once".to_owned() } else { format!("{} times", refusal.times) };
            writeln!(f, "  {} ({times}, {})", refusal.what, ago(refusal.at))?;
        }
        Ok(())
    }
}

/// How long ago that was, roughly.
fn ago(at: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    match now.saturating_sub(at) {
        s if s < 120 => "just now".to_owned(),
        s if s < 7200 => format!("{} minutes ago", s / 60),
        s if s < 2 * 86400 => format!("{} hours ago", s / 3600),
        s => format!("{} days ago", s / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Requests;
    use crate::grants::{Grant, Grants};

    fn description() -> Description {
        let info = serde_json::json!({
            "id": "a.b", "version": "1.0.0", "title": "", "description": "", "authors": [], "license": null,
            "config-schema": null,
            "nodes": [{
                "id": "a.b", "role": "captioner", "display-name": "", "category": "", "description": "", "inputs": [],
                "outputs": [], "output-node": false, "deterministic": true, "revision": 0, "experimental": false,
                "deprecated": false, "aliases": []
            }]
        });
        Description { kinds: vec![Kind::Captioner], imports: vec![], info: serde_json::from_value(info).unwrap() }
    }

    #[test]
    fn is_kept_by_hash() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Description::read(dir.path(), "x"), None);
        description().write(dir.path(), "x");
        assert_eq!(Description::read(dir.path(), "x"), Some(description()));
        assert_eq!(Description::read(dir.path(), "y"), None);
    }

    #[test]
    fn must_agree_with_the_manifest_and_the_exports() {
        let requests = Requests { node_names: vec!["Other*".into()], ..Requests::default() };
        let rights = Rights::new("a.b", &requests, &Grants::default());
        description().check("a.b", &rights).unwrap();
        assert!(description().check("a.c", &rights).unwrap_err().contains("`a.b`"));
        let mut d = description();
        for (name, why) in [("other.node", "under [requests]"), ("a", "[requests]"), ("OtherNode", "under [grants")] {
            d.info.nodes[0].id = name.into();
            let e = d.check("a.b", &rights).unwrap_err();
            assert!(e.contains(name) && e.contains(why), "{e}");
        }
        let grant = Grant { node_names: vec!["*".into()], ..Grant::default() };
        let mut grants = Grants { default: grant, ..Grants::default() };
        d.check("a.b", &Rights::new("a.b", &requests, &grants)).unwrap();
        grants.ceiling = Some(crate::grants::Ceiling::default());
        assert!(d.check("a.b", &Rights::new("a.b", &requests, &grants)).unwrap_err().contains("ceiling"));
        let mut d = description();
        d.kinds = vec![Kind::Evaluator];
        assert!(d.check("a.b", &rights).unwrap_err().contains("captioner"));
        d.kinds.clear();
        assert!(d.check("a.b", &rights).is_err());
    }
}
