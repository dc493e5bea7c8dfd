//! The look of pictures.

use super::Goal;

pub(crate) const STYLE: Goal = Goal {
    name: "style",
    summary: "the look of pictures, whatever they show",
    advice: &[
        "50 pictures and more, of as many subjects as there are: what is in all of them becomes part of the style",
        "usually no activation tag; for Flux.1 one phrase in front of every caption",
        "captions say what is seen, not how it is drawn, and name no figures or places",
        "mirrored pictures are new ones for a style, unless there is writing in them",
    ],
    changes: r#"{"steps": 1000, "flip": true}"#,
    own: &[
        ("SDXL", r#"{"steps": 1500, "rank": 16, "alpha": 8}"#),
        ("Flux.1", r#"{"steps": 4000, "rank": 32, "alpha": 32, "resolutions": [1024, 768]}"#),
    ],
};
