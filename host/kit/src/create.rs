//! `anagama plugin new`: a plugin that works, to change into one's own.

use crate::project::MANIFEST;
use crate::{interpreted, sdk, word};
use anyhow::{Context, Result, bail, ensure};
use loader::Kind;
use std::path::{Path, PathBuf};

/// The language of a new plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    Rust,
    C,
    Python,
    Js,
}

impl Lang {
    /// As the command line names it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Python => "python",
            Self::Js => "js",
        }
    }
}

/// (kind, language, file, template, what it does)
type Row = (Kind, Lang, &'static str, &'static str, &'static str);

const ROWS: [Row; 16] = [
    (
        Kind::Captioner,
        Lang::Rust,
        "src/lib.rs",
        include_str!("../templates/rust/captioner.rs"),
        "Tags pictures as dark or bright",
    ),
    (
        Kind::DatasetSource,
        Lang::Rust,
        "src/lib.rs",
        include_str!("../templates/rust/dataset_source.rs"),
        "Lists the pictures of a folder",
    ),
    (
        Kind::TagFilter,
        Lang::Rust,
        "src/lib.rs",
        include_str!("../templates/rust/tag_filter.rs"),
        "Drops tags that too few pictures have",
    ),
    (
        Kind::Evaluator,
        Lang::Rust,
        "src/lib.rs",
        include_str!("../templates/rust/evaluator.rs"),
        "Measures the contrast of pictures",
    ),
    (Kind::Node, Lang::Rust, "src/lib.rs", include_str!("../templates/rust/node.rs"), "Inverts pictures"),
    (
        Kind::Captioner,
        Lang::C,
        "src/plugin.c",
        include_str!("../templates/c/captioner.c"),
        "Tags pictures as dark or bright",
    ),
    (
        Kind::Captioner,
        Lang::Python,
        interpreted::PYTHON.source,
        include_str!("../templates/python/captioner.py"),
        "Tags pictures as dark or bright",
    ),
    (
        Kind::TagFilter,
        Lang::Python,
        interpreted::PYTHON.source,
        include_str!("../templates/python/tag_filter.py"),
        "Drops tags that too few pictures have",
    ),
    (
        Kind::Captioner,
        Lang::Js,
        interpreted::JS.source,
        include_str!("../templates/js/captioner.js"),
        "Tags pictures as dark or bright",
    ),
    (
        Kind::TagFilter,
        Lang::Js,
        interpreted::JS.source,
        include_str!("../templates/js/tag_filter.js"),
        "Drops tags that too few pictures have",
    ),
    (
        Kind::DatasetSource,
        Lang::Python,
        interpreted::PYTHON.source,
        include_str!("../templates/python/dataset_source.py"),
        "Lists the pictures of a folder",
    ),
    (
        Kind::DatasetSource,
        Lang::Js,
        interpreted::JS.source,
        include_str!("../templates/js/dataset_source.js"),
        "Lists the pictures of a folder",
    ),
    (
        Kind::Evaluator,
        Lang::Python,
        interpreted::PYTHON.source,
        include_str!("../templates/python/evaluator.py"),
        "Measures the contrast of pictures",
    ),
    (
        Kind::Evaluator,
        Lang::Js,
        interpreted::JS.source,
        include_str!("../templates/js/evaluator.js"),
        "Measures the contrast of pictures",
    ),
    (
        Kind::Node,
        Lang::Python,
        interpreted::PYTHON.source,
        include_str!("../templates/python/node.py"),
        "Inverts pictures",
    ),
    (Kind::Node, Lang::Js, interpreted::JS.source, include_str!("../templates/js/node.js"), "Inverts pictures"),
];

const CARGO: &str = include_str!("../templates/rust/Cargo.toml.in");

/// Makes the folder of a new plugin. `name` is `vendor.name`; without a vendor it is `example`. Returns the folder, which
/// is named after the plugin unless `folder` says otherwise, and must not be there.
///
/// # Errors
/// A bad name, no template for the kind in that language, a folder that exists, a full disk.
pub fn create(kind: Kind, name: &str, lang: Lang, parent: &Path, folder: Option<&Path>) -> Result<PathBuf> {
    let row = ROWS.iter().find(|(k, l, ..)| (*k, *l) == (kind, lang));
    let Some((.., file, template, description)) = row else {
        let known: Vec<&str> = ROWS.iter().filter(|(_, l, ..)| *l == lang).map(|(k, ..)| word(*k)).collect();
        bail!("no template for a {} in this language; there is one for: {}", word(kind), known.join(", "));
    };
    let (vendor, short) = name.split_once('.').unwrap_or(("example", name));
    let good = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_lowercase())
            && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    ensure!(
        good(vendor) && good(short) && name.len() <= 60,
        "expected a name like `vendor.rare-tags` of lower-case letters, digits and `-`, found `{name}`"
    );
    let folder = parent.join(folder.unwrap_or(Path::new(short)));
    ensure!(!folder.exists(), "{}: is there already", folder.display());
    let stem = short.replace('-', "_");
    let fill = |text: &str| {
        text.replace("@ID@", &format!("{vendor}.{short}"))
            .replace("@VENDOR@", vendor)
            .replace("@NAME@", short)
            .replace("@STEM@", &stem)
            .replace("@TITLE@", &title(short))
            .replace("@DESCRIPTION@", description)
            .replace("@WIT@", sdk::WIT)
    };
    let made = write(&folder, (kind, lang), &fill, file, template, &manifest(kind, lang, &stem));
    if made.is_err() {
        // Half a plugin helps nobody, and would be in the way of the next try.
        let _ = std::fs::remove_dir_all(&folder);
    }
    made.with_context(|| format!("{}: cannot be made", folder.display()))?;
    Ok(folder)
}

