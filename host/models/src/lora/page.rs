//! The reference page's part on networks in files, printed from the rows.

use super::leaves::LEAVES;
use super::{KINDS, Kind, NAMINGS, Naming, support};
use crate::family::{FAMILIES, Family};
use std::fmt::Write;

/// Kinds, namings, and for each family which kinds are read in which naming.
pub(crate) fn section() -> String {
    let mut page = String::from(
        "## Networks in files\n\n\
         A network's file changes weights of a model: at strength s a weight W becomes W + s·(W₁ − W), where W₁ is what \
         the kind's row says. That is one rule for all kinds, so that strengths can be compared and files stacked; kinds \
         which are not linear in their tensors (DoRA, Diag-OFT, BOFT) follow it too, and with several files each one \
         sees the weight that the ones before it have made. Merged into the weights and computed beside the layers \
         (for trying strengths) a file gives the same.\n\n\
         Every key of a file must belong to a layer of the model; otherwise the keys that do not are listed, with the \
         family that the file looks made for. r is the rank.\n\n\
         ### Kinds\n\n\
         | kind | tensors | weight at strength 1 | source |\n|---|---|---|---|\n",
    );
    for kind in KINDS {
        let tensors: Vec<String> = kind.leaves.iter().map(|leaf| format!("`{}`", key(leaf))).collect();
        let _ = writeln!(page, "| {} | {} | {} | {} |", kind.name, tensors.join(" "), kind.formula, kind.source);
    }
    page.push_str(
        "\nA bias's change (`diff_b`) may stand beside any kind.\n\n\
         ### Namings\n\n\
         | naming | in front of a module | of a text encoder's | written by |\n|---|---|---|---|\n",
    );
    for naming in NAMINGS {
        let list = |all: &[&str]| {
            let shown =
                |prefix: &&str| if prefix.is_empty() { "nothing".into() } else { format!("`{}`", plain(prefix)) };
            all.iter().map(shown).collect::<Vec<_>>().join(", ")
        };
        let texts = if naming.texts.is_empty() { "–".to_owned() } else { list(naming.texts) };
        let _ = writeln!(page, "| {} | {} | {} | {} |", naming.name, list(naming.prefixes), texts, naming.written_by);
    }
    page.push_str(
        "\nPART is `unet` or `transformer`, ENCODER `text_encoder` or `text_encoder_2`, NAME the encoder's name. The first \
         text encoder is also `lora_te_` and `lora_te1_`, the second `lora_te2_`. By family:",
    );
    let each = |family: &&Family| {
        let texts: Vec<String> = family.texts.iter().map(|row| format!("`{}` {}", row.kohya, row.name)).collect();
        format!(" {}: {}", family.name, texts.join(", "))
    };
    let _ = writeln!(page, "{}.", FAMILIES.iter().map(|family| each(&&**family)).collect::<Vec<_>>().join(";"));
    page.push_str(
        "\n### Kinds by family and naming\n\n✓: a test reads such a file, and compares each weight with the formula. ",
    );
    let mut reasons: Vec<&str> = Vec::new();
    let mut rows = String::new();
    for family in FAMILIES {
        for naming in NAMINGS {
            let cells: Vec<String> = KINDS.iter().map(|kind| cell(family, naming, kind, &mut reasons)).collect();
            let _ = writeln!(rows, "| {} | {} | {} |", family.name, naming.name, cells.join(" | "));
        }
    }
    for (n, reason) in reasons.iter().enumerate() {
        let _ = write!(page, "{}: {reason}. ", n + 1);
    }
    let heads: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    let _ = write!(
        page,
        "\n\n| family | naming | {} |\n|---|---|{}\n{rows}",
        heads.join(" | "),
        ":-:|".repeat(heads.len())
    );
    page
}

fn cell(family: &Family, naming: &Naming, kind: &Kind, reasons: &mut Vec<&'static str>) -> String {
    let Err(reason) = support(family, naming, kind) else { return "✓".to_owned() };
    let known = reasons.iter().position(|known| *known == reason);
    let number = known.unwrap_or_else(|| {
        reasons.push(reason);
        reasons.len() - 1
    });
    (number + 1).to_string()
}

/// A leaf as kohya's programs write it, without the dot.
fn key(leaf: &str) -> &'static str {
    LEAVES.iter().find(|row| row.name == leaf).map_or("", |row| row.kohya.trim_start_matches('.'))
}

/// A template of prefixes for people.
fn plain(prefix: &str) -> String {
    prefix.replace("{c}", "PART").replace("{k}", "lora_teN_").replace("{t}", "ENCODER").replace("{n}", "NAME")
}
