//! What a saved network says of itself: `ss_*` keys as sd-scripts writes them, and `modelspec.*`.
//!
//! Deviation: no times. Two runs with the same settings give the same bytes, however long they took or whenever they
//! were interrupted, so that `ss_training_started_at`, `ss_training_finished_at` and `modelspec.date` are left out, and
//! `ss_session_id` follows from the settings.

use crate::losses::Prediction;
use crate::plan::Plan;
use crate::safetensors_file::{Entry, data, serialize};
use crate::{Config, networks, optimizers};
use anyhow::Result;
use data::Dataset;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What the metadata is made from, besides the step.
pub(crate) struct Facts<'a> {
    pub(crate) config: &'a Config,
    pub(crate) dataset: &'a Dataset,
    pub(crate) plan: &'a Plan,
    pub(crate) prediction: Prediction,
    /// Is nothing of a picture left at the last timestep?
    pub(crate) zero_snr: bool,
    pub(crate) base_name: &'a str,
    pub(crate) base_digest: &'a str,
    /// `modelspec.architecture` of the base.
    pub(crate) architecture: &'a str,
    /// `ss_base_model_version` of the base.
    pub(crate) base_version: &'a str,
    /// `ss_network_module` of LoRA on the base.
    pub(crate) lora_module: &'a str,
    pub(crate) fingerprint: &'a str,
}

/// The bytes of a checkpoint.
pub(crate) fn file(facts: &Facts<'_>, step: u64, epoch: u64, title: &str, entries: &[Entry]) -> Result<Vec<u8>> {
    let dtype = facts.config.saving.save_dtype;
    let mut all = training(facts, step, epoch)?;
    let digest = format!("{:x}", Sha256::digest(data(entries, dtype)));
    // Both hashes are of a file that holds the keys so far; sd-scripts, `precalculate_safetensors_hashes`.
    let so_far = serialize(entries, dtype, &all);
    let window = so_far.get(0x10_0000..).map(|b| &b[..b.len().min(0x1_0000)]).unwrap_or_default();
    all.insert("sshs_model_hash".into(), digest.clone());
    all.insert("sshs_legacy_hash".into(), format!("{:x}", Sha256::digest(window))[..8].to_owned());
    all.extend(modelspec(facts, title, &digest));
    Ok(serialize(entries, dtype, &all))
}

