use super::group::Group;
use super::key::Key;

pub(super) static DATA: Group = Group {
    id: "TrainDataOptions",
    name: "Picture options",
    about: "What is done to pictures.",
    keys: &[
        Key::whole(
            "resolution",
            0,
            8192,
            "Edge of a square picture in pixels; other shapes have about its area. 0: the base's own.",
        ),
        Key::flag("buckets", "Group pictures by shape instead of cropping all to a square."),
        Key::whole("bucket_min", 0, 8192, "Shortest edge of a bucket in pixels. 0: half the resolution."),
        Key::whole("bucket_max", 0, 16_384, "Longest edge of a bucket in pixels. 0: twice the resolution."),
        Key::whole(
            "bucket_step",
            0,
            1024,
            "Edges of buckets are multiples of this, in pixels. 0: what the base needs.",
        ),
        Key::flag("bucket_no_upscale", "Never enlarge a picture."),
        Key::flag("flip", "Mirror pictures at random. It mixes up left and right."),
    ],
};
