use super::group::Group;
use super::key::{Key, names};

pub(super) static NETWORK: Group = Group {
    id: "TrainNetworkOptions",
    name: "Network options",
    about: "What is trained.",
    keys: &[
        Key::choice("network", names!(train::NETWORKS), "What is trained on top of the base."),
        Key::whole("rank", 1, 1024, "Rank of the added matrices."),
        Key::number(
            "alpha",
            0.0,
            4096.0,
            "What is added is scaled by alpha / rank. 0: the rank, so that the scale is 1.",
        ),
        Key::json(
            "targets",
            "Which layers get a network: attention, attention+feed-forward, linear, linear+conv, or layers.",
        ),
        Key::json(
            "layers",
            "Layers with ranks of their own: [{\"pattern\": regular expression, \"rank\": 8, \"alpha\": 4}, …]; rank 0 \
             leaves layers out.",
        ),
        Key::whole("conv_rank", 0, 1024, "Rank for 3×3 kernels, with the targets linear+conv. 0: the rank."),
        Key::number("conv_alpha", 0.0, 4096.0, "Alpha for 3×3 kernels. 0: the one that gives the same scale."),
        Key::whole("lokr_factor", 0, 4096, "LoKr: the sides of weights are cut by this. 0: for the smallest files."),
        Key::number("dropout", 0.0, 1.0, "Share of the values between LoRA's matrices that are left out."),
        Key::number("rank_dropout", 0.0, 1.0, "Share of the ranks that are left out."),
        Key::number("module_dropout", 0.0, 1.0, "How often a layer runs without its network."),
        Key::number(
            "loraplus_lr_ratio",
            0.0,
            1000.0,
            "Factor on the learning rate of the second matrices (LoRA+). 0: none; 16 is common.",
        ),
        Key::text("start_from", "A network file to start from. Empty: from zero."),
        Key::json("naming", "Names in saved files: kohya, or peft (LoRA only)."),
        Key::flag("train_unet", "Train the denoising network."),
        Key::flag("train_text_encoder", "Train the text encoders too."),
    ],
};
