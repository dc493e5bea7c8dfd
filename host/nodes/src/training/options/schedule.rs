use super::group::Group;
use super::key::Key;

pub(super) static SCHEDULE: Group = Group {
    id: "TrainScheduleOptions",
    name: "Schedule options",
    about: "How long a run is, and how the learning rate changes over it.",
    keys: &[
        Key::whole("steps", 0, 10_000_000, "Length in optimizer steps; 0 to say it in epochs."),
        Key::whole("epochs", 0, 1_000_000, "Length in passes over all pictures. 0: 10, unless `steps` is given."),
        Key::whole("batch_size", 1, 4096, "Pictures in a batch."),
        Key::whole("seed", 0, i64::MAX, "Seed of everything that is drawn by chance."),
        Key::choice(
            "lr_schedule",
            schedules,
            "How the learning rate changes over the run. auto: as suits the optimizer.",
        ),
        Key::number("lr_warmup", 0.0, 1e6, "Warm-up in steps, or below 1 as a share of all steps."),
        Key::text(
            "lr_step_rules",
            "Factors and the steps where they end (`piecewise_constant`), such as 1:100,0.1:200,0.01.",
        ),
        Key::whole("lr_cycles", 1, 1000, "Waves of `cosine_with_restarts`."),
        Key::number("lr_power", 0.0, 100.0, "Exponent of `polynomial`."),
        Key::number("lr_min_ratio", 0.0, 1.0, "Lowest rate as a share of the full one, where a schedule has one."),
        Key::whole("lr_timescale", 0, 10_000_000, "Steps of the fall to 0.71 (`inverse_sqrt`). 0: the warm-up."),
        Key::number(
            "lr_decay",
            0.0,
            1e6,
            "Length of the fall (`warmup_stable_decay`) in steps, or below 1 as a share.",
        ),
    ],
};

/// Names for `lr_schedule`.
pub(crate) fn schedules() -> Vec<String> {
    ["auto"].into_iter().chain(train::LR_SCHEDULES.iter().map(|s| s.name)).map(str::to_owned).collect()
}
