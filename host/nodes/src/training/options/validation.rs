use super::group::Group;
use super::key::Key;

pub(super) static VALIDATION: Group = Group {
    id: "TrainValidationOptions",
    name: "Validation options",
    about: "Pictures that are held back, and looked at while training.",
    keys: &[
        Key::number("validation_share", 0.0, 0.5, "Share of the pictures that are held back. 0: none."),
        Key::whole("validation_every", 1, 1_000_000, "Steps from one look to the next."),
        Key::whole("validation_times", 1, 1000, "Timesteps at which each picture is looked at."),
        Key::whole("validation_images", 1, 10_000, "Pictures that are looked at, at most."),
    ],
};
