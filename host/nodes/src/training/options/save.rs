use super::group::Group;
use super::key::Key;

pub(super) static SAVE: Group = Group {
    id: "TrainSaveOptions",
    name: "Saving options",
    about: "What is saved, and when.",
    keys: &[
        Key::text("output_name", "Stem of the files' names."),
        Key::whole(
            "save_every_steps",
            0,
            10_000_000,
            "Save a checkpoint every so many optimizer steps. 0: only the last.",
        ),
        Key::whole("save_every_epochs", 0, 1_000_000, "Save a checkpoint every so many epochs. 0: only the last."),
        Key::whole("keep_checkpoints", 0, 100_000, "Keep only so many of the checkpoints before the last. 0: all."),
        Key::whole(
            "state_every",
            1,
            1_000_000,
            "Save the training state every so many steps, so that a run that was cut off goes on from there.",
        ),
        Key::choice("save_dtype", dtypes, "Number format of saved networks."),
        Key::text("comment", "Free text for the file's metadata."),
    ],
};

fn dtypes() -> Vec<String> {
    ["f16", "bf16", "f32"].map(str::to_owned).to_vec()
}
