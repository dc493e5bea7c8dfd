//! A thing, an animal, a place.

use super::Goal;

pub(crate) const CONCEPT: Goal = Goal {
    name: "concept",
    summary: "a thing, an animal or a place, called up by a tag",
    advice: &[
        "20 pictures and more, with other surroundings, light and sizes each time",
        "one activation tag in front of every caption; tag everything that is not the thing itself",
    ],
    changes: r#"{"steps": 500}"#,
    own: &[("SDXL", r#"{"steps": 700}"#), ("Flux.1", r#"{"steps": 1500}"#)],
};
