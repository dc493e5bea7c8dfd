//! `plugin.toml`: who a plugin is, where its artefacts lie and what it would like to use.

use crate::LoadError;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;

/// Name of the manifest in a plugin's folder.
pub(crate) const FILE_NAME: &str = "plugin.toml";

/// The WIT package that this host implements.
pub(crate) const WIT_PACKAGE: &str = "anagama:plugin";
/// Its newest version; plugins made for an earlier 0.1.x load too.
pub(crate) const WIT_VERSION: (u64, u64, u64) = (0, 1, 0);

/// The target whose native library this host can load.
pub const NATIVE_TARGET: &str = env!("ANAGAMA_TARGET");

/// A plugin's manifest. Unknown keys are errors that list the known ones.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Manifest {
    /// `vendor.name`; the ids of the plugin's nodes begin with it.
    pub id: String,
    /// Semantic version of the plugin.
    pub version: String,
    /// The contract it was made for: `anagama:plugin@0.1.0`.
    pub wit: String,
    /// File name of the WASM component.
    #[serde(default)]
    pub component: Option<String>,
    /// File names of native libraries by target triple.
    #[serde(default)]
    pub native: BTreeMap<String, String>,
    /// What it would like to use; nothing is granted by this.
    #[serde(default)]
    pub requests: Requests,
}

/// What a plugin asks for. Rights are this ∩ the user's grants ∩ the ceiling.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Requests {
    /// Patterns of model names: `taggers/*`.
    pub models: Vec<String>,
    /// Patterns of URLs: `https://booru.example/*.json`, with `POST ` in front to post. `https://*/*` asks for every host
    /// that the user grants, `http://*:*/*` for every port too.
    pub http: Vec<String>,
    /// Requests must name a contact of the user, in the User-Agent.
    pub contact: bool,
    /// Milliseconds between two requests to one host; 0: no pause.
    pub http_interval_ms: u32,
    /// Times that a host is asked that is busy or lost, the first included; none: as any plugin's. One that asks again itself
    /// says 1.
    pub http_tries: Option<NonZeroU32>,
    /// Patterns of names of secrets that its requests may carry. It never sees them.
    pub secrets: Vec<String>,
    /// Names of folders that the user may grant.
    pub folders: Vec<String>,
    /// Private storage in MiB.
    pub storage_mib: u32,
    /// Patterns of names that its nodes have beside those that begin with its vendor.
    pub node_names: Vec<String>,
    /// Seconds that one call may take, if it waits for slow machines; 0: as long as any.
    pub deadline_seconds: u32,
}

impl Manifest {
    /// Reads and checks `<folder>/plugin.toml`.
    ///
    /// # Errors
    /// An unreadable file, unknown keys, a bad id, version or file name, another contract.
    pub fn read(folder: &Path) -> Result<Self, LoadError> {
        let path = folder.join(FILE_NAME);
        let text = std::fs::read_to_string(&path).map_err(|e| LoadError::io(&path, &e))?;
        Self::parse(&text).map_err(|problem| LoadError::Manifest { path, problem })
    }

    /// Parses and checks the text of a manifest.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The file name of the native library for this machine.
    pub fn native_here(&self) -> Option<&str> {
        self.native.get(NATIVE_TARGET).map(String::as_str)
    }

    fn check(&self) -> Result<(), String> {
        let word = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if self.id.len() > 100 || !self.id.contains('.') || !self.id.split('.').all(word) {
            return Err(format!("`id`: expected `vendor.name` of letters, digits, `-` and `_`, found {:?}", self.id));
        }
        if triple(&self.version).is_none() {
            return Err(format!("`version`: expected three numbers like 0.1.0, found {:?}", self.version));
        }
        check_wit(&self.wit)?;
        let files = self.component.iter().chain(self.native.values());
        for file in files.clone() {
            if file.is_empty() || Path::new(file).file_name().is_none_or(|name| name != file.as_str()) {
                return Err(format!("expected the name of a file in the plugin's own folder, found {file:?}"));
            }
        }
        if files.count() == 0 {
            return Err("no artefact: expected `component = \"name.wasm\"` or a library under `[native]`".to_owned());
        }
        for pattern in &self.requests.http {
            crate::grants::UrlPattern::parse_request(pattern).map_err(|e| format!("`requests.http`: {e}"))?;
        }
        Ok(())
    }
}

