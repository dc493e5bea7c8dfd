use super::group::Group;
use super::key::Key;

pub(super) static MEMORY: Group = Group {
    id: "TrainMemoryOptions",
    name: "Memory options",
    about: "What is done to take less memory.",
    keys: &[Key::flag("gradient_checkpointing", "Keep less of the way forward and compute it again on the way back.")],
};
