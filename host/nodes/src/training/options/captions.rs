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
        Key::text(
            "keep_tokens_separator",
            "Tags in front of this text, and behind its second occurrence, keep their places, such as `|||`.",
        ),
        Key::list(
            "activation_tags",
            "Tags that call up what is trained, separated by commas; every caption must start with them.",
        ),
        Key::text("caption_prefix", "Put in front of each caption, unless it is there already."),
        Key::text("caption_suffix", "Put behind each caption, unless it is there already."),
        Key::text("caption_separator", "What stands between tags."),
        Key::text("secondary_separator", "Stands between tags that stay together, such as `;;;`."),
        Key::number("caption_dropout", 0.0, 1.0, "Share of steps with an empty caption."),
        Key::whole("caption_dropout_every_epochs", 0, 10_000, "Every so many epochs all captions are empty. 0: never."),
        Key::number("tag_dropout", 0.0, 1.0, "Share of tags that are left out at each step."),
        Key::number(
            "token_warmup_step",
            0.0,
            1_000_000.0,
            "Steps over which the number of tags grows; below 1 a share.",
        ),
        Key::whole("token_warmup_min", 1, 1000, "Tags at the start of that growth."),
        Key::flag("wildcards", "Choose one of several lines, and one of `{a|b}` in captions."),
        Key::whole("max_token_length", 75, 225, "Tokens that the CLIP text encoders read: 75, 150 or 225."),
        Key::whole("t5_tokens", 16, 4096, "Tokens of a prompt in a text encoder that has no length of its own (T5)."),
        Key::whole(
            "clip_skip",
            0,
            24,
            "Take the text states this many layers before the end; 1 is the last. 0: as the family reads them.",
        ),
        Key::flag("allow_missing_captions", "Accept pictures without a caption."),
    ],
};
