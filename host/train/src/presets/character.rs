//! A person or figure.

use super::Goal;

pub(crate) const CHARACTER: Goal = Goal {
    name: "character",
    summary: "a person or figure, called up by a tag",
    advice: &[
        "20 pictures and more: a third faces, a third upper bodies, a third whole bodies; two or more of each angle, pose, \
         place and outfit",
        "one activation tag in front of every caption, and `activation_tags` set to it",
        "leave out tags of what always belongs to the figure (hair, eyes), keep those of what changes (clothes, pose)",
        "look for what all pictures share by chance, such as a tilted head: it is learned, too",
    ],
    changes: r#"{"steps": 600}"#,
    own: &[("SDXL", r#"{"steps": 800}"#), ("Flux.1", r#"{"steps": 1500}"#)],
};
