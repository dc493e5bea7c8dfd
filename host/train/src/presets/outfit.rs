//! Clothes.

use super::Goal;

pub(crate) const OUTFIT: Goal = Goal {
    name: "outfit",
    summary: "clothes, called up by a tag",
    advice: &[
        "different people wearing it, or the person is learned with the clothes",
        "one activation tag for the whole outfit in front of every caption, and up to two more for parts that may be worn \
         alone; do not merge all clothes into one tag",
        "tag people, poses and places, leave out the clothes' own tags",
    ],
    changes: r#"{"steps": 500}"#,
    own: &[("SD 1.x", r#"{"learning_rate": 3e-4}"#), ("SDXL", r#"{"steps": 700}"#), ("Flux.1", r#"{"steps": 1500}"#)],
};
