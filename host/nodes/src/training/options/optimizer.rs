use super::group::Group;
use super::key::{Key, names};

pub(super) static OPTIMIZER: Group = Group {
    id: "TrainOptimizerOptions",
    name: "Optimizer options",
    about: "How the weights are changed.",
    keys: &[
        Key::choice("optimizer", names!(train::OPTIMIZERS), "How the weights are changed."),
        Key::number("learning_rate", 0.0, 10.0, "Learning rate of the network's part. 0: the optimizer's own."),
        Key::json(
            "text_encoder_lr",
            "Learning rate of the text encoders' part, or one for each, such as `[1e-4, 5e-5]`. Empty: half of the network's.",
        ),
        Key::json("betas", "Decay of the optimizer's running means, such as `[0.9, 0.99]`. Empty: its own."),
        Key::number("eps", 0.0, 1.0, "Added to the optimizer's denominator. 0: its own."),
        Key::number("weight_decay", -1.0, 100.0, "Weight decay. −1: the optimizer's own."),
        Key::number("momentum", -1.0, 1.0, "Momentum (`sgd`). −1: the optimizer's own."),
        Key::json("optimizer_args", "More settings of the optimizer, such as `{\"d_coef\": 2}` for prodigy."),
        Key::number("ema_decay", 0.0, 1.0, "Save a running mean of the weights that keeps this share. 0: none."),
        Key::whole("ema_every", 1, 10_000, "Bring the running mean up to date every so many steps."),
        Key::number(
            "max_grad_norm",
            0.0,
            1000.0,
            "Gradients are scaled down so that their norm is at most this. 0: never.",
        ),
        Key::whole("gradient_accumulation", 1, 10_000, "Batches whose gradients are averaged for one optimizer step."),
    ],
};