fn write(
    folder: &Path,
    (kind, lang): (Kind, Lang),
    fill: &impl Fn(&str) -> String,
    file: &str,
    template: &str,
    manifest: &str,
) -> Result<()> {
    let put = |name: &str, text: String| compile::write(&folder.join(name), text.as_bytes()).map(drop);
    put(MANIFEST, fill(manifest))?;
    put(file, fill(template))?;
    put(".gitignore", "/target\n/dist\n/kit/entry.*\n/kit/anagama_manifest.py\n".to_owned())?;
    match lang {
        Lang::Rust => {
            put("Cargo.toml", fill(CARGO))?;
            put("Cargo.lock", sdk::LOCK.to_owned())?;
            sdk::write_rust(&folder.join("kit"))
        }
        Lang::C => sdk::write_c(&folder.join("kit")),
        Lang::Python => sdk::write_interpreted(&folder.join("kit"), &interpreted::PYTHON, word(kind)),
        Lang::Js => sdk::write_interpreted(&folder.join("kit"), &interpreted::JS, word(kind)),
    }
}

fn manifest(kind: Kind, lang: Lang, stem: &str) -> String {
    let artefact = match lang {
        Lang::Rust | Lang::Python | Lang::Js => "component = \"@STEM@.wasm\"\n".to_owned(),
        Lang::C => format!("\n[native]\n{} = \"{}\"\n", loader::NATIVE_TARGET, compile::library(stem)),
    };
    let folders = if kind == Kind::DatasetSource { "[\"folder\"]" } else { "[]" };
    format!(
        "id = \"@ID@\"\nversion = \"0.1.0\"\nwit = \"@WIT@\"\n{artefact}\n[requests]          # what it would like to use; \
         the user grants it or not\nmodels = []\nhttp = []\nfolders = {folders}\nstorage-mib = 0\n"
    )
}

/// `Rare tags` of `rare-tags`.
fn title(name: &str) -> String {
    let words = name.replace('-', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Project;

    #[test]
    fn every_template_becomes_a_plugin_with_everything_filled_in() {
        let dir = tempfile::tempdir().unwrap();
        for (kind, lang, file, ..) in ROWS {
            let name = format!("me.my-{}-{lang:?}", word(kind)).to_lowercase();
            let folder = create(kind, &name, lang, dir.path(), None).unwrap();
            let project = Project::open(&folder).unwrap();
            assert_eq!(project.manifest.id, name);
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            let left = ["@ID@", "@TITLE@", "@DESCRIPTION@"].iter().find(|w| text.contains(**w));
            // Python and JavaScript take their id from the manifest.
            let named = text.contains(&name) || matches!(lang, Lang::Python | Lang::Js);
            assert!(named && left.is_none(), "{name}: {text}");
            let kits = ["sdk/plugin-sdk/Cargo.toml", "anagama.h", "anagama.py", "anagama.js"];
            assert_eq!(kits.iter().filter(|f| folder.join("kit").join(f).is_file()).count(), 1, "{name}");
        }
    }

    #[test]
    fn names_and_folders_are_checked_first() {
        let dir = tempfile::tempdir().unwrap();
        let new = |name: &str| create(Kind::Captioner, name, Lang::C, dir.path(), None);
        for bad in ["", "Rare", "a b", "../x", "a.b.c", "me.", "1st", "me.x/y"] {
            assert!(new(bad).is_err(), "{bad}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(new("dark").unwrap().ends_with("dark"));
        assert!(new("dark").unwrap_err().to_string().contains("there already"));
        let e = create(Kind::Evaluator, "x", Lang::C, dir.path(), None).unwrap_err().to_string();
        assert!(e.contains("evaluator") && e.contains("captioner"), "{e}");
    }

    #[test]
    fn titles_read_well() {
        assert_eq!(title("rare-tags"), "Rare tags");
    }
}
