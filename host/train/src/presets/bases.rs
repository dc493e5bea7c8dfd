//! What suits a family of bases, whatever is learned.

/// Families that are trained alike.
pub struct Base {
    /// Name in help.
    pub name: &'static str,
    /// Families, as `models::FAMILIES` names them.
    pub families: &'static [&'static str],
    /// Where the numbers are from.
    pub source: &'static str,
    pub(super) changes: &'static str,
}

/// Every base, in the order in which help shows them.
pub const BASES: &[Base] = &[
    Base {
        name: "SD 1.x",
        families: &["SD 1.x", "SD 2.x"],
        source: "the «Make your own Loras» guide and its notebook (kohya-colab): rank 16, alpha 8, rates 5e-4 and 1e-4, 250 \
                 to 1000 steps",
        changes: r#"{
            "rank": 16, "alpha": 8, "batch_size": 2,
            "optimizer": "adamw8bit", "learning_rate": 5e-4,
            "train_text_encoder": true, "text_encoder_lr": 1e-4,
            "lr_schedule": "cosine_with_restarts", "lr_cycles": 3, "lr_warmup": 0.05,
            "loss_weighting": "min_snr", "min_snr_gamma": 5,
            "save_every_steps": 100, "keep_checkpoints": 10
        }"#,
    },
    Base {
        name: "SDXL",
        families: &["SDXL"],
        source: "the notebook of the same guide for SDXL (kohya-colab): rank 8, alpha 4, rate 3e-4, REX, min-SNR gamma 8; \
                 text encoders are left alone, as two of them cost much and gain little",
        changes: r#"{
            "rank": 8, "alpha": 4, "batch_size": 2,
            "optimizer": "adamw8bit", "learning_rate": 3e-4,
            "train_text_encoder": false,
            "lr_schedule": "rex", "lr_warmup": 0.05,
            "loss_weighting": "min_snr", "min_snr_gamma": 8,
            "gradient_checkpointing": true,
            "save_every_steps": 100, "keep_checkpoints": 10
        }"#,
    },
    Base {
        name: "Flux.1",
        families: &["Flux.1", "Flux.1 schnell"],
        source: "the settings of the Studio Ghibli LoRA (ai-toolkit): alpha = rank, batch 1, rate 1e-4, 8-bit AdamW, a \
                 checkpoint each 250 steps; ai-toolkit's sample for rank 16 and 2000 steps",
        changes: r#"{
            "rank": 16, "alpha": 16, "batch_size": 1,
            "optimizer": "adamw8bit", "learning_rate": 1e-4,
            "train_text_encoder": false,
            "lr_schedule": "constant", "lr_warmup": 0,
            "gradient_checkpointing": true,
            "save_every_steps": 250, "keep_checkpoints": 10
        }"#,
    },
];
