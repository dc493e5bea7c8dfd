//! `extra_model_paths.yaml`: ComfyUI's file of further model folders.
//!
//! Reads the part of YAML that such files use: sections of keys with plain, quoted or block values.

use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};

/// A folder with models of one kind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Extra {
    pub(crate) kind: String,
    pub(crate) folder: PathBuf,
    /// Before all other folders.
    pub(crate) first: bool,
}

/// The folders that a file names. `home` is what `~` stands for.
///
/// # Errors
/// The file cannot be read, or a line is not understood.
pub(crate) fn read(file: &Path, home: Option<&Path>) -> anyhow::Result<Vec<Extra>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("{shown}: cannot be read"))?;
    let base = file.parent().unwrap_or(Path::new("."));
    Ok(parse(&text).with_context(|| shown.to_string())?.iter().flat_map(|s| s.folders(base, home)).collect())
}

#[derive(Debug, Default, PartialEq)]
struct Section(Vec<(String, String)>);

impl Section {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim())
    }

    fn folders(&self, file: &Path, home: Option<&Path>) -> Vec<Extra> {
        let expand = |path: &str| match (path.strip_prefix('~'), home) {
            (Some(rest), Some(home)) => home.join(rest.trim_start_matches('/')),
            _ => PathBuf::from(path),
        };
        let base = self.get("base_path").map_or_else(|| file.to_owned(), |path| file.join(expand(path)));
        let first = self.get("is_default").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let mut found = Vec::new();
        for (kind, value) in
            self.0.iter().filter(|(k, _)| !matches!(k.as_str(), "base_path" | "is_default" | "custom_nodes"))
        {
            for path in value.lines().map(str::trim).filter(|p| !p.is_empty()) {
                let folder = crate::config::clean(&base.join(expand(path)));
                found.push(Extra { kind: kind.clone(), folder, first });
            }
        }
        found
    }
}

fn parse(text: &str) -> anyhow::Result<Vec<Section>> {
    let mut sections: Vec<Section> = Vec::new();
    // The indentation of the key whose block is being read.
    let mut block: Option<usize> = None;
    for (number, raw) in text.lines().enumerate() {
        let number = number + 1;
        let indentation = raw.len() - raw.trim_start_matches(' ').len();
        if let Some(of_key) = block {
            if raw.trim().is_empty() || indentation > of_key {
                if let Some((_, value)) = sections.last_mut().and_then(|s| s.0.last_mut()) {
                    value.push_str(raw.trim());
                    value.push('\n');
                }
                continue;
            }
            block = None;
        }
        let line = without_comment(raw);
        let content = line.trim();
        if content.is_empty() || content == "---" {
            continue;
        }
        if raw.trim_start_matches(' ').starts_with('\t') {
            bail!("line {number}: expected spaces, found a tab");
        }
        let Some((key, value)) = content.split_once(':').filter(|(_, v)| v.is_empty() || v.starts_with(' ')) else {
            bail!("line {number}: expected `key: value`, found `{content}`");
        };
        let (key, value) = (unquoted(key.trim()).to_owned(), value.trim());
        if indentation == 0 {
            if !value.is_empty() && !matches!(value, "{}" | "null" | "~") {
                bail!("line {number}: expected a section, found the value `{value}`; indent `{key}` below a name");
            }
            sections.push(Section::default());
            continue;
        }
        let Some(section) = sections.last_mut() else { bail!("line {number}: `{key}` stands in no section") };
        if matches!(value, "|" | "|-" | "|+" | ">" | ">-") {
            block = Some(indentation);
            section.0.push((key, String::new()));
        } else if value.starts_with(['[', '{', '&', '*']) {
            bail!("line {number}: expected text, found `{value}`");
        } else {
            section.0.push((key, unquoted(value).to_owned()));
        }
    }
    Ok(sections)
}

/// What stands before a `#` that begins a comment.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in line.char_indices() {
        match quote {
            Some(q) if c == q => quote = None,
            None if matches!(c, '"' | '\'') && matches!(before, ' ' | ':') => quote = Some(c),
            None if c == '#' && before == ' ' => return &line[..at],
            _ => {}
        }
        before = c;
    }
    line
}

fn unquoted(text: &str) -> &str {
    let inner = |quote: char| text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "# Rename this
comfyui:
    base_path: ../comfy   # where it lies
    is_default: true
    checkpoints: models/checkpoints/
    text_encoders: |
         models/text_encoders/

         models/clip/  # no comment in a block
    custom_nodes: custom_nodes/
'a111':
    loras: \"/sd #1/Lora\"
    embeddings: ~/embeddings
empty:
";

    #[test]
    fn folders_are_found_as_comfyui_finds_them() {
        let found: Vec<Extra> = parse(EXAMPLE)
            .unwrap()
            .iter()
            .flat_map(|s| s.folders(Path::new("/etc/x"), Some(Path::new("/home/u"))))
            .collect();
        let extra = |kind: &str, folder: &str, first| Extra { kind: kind.into(), folder: folder.into(), first };
        assert_eq!(
            found,
            [
                extra("checkpoints", "/etc/comfy/models/checkpoints/", true),
                extra("text_encoders", "/etc/comfy/models/text_encoders/", true),
                extra("text_encoders", "/etc/comfy/models/clip/  # no comment in a block", true),
                extra("loras", "/sd #1/Lora", false),
                extra("embeddings", "/home/u/embeddings", false),
            ]
        );
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        for (text, line) in [
            ("a:\n  - x\n", "line 2"),
            ("a: x\n", "line 1"),
            ("  loras: x\n", "line 1"),
            ("a:\n\tloras: x\n", "line 2"),
            ("a:\n  loras: [x, y]\n", "line 2"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(line), "{text}: {error}");
        }
    }
}
