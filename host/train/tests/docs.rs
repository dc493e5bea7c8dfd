//! `docs/training.md` is printed from the tables; the committed copy must be the same. `ANAGAMA_BLESS=1` writes it anew.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use std::fmt::Write;
use std::path::Path;
use train::presets::{BASES, GOALS};
use train::{LOSSES, LR_SCHEDULES, NETWORKS, OPTIMIZERS, TIME_SAMPLINGS, WEIGHTINGS, config_keys};

const TOP: &str = "# Training

What can be set for a training run, and what there is to choose from. Printed from the program's tables.

Settings are JSON keys side by side, as in `{\"rank\": 16, \"learning_rate\": 1e-4}`. An unknown key is an error.

";

const OPTIMIZER_TEXT: &str = "
## Optimizers

Where a configuration is silent, learning rate, schedule and settings are the optimizer's own. Settings stand in
`optimizer_args`, but for `betas`, `eps`, `weight_decay` and `momentum`, which are keys. A learning rate beyond the numbers
given here is warned of.

Every optimizer's state is saved with the training state, byte for byte, in the format that it is kept in: bytes with
a scale for each 256 numbers for the 8-bit ones. `adamw_schedulefree` and `ema_decay` train with one set of weights
and save, sample and validate another, their average.

| name | what it is | learning rate | sensible | schedule | source |
|---|---|---|---|---|---|
";

const PRESET_TEXT: &str = "
## Presets

Settings to start from, by what is to be learned and the base. They are shown, not hidden: each preset is the list of
keys below.

";

fn rows(page: &mut String, title: &str, rows: impl Iterator<Item = (&'static str, &'static str, &'static str)>) {
    write!(page, "\n## {title}\n\n| name | what it is | source |\n|---|---|---|\n").unwrap();
    for (name, summary, source) in rows {
        writeln!(page, "| `{name}` | {summary} | {source} |").unwrap();
    }
}

fn shown(default: &Value) -> String {
    match default {
        Value::Null => "–".into(),
        Value::String(text) if text.is_empty() => "–".into(),
        Value::Array(items) if items.is_empty() => "–".into(),
        Value::Object(items) if items.is_empty() => "–".into(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

fn page() -> String {
    let mut page = TOP.to_owned();
    page += "## Keys\n";
    let mut section = "";
    for key in config_keys() {
        if key.section != section {
            section = key.section;
            write!(page, "\n### {}\n\n{}\n\n| key | default | what it does |\n|---|---|---|\n", section, key.about)
                .unwrap();
        }
        writeln!(page, "| `{}` | {} | {} |", key.name, shown(&key.default), key.text.replace('|', "\\|")).unwrap();
    }
    rows(&mut page, "Networks", NETWORKS.iter().map(|r| (r.name, r.summary, r.source)));
    page += OPTIMIZER_TEXT;
    for row in OPTIMIZERS {
        let (low, high) = row.rates;
        let range = format!("{low:e} to {high:e}");
        writeln!(
            page,
            "| `{}` | {} | {} | {range} | `{}` | {} |",
            row.name, row.summary, row.learning_rate, row.schedule, row.source
        )
        .unwrap();
    }
    page += "\n| optimizer | setting | default | what it does |\n|---|---|---|---|\n";
    for row in OPTIMIZERS {
        for knob in row.knobs {
            let default = if knob.default == f64::MAX { "any".into() } else { knob.default.to_string() };
            writeln!(page, "| `{}` | `{}` | {default} | {} |", row.name, knob.name, knob.help).unwrap();
        }
    }
    rows(&mut page, "Learning rate schedules", LR_SCHEDULES.iter().map(|r| (r.name, r.summary, r.source)));
    rows(&mut page, "Losses", LOSSES.iter().map(|r| (r.name, r.summary, r.source)));
    rows(&mut page, "Weightings", WEIGHTINGS.iter().map(|r| (r.name, r.summary, r.source)));
    rows(&mut page, "Ways to draw timesteps", TIME_SAMPLINGS.iter().map(|r| (r.name, r.summary, r.source)));
    page += PRESET_TEXT;
    for base in BASES {
        writeln!(page, "- {} ({}): {}.", base.name, base.families.join(", "), base.source).unwrap();
    }
    for goal in GOALS {
        write!(page, "\n### {}\n\n{}.\n\n", goal.name, goal.summary).unwrap();
        for line in goal.advice {
            writeln!(page, "- {line}").unwrap();
        }
        page += "\n| base | keys |\n|---|---|\n";
        for base in BASES {
            let changes = goal.changes(base).unwrap();
            let keys: Vec<String> = changes.iter().map(|(k, v)| format!("`{k}` {v}")).collect();
            writeln!(page, "| {} | {} |", base.name, keys.join(", ")).unwrap();
        }
    }
    page
}

#[test]
fn the_page_of_training_is_what_the_tables_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/training.md");
    let printed = page();
    if std::env::var_os("ANAGAMA_BLESS").is_some() {
        std::fs::write(&file, &printed).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap();
    assert!(
        printed == committed,
        "docs/training.md is out of date; run the test with ANAGAMA_BLESS=1 and read the difference"
    );
}