/// Is a plugin made for `wit` within what this host offers?
pub(crate) fn check_wit(wit: &str) -> Result<(), String> {
    let (major, minor, patch) = WIT_VERSION;
    let expected = format!("expected `{WIT_PACKAGE}@{major}.{minor}.0` to `{WIT_PACKAGE}@{major}.{minor}.{patch}`");
    let found = wit.strip_prefix(WIT_PACKAGE).and_then(|v| v.strip_prefix('@')).and_then(triple);
    match found.map(too_old) {
        Some(None) => Ok(()),
        Some(Some(side)) => Err(format!("`wit`: {expected}, found {wit:?}; {side}")),
        None => Err(format!("`wit`: {expected}, found {wit:?}")),
    }
}

/// Which side is too old, if a plugin was made for this version of the contract; none if they fit.
pub(crate) fn too_old(version: (u64, u64, u64)) -> Option<String> {
    let (major, minor, patch) = WIT_VERSION;
    if (version.0, version.1) == (major, minor) && version.2 <= patch {
        return None;
    }
    Some(match version > WIT_VERSION {
        true => "this program is too old: the plugin needs a newer Anagama".to_owned(),
        false => format!(
            "the plugin is too old: it must be built anew for {WIT_PACKAGE}@{major}.{minor}.{patch}, or be updated"
        ),
    })
}

/// `1.2.3`, with anything after a `-` or `+` left out. One version has one spelling: `01.2.3` is none.
pub(crate) fn triple(version: &str) -> Option<(u64, u64, u64)> {
    let core = version.split(['-', '+']).next()?;
    let number = |p: &str| p.parse::<u64>().ok().filter(|n| n.to_string() == p);
    let mut parts = core.split('.').map(number);
    let found = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        id = "example.tagger"
        version = "1.2.0"
        wit = "anagama:plugin@0.1.0"
        component = "tagger.wasm"
        [native]
        x86_64-unknown-linux-gnu = "libtagger.so"
        [requests]
        models = ["taggers/*"]
        http = ["https://booru.example/*.json"]
        storage-mib = 4
    "#;

    #[test]
    fn reads_a_whole_manifest() {
        let m = Manifest::parse(GOOD).unwrap();
        assert_eq!(m.id, "example.tagger");
        assert_eq!(m.requests.models, ["taggers/*"]);
        assert_eq!(m.requests.storage_mib, 4);
        assert_eq!(m.native["x86_64-unknown-linux-gnu"], "libtagger.so");
    }

    #[test]
    fn unknown_keys_list_the_known_ones() {
        let e = Manifest::parse(&format!("licence = \"MIT\"\n{GOOD}")).unwrap_err();
        assert!(e.contains("licence") && e.contains("`component`") && e.contains("`requests`"), "{e}");
        let e = Manifest::parse(&GOOD.replace("storage-mib", "storage")).unwrap_err();
        assert!(e.contains("`storage-mib`"), "{e}");
    }

    #[test]
    fn each_broken_field_says_what_was_expected() {
        let cases = [
            ("example.tagger", "tagger", "vendor.name"),
            ("example.tagger", "../up.x", "vendor.name"),
            ("1.2.0", "1.2", "three numbers"),
            ("@0.1.0", "@0.2.0", "needs a newer Anagama"),
            ("@0.1.0", "@0.1.1", "needs a newer Anagama"),
            ("@0.1.0", "@0.0.9", "the plugin is too old"),
            ("anagama:plugin@", "other:plugin@", "anagama:plugin@0.1.0"),
            ("tagger.wasm", "../tagger.wasm", "own folder"),
            ("https://booru.example/*.json", "booru.example", "requests.http"),
        ];
        for (from, to, says) in cases {
            let e = Manifest::parse(&GOOD.replace(from, to)).unwrap_err();
            assert!(e.contains(says), "{to}: {e}");
        }
        for wit in ["anagama:plugin@00.1.0", "anagama:plugin@0.1.+0", "anagama:plugin@0.1"] {
            let e = Manifest::parse(&GOOD.replace("anagama:plugin@0.1.0", wit)).unwrap_err();
            assert!(e.contains("`wit`") && e.contains(wit), "{wit}: {e}");
        }
        let none = "id = \"a.b\"\nversion = \"0.1.0\"\nwit = \"anagama:plugin@0.1.0\"";
        assert!(Manifest::parse(none).unwrap_err().contains("no artefact"));
    }
}
