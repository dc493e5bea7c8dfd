//! Files of every network on every tiny model of `tests/reference/models`, in every naming that it can have, with values
//! that change something: `network_files FOLDER`. `tests/peers/check_lora_loads.py` shows that other programs load them.

use anyhow::{Context, Result};
use candle_core::{DType, Device};
use serde_json::json;
use std::path::Path;
use train::dice::{Purpose, Stream};
use train::{Config, NETWORKS, SaveDtype, networks};

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).context("expected a folder to write to")?;
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/models");
    for family in ["sd15", "sdxl", "flux"] {
        let base = models::load(&models.join(family), &Device::Cpu, DType::F32)?;
        for (row, naming) in NETWORKS.iter().flat_map(|row| [(row, "kohya"), (row, "peft")]) {
            if naming == "peft" && !row.peft {
                continue;
            }
            let config = Config::default()
                .with(json!({"network": row.name, "rank": 3, "alpha": 2.0, "conv_rank": 2,
                "targets": "linear+conv", "train_text_encoder": true, "naming": naming}))?;
            let mut trained = networks::attach(&config, &base.network, &base.text)?.trained;
            for (i, param) in trained.params.iter_mut().enumerate() {
                let mut dice = Stream::new(0, Purpose::Check, i as u64);
                param.values.iter_mut().for_each(|v| *v += 0.1 * dice.normal() as f32);
            }
            let path = Path::new(&folder).join(format!("{family}-{}-{naming}.safetensors", row.name));
            std::fs::write(&path, trained.file(SaveDtype::F16)).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}
