use super::group::Group;
use super::key::Key;

pub(super) static NOISE: Group = Group {
    id: "TrainNoiseOptions",
    name: "Noise options",
    about: "The noise that the network learns to see, and at which strengths.",
    keys: &[
        Key::choice("prediction", predictions, "What the network outputs. `auto`: what the base was trained for."),
        Key::json(
            "zero_terminal_snr",
            "Stretch the schedule so that nothing is left at its end: `true` or `false`. Empty: as the base.",
        ),
        Key::number("noise_offset", 0.0, 10.0, "Strength of the noise offset, which helps dark and bright pictures."),
        Key::flag("noise_offset_random", "Draw the strength of each step between 0 and `noise_offset`."),
        Key::number("adaptive_noise_scale", -10.0, 10.0, "Adds this times the latent's mean to the noise offset."),
        Key::whole("pyramid_noise_levels", 0, 20, "Levels of pyramid noise; 6 to 10 are usual. 0: none."),
        Key::number("pyramid_noise_discount", 0.0, 1.0, "Weight of each level of pyramid noise to the one before."),
        Key::number("ip_noise_gamma", 0.0, 10.0, "Noise that the network sees, but is not told of; 0.1 is usual."),
        Key::flag("ip_noise_gamma_random", "Draw the strength of each step between 0 and `ip_noise_gamma`."),
        Key::choice(
            "timestep_sampling",
            samplings,
            "How timesteps are drawn. `auto`: `uniform`, or `sigmoid` for flow matching.",
        ),
        Key::number(
            "sigmoid_scale",
            0.0,
            100.0,
            "Spread of the normal number that `sigmoid`, `shift` and `flux_shift` start from.",
        ),
        Key::number("flow_shift", 0.0, 100.0, "Shift of times towards noise by `shift` and `logit_normal`; 1: none."),
        Key::number("logit_mean", -100.0, 100.0, "Mean of `logit_normal`."),
        Key::number("logit_std", 0.0, 100.0, "Spread of `logit_normal`."),
        Key::number(
            "guidance_scale",
            0.0,
            100.0,
            "What a base that was distilled with a guidance is told; 1 for LoRAs on Flux.1-dev.",
        ),
        Key::whole("min_timestep", 0, 100_000, "Lowest timestep that is drawn."),
        Key::whole("max_timestep", 0, 100_000, "One more than the highest timestep that is drawn. 0: all."),
    ],
};

fn predictions() -> Vec<String> {
    ["auto", "epsilon", "v", "flow"].map(str::to_owned).to_vec()
}

fn samplings() -> Vec<String> {
    ["auto"].into_iter().chain(train::TIME_SAMPLINGS.iter().map(|row| row.name)).map(str::to_owned).collect()
}
