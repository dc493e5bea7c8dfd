use super::group::Group;
use super::key::{Key, names};

pub(super) static LOSS: Group = Group {
    id: "TrainLossOptions",
    name: "Loss options",
    about: "How a prediction is judged.",
    keys: &[
        Key::choice("loss", names!(train::LOSSES), "How the difference is measured."),
        Key::choice(
            "loss_weighting",
            weightings,
            "How much a timestep counts. `auto`: `min_snr`, or `none` for flow matching.",
        ),
        Key::number("min_snr_gamma", 0.0, 100.0, "Gamma of `min_snr`."),
        Key::number("huber_c", 0.0, 100.0, "Where Huber losses turn from square to linear."),
        Key::choice("huber_schedule", huber_schedules, "How `huber_c` depends on the timestep."),
        Key::flag(
            "scale_v_pred_loss_like_noise_pred",
            "For bases that predict v: weigh losses as if noise were predicted.",
        ),
        Key::number("v_pred_like_loss", 0.0, 100.0, "For bases that predict noise: adds the loss of v times this."),
        Key::flag("masked_loss", "Count the loss only where the picture is opaque."),
    ],
};

fn weightings() -> Vec<String> {
    ["auto"].into_iter().chain(train::WEIGHTINGS.iter().map(|w| w.name)).map(str::to_owned).collect()
}

fn huber_schedules() -> Vec<String> {
    ["constant", "exponential", "snr"].map(str::to_owned).to_vec()
}
