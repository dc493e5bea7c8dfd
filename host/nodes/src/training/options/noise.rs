use super::group::Group;
use super::key::Key;

pub(super) static NOISE: Group = Group {
    id: "TrainNoiseOptions",
    name: "Noise options",
    about: "The noise that the network learns to see, and at which strengths.",
    keys: &[
        Key::choice("prediction", predictions, "What the network outputs. `auto`: what the base was trained for."),
        Key::number("noise_offset", 0.0, 10.0, "Strength of the noise offset, which helps dark and bright pictures."),
        Key::whole("min_timestep", 0, 100_000, "Lowest timestep that is drawn."),
        Key::whole("max_timestep", 0, 100_000, "One more than the highest timestep that is drawn. 0: all."),
    ],
};

fn predictions() -> Vec<String> {
    ["auto", "epsilon", "v"].map(str::to_owned).to_vec()
}
