//! How a body is held, or how a picture is framed.

use super::Goal;

pub(crate) const POSE: Goal = Goal {
    name: "pose",
    summary: "how a body is held or a picture framed, called up by a tag",
    advice: &[
        "many people, clothes and drawing styles: only the pose may be the same",
        "one activation tag in front of every caption; no tags of the pose besides it",
        "pictures are not mirrored: a pose has a left and a right",
    ],
    changes: r#"{"steps": 500, "flip": false}"#,
    own: &[
        ("SD 1.x", r#"{"rank": 8, "alpha": 4, "learning_rate": 2e-4, "text_encoder_lr": 5e-5}"#),
        ("SDXL", r#"{"steps": 700}"#),
        ("Flux.1", r#"{"steps": 1500}"#),
    ],
};
