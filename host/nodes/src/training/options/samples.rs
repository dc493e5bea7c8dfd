use super::group::Group;
use super::key::{Key, names};
use sample::{SAMPLERS, SCHEDULES};

pub(super) static SAMPLES: Group = Group {
    id: "TrainSampleOptions",
    name: "Sample options",
    about: "Pictures that are made while training.",
    keys: &[
        Key::lines(
            "sample_prompts",
            "A prompt a line; --n what to avoid, --w --h size, --d seed, --s steps, --l guidance.",
        ),
        Key::whole("sample_every", 0, 1_000_000, "Steps from one set of pictures to the next. 0: at the end only."),
        Key::flag("sample_at_first", "Make pictures before the first step, too."),
        Key::choice("sample_sampler", names!(SAMPLERS), "The sampler, for prompts that name none."),
        Key::choice("sample_scheduler", names!(SCHEDULES), "How the noise levels are spaced."),
        Key::whole("sample_steps", 1, 1000, "Sampling steps, for prompts that do not say."),
        Key::number("sample_strength", -10.0, 10.0, "Strength of the network in these pictures."),
    ],
};
