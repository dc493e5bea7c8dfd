use super::group::Group;
use super::key::Key;

pub(super) static CAPTIONS: Group = Group {
    id: "TrainCaptionOptions",
    name: "Caption options",
    about: "What is done to captions.",
    keys: &[
        Key::flag("shuffle_tags", "Shuffle tags at each step. Captions in sentences are never shuffled."),
        Key::whole(
            "keep_tokens",
            -1,
            1000,
            "Tags in front that keep their places. −1: the activation tags, or what all captions share.",
        ),
        Key::list(
            "activation_tags",
            "Tags that call up what is trained, separated by commas; every caption must start with them.",
        ),
        Key::number("caption_dropout", 0.0, 1.0, "Share of steps with an empty caption."),
        Key::number("tag_dropout", 0.0, 1.0, "Share of tags that are left out at each step."),
        Key::flag("wildcards", "Choose one of `{a|b}` in captions."),
        Key::whole(
            "clip_skip",
            1,
            24,
            "Take the text states this many layers before the end; 1 is the last. Some anime bases want 2.",
        ),
        Key::flag("allow_missing_captions", "Accept pictures without a caption."),
    ],
};
