use super::group::Group;
use super::key::Key;

pub(super) static MEMORY: Group = Group {
    id: "TrainMemoryOptions",
    name: "Memory options",
    about: "What is done to take less memory.",
    keys: &[
        Key::flag("gradient_checkpointing", "Keep less of the way forward and compute it again on the way back."),
        Key::choice(
            "base_dtype",
            || ["as-is", "f32", "bf16", "fp8"].map(str::to_owned).to_vec(),
            "How the base's weights lie in memory; all that is computed is f32.",
        ),
        Key::number(
            "base_memory",
            0.0,
            1e15,
            "How much of the base stays in memory, the rest is read again when it is needed: up to 1 a share, above that \
             bytes. 0: all of it.",
        ),
    ],
};
