use super::group::Group;
use super::key::{Key, names};

pub(super) static LOSS: Group = Group {
    id: "TrainLossOptions",
    name: "Loss options",
    about: "How a prediction is judged.",
    keys: &[
        Key::choice("loss", names!(train::LOSSES), "How the difference is measured."),
        Key::choice("loss_weighting", names!(train::WEIGHTINGS), "How much a timestep counts."),
        Key::number("min_snr_gamma", 0.0, 100.0, "Gamma of `min_snr`."),
        Key::number("huber_c", 0.0, 100.0, "Where Huber losses turn from square to linear."),
        Key::choice("huber_schedule", huber_schedules, "How `huber_c` depends on the timestep."),
        Key::flag("masked_loss", "Count the loss only where the picture is opaque."),
    ],
};

fn huber_schedules() -> Vec<String> {
    ["constant", "exponential", "snr"].map(str::to_owned).to_vec()
}
