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
        Key::json("targets", "Which layers get a network."),
        Key::flag("train_unet", "Train the denoising network."),
        Key::flag("train_text_encoder", "Train the text encoders too."),
    ],
};