fn training(facts: &Facts<'_>, step: u64, epoch: u64) -> Result<BTreeMap<String, String>> {
    let (c, plan) = (facts.config, facts.plan);
    let row = optimizers::find(&c.optimizer.kind)?;
    let settings: Vec<String> = c.optimizer.settings()?.all().iter().map(|(k, v)| format!("{k}={v}")).collect();
    let optimizer = format!("{}({})", row.name, settings.join(","));
    let weighting = c.loss.weighting(facts.prediction);
    let min_snr = (weighting == "min_snr").then_some(c.loss.min_snr_gamma);
    let curve = c.curve(plan.total_steps);
    let pairs: Vec<(&str, String)> = vec![
        ("session_id", u64::from_str_radix(&facts.fingerprint[..8], 16).unwrap_or_default().to_string()),
        ("output_name", c.saving.name.clone()),
        ("learning_rate", number(c.optimizer.learning_rate())),
        ("unet_lr", if c.network.train_unet { number(c.optimizer.learning_rate()) } else { "None".into() }),
        (
            "text_encoder_lr",
            if c.network.train_text_encoder {
                json!(c.optimizer.text_encoder_lrs()).to_string().trim_matches(['[', ']']).to_owned()
            } else {
                "None".into()
            },
        ),
        ("num_train_images", (plan.images_per_epoch - plan.reg_per_epoch).to_string()),
        ("num_reg_images", plan.reg_per_epoch.to_string()),
        ("prior_loss_weight", number(c.images.prior_loss_weight)),
        ("num_batches_per_epoch", plan.batches_per_epoch.to_string()),
        ("num_epochs", plan.epochs.to_string()),
        ("epoch", epoch.to_string()),
        ("steps", step.to_string()),
        ("max_train_steps", plan.total_steps.to_string()),
        ("batch_size_per_device", c.run.batch_size.to_string()),
        ("total_batch_size", (c.run.batch_size as u64 * c.run.gradient_accumulation).to_string()),
        ("gradient_checkpointing", python(c.memory.gradient_checkpointing)),
        ("gradient_accumulation_steps", c.run.gradient_accumulation.to_string()),
        ("lr_warmup_steps", curve.warmup.to_string()),
        ("lr_scheduler", c.lr_schedule().into()),
        ("network_module", networks::find(&c.network.kind)?.module.unwrap_or(facts.lora_module).into()),
        ("network_dim", c.network.rank.to_string()),
        ("network_alpha", number(c.network.alpha())),
        ("network_dropout", if c.network.dropout > 0.0 { number(c.network.dropout) } else { "None".into() }),
        ("network_args", Value::Object(networks::arguments(&c.network)?).to_string()),
        ("mixed_precision", "no".into()),
        ("full_fp16", python(false)),
        ("v2", python(false)),
        ("v_parameterization", python(facts.prediction == Prediction::V)),
        ("base_model_version", facts.base_version.into()),
        ("clip_skip", c.captions.clip_skip.map_or("None".into(), |n| n.to_string())),
        ("max_token_length", c.captions.max_token_length.to_string()),
        ("cache_latents", python(true)),
        ("seed", c.run.seed.to_string()),
        ("noise_offset", number(c.noise.noise_offset)),
        ("noise_offset_random_strength", python(c.noise.noise_offset_random)),
        ("adaptive_noise_scale", number(c.noise.adaptive_noise_scale)),
        ("multires_noise_iterations", c.noise.pyramid_noise_levels.to_string()),
        ("multires_noise_discount", number(c.noise.pyramid_noise_discount)),
        ("ip_noise_gamma", number(c.noise.ip_noise_gamma)),
        ("zero_terminal_snr", python(facts.zero_snr)),
        ("timestep_sampling", c.noise.timestep_sampling(facts.prediction).into()),
        ("sigmoid_scale", number(c.noise.sigmoid_scale)),
        ("discrete_flow_shift", number(c.noise.flow_shift)),
        ("guidance_scale", number(c.noise.guidance_scale)),
        ("training_comment", c.saving.comment.clone()),
        ("optimizer", optimizer),
        ("max_grad_norm", number(c.optimizer.max_grad_norm)),
        ("caption_dropout_rate", number(c.captions.caption_dropout)),
        ("caption_dropout_every_n_epochs", c.captions.caption_dropout_every_epochs.to_string()),
        ("caption_tag_dropout_rate", number(c.captions.tag_dropout)),
        ("min_snr_gamma", min_snr.map_or("None".into(), number)),
        ("debiased_estimation", python(weighting == "debiased")),
        ("loss_type", c.loss.kind.clone()),
        ("huber_c", number(c.loss.huber_c)),
        ("huber_schedule", json!(c.loss.huber_schedule).as_str().unwrap_or_default().into()),
        ("masked_loss", python(c.loss.masked_loss)),
        ("resolution", resolution(plan)),
        ("color_aug", python(c.images.color_jitter)),
        ("flip_aug", python(c.images.flip)),
        ("random_crop", python(c.images.random_crop)),
        ("shuffle_caption", python(c.captions.shuffle_tags)),
        ("enable_bucket", python(c.images.buckets)),
        ("bucket_no_upscale", python(c.images.bucket_no_upscale)),
        ("keep_tokens", plan.keep_tokens.to_string()),
        ("sd_model_name", facts.base_name.into()),
        ("new_sd_model_hash", facts.base_digest.into()),
        ("dataset_dirs", folders(facts.dataset).to_string()),
        ("tag_frequency", tag_frequency(facts.dataset).to_string()),
        ("bucket_info", bucket_info(plan).to_string()),
    ];
    Ok(pairs.into_iter().map(|(k, v)| (format!("ss_{k}"), v)).collect())
}

fn modelspec(facts: &Facts<'_>, title: &str, digest: &str) -> BTreeMap<String, String> {
    let prediction = match facts.prediction {
        Prediction::Epsilon => "epsilon",
        Prediction::V => "v",
        Prediction::Flow => "flow",
    };
    let mut pairs = vec![
        ("sai_model_spec", "1.0.1".to_owned()),
        ("architecture", format!("{}/lora", facts.architecture)),
        ("implementation", "https://github.com/Stability-AI/generative-models".into()),
        ("title", title.into()),
        ("resolution", resolution(facts.plan).replace([' ', '(', ')'], "").replace(',', "x")),
        ("prediction_type", prediction.into()),
        ("hash_sha256", format!("0x{digest}")),
    ];
    if !facts.config.saving.comment.is_empty() {
        pairs.push(("description", facts.config.saving.comment.clone()));
    }
    if !facts.config.captions.activation_tags.is_empty() {
        pairs.push(("trigger_phrase", facts.config.captions.activation_tags.join(", ")));
    }
    pairs.into_iter().map(|(k, v)| (format!("modelspec.{k}"), v)).collect()
}

