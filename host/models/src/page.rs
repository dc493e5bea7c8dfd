//! The reference page of what model files are read, printed from the rows.

use crate::family::{FAMILIES, Family};
use std::fmt::Write;

/// A form that a model's files come in.
pub struct Form {
    /// As people call it.
    pub name: &'static str,
    /// What it is, and what in it is understood.
    pub what: &'static str,
    /// Nodes that load it.
    pub nodes: &'static str,
    /// Families of which it is not read, and why.
    pub without: &'static [(&'static str, &'static str)],
}

/// All forms. A test reads each of them for every family of which there is a small model.
pub static FORMS: &[Form] = &[
    Form {
        name: "diffusers folder",
        what: "`model_index.json` and a folder for each part: shards, variants such as `.fp16`, text encoders with and \
               without `text_model.`",
        nodes: "DiffusersLoader",
        without: &[],
    },
    Form {
        name: "one file",
        what: "all parts under the prefixes of the original code, or of ComfyUI's own checkpoints",
        nodes: "CheckpointLoaderSimple",
        without: &[],
    },
    Form {
        name: "files of parts",
        what: "network, autoencoder and text encoders apart, with or without prefix, in diffusers' or the original names",
        nodes: "UNETLoader, VAELoader, CLIPLoader, DualCLIPLoader",
        without: &[],
    },
    Form {
        name: "8-bit floats",
        what: "`F8_E4M3` as it is, or with factors (`scale_weight`, `weight_scale`): kept as they are and widened when they \
               are used",
        nodes: "as the forms above",
        without: &[],
    },
    Form {
        name: "GGUF",
        what: "the network in llama.cpp's blocks of 2 to 8 bits (Q2_K … Q8_0), F16, BF16 and F32",
        nodes: "UNETLoader",
        without: &[],
    },
];

impl Form {
    /// Why this form of a family is not read, if it is not.
    pub fn missing(&self, family: &Family) -> Option<&'static str> {
        self.without.iter().find(|(name, _)| *name == family.name).map(|(_, why)| *why)
    }
}

/// Families, the forms of their files, and the networks that files add to them, in Markdown.
pub fn formats() -> String {
    let mut page = String::from(
        "# Models\n\n\
         What model files are read. A file is recognised by its keys and shapes, not by its name; one that is something \
         else than what it is loaded as is told as what it is.\n\n\
         ## Families\n\n\
         | family | network | text encoders | latent channels | predicts |\n|---|---|---|---|---|\n",
    );
    for family in FAMILIES {
        let texts: Vec<&str> = family.texts.iter().map(|row| row.name).collect();
        let predicts = serde_json::to_value(family.prediction).ok();
        let predicts = predicts.as_ref().and_then(|value| value.as_str()).unwrap_or_default().replace('_', " ");
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {predicts} |",
            family.name,
            family.network.folder,
            texts.join(", "),
            family.latent.channels
        );
    }
    page.push_str("\n## Forms of files\n\n| form | what is understood | nodes |\n|---|---|---|\n");
    for form in FORMS {
        let _ = writeln!(page, "| {} | {} | {} |", form.name, form.what, form.nodes);
    }
    let heads: Vec<&str> = FORMS.iter().map(|form| form.name).collect();
    let _ = write!(page, "\n| family | {} |\n|---|{}\n", heads.join(" | "), ":-:|".repeat(heads.len()));
    for family in FAMILIES {
        let cells: Vec<&str> = FORMS.iter().map(|form| form.missing(family).unwrap_or("✓")).collect();
        let _ = writeln!(page, "| {} | {} |", family.name, cells.join(" | "));
    }
    page.push('\n');
    page.push_str(&crate::lora::page::section());
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_complete_and_unique() {
        for (i, form) in FORMS.iter().enumerate() {
            assert!(!form.name.is_empty() && !form.what.is_empty() && !form.nodes.is_empty());
            assert!(FORMS[..i].iter().all(|other| other.name != form.name), "{}", form.name);
            for (family, why) in form.without {
                assert!(FAMILIES.iter().any(|row| row.name == *family) && !why.is_empty(), "{}: {family}", form.name);
            }
        }
    }

    #[test]
    fn tables_have_as_many_cells_in_every_row() {
        let mut cells = None;
        for line in formats().lines() {
            let count = line.starts_with('|').then(|| line.matches('|').count());
            assert!(cells.is_none() || count.is_none() || cells == count, "{line}");
            cells = count;
        }
    }
}