/// The bucket that most images are in, as Python prints a pair.
fn resolution(plan: &Plan) -> String {
    let largest = plan.buckets.iter().max_by_key(|b| b.shown);
    largest.map_or("None".into(), |b| format!("({}, {})", b.width, b.height))
}

fn folders(dataset: &Dataset) -> Value {
    let mut all: BTreeMap<&str, (u32, usize)> = BTreeMap::new();
    for item in &dataset.items {
        let entry = all.entry(folder(&item.subset)).or_default();
        *entry = (item.repeats, entry.1 + 1);
    }
    let row = |(name, (repeats, count)): (&str, (u32, usize))| {
        (name.to_owned(), json!({"n_repeats": repeats, "img_count": count}))
    };
    all.into_iter().map(row).collect::<Map<_, _>>().into()
}

/// For each folder, how many of its captions have each tag, in lower case; sd-scripts, `set_tag_frequency`.
pub fn tag_frequency(dataset: &Dataset) -> Value {
    let mut all: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
    for item in &dataset.items {
        let tags = all.entry(folder(&item.subset)).or_default();
        for tag in &item.annotation.tags {
            *tags.entry(tag.name.trim().to_lowercase()).or_default() += 1;
        }
    }
    json!(all)
}

fn folder(subset: &str) -> &str {
    if subset.is_empty() { "images" } else { subset }
}

fn bucket_info(plan: &Plan) -> Value {
    let rows = plan.buckets.iter().enumerate();
    let rows = rows.map(|(i, b)| (i.to_string(), json!({"resolution": [b.width, b.height], "count": b.shown})));
    json!({"buckets": rows.collect::<Map<_, _>>(), "mean_img_ar_error": plan.mean_aspect_error})
}

fn python(value: bool) -> String {
    if value { "True" } else { "False" }.into()
}

/// As Python prints it: whole numbers with one digit behind the point.
fn number(value: f64) -> String {
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Needs, plan};
    use safetensors::SafeTensors;

    #[test]
    fn hashes_are_of_the_data_and_facts_are_there() {
        let mut item = data::Item { id: "a".into(), width: 512, height: 512, repeats: 3, ..data::Item::default() };
        item.annotation.tags = vec![spec::Tag { name: "hat".into(), ..spec::Tag::default() }];
        let dataset = Dataset { items: vec![item], notes: vec![] };
        let config = Config::default().with(json!({"activation_tags": ["hat"]})).unwrap();
        let plan = plan(&config, &dataset, Needs::default()).unwrap();
        let facts = Facts {
            config: &config,
            dataset: &dataset,
            plan: &plan,
            prediction: Prediction::Epsilon,
            zero_snr: false,
            base_name: "tiny",
            base_digest: "00",
            architecture: "stable-diffusion-v1",
            base_version: "sd_v1",
            lora_module: "networks.lora",
            fingerprint: "0123456789abcdef",
        };
        let entries = [Entry { name: "x.alpha".into(), shape: vec![], values: vec![8.0] }];
        let bytes = file(&facts, 5, 1, "lora", &entries).unwrap();
        let (n, read) = SafeTensors::read_metadata(&bytes).unwrap();
        let m = read.metadata().clone().unwrap();
        let digest = format!("{:x}", Sha256::digest(&bytes[n + 8..]));
        assert_eq!(m["modelspec.hash_sha256"], format!("0x{digest}"));
        assert_eq!(m["sshs_model_hash"], digest);
        assert_eq!((&*m["ss_network_dim"], &*m["ss_network_alpha"], &*m["ss_steps"]), ("16", "16.0", "5"));
        assert_eq!(m["ss_tag_frequency"], r#"{"images":{"hat":1}}"#);
        assert_eq!(m["modelspec.trigger_phrase"], "hat");
        assert_eq!(m["modelspec.architecture"], "stable-diffusion-v1/lora");
        assert_eq!(m["modelspec.resolution"], "512x512");
        assert_eq!(file(&facts, 5, 1, "lora", &entries).unwrap(), bytes);
    }
}
