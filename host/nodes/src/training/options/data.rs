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
        Key::json(
            "resolutions",
            "Several of them, such as [1024, 768]: every picture is trained at each. []: only `resolution`.",
        ),
        Key::flag("buckets", "Group pictures by shape instead of cropping all to a square."),
        Key::choice(
            "bucket_style",
            || ["sd-scripts", "ai-toolkit"].map(str::to_owned).to_vec(),
            "Whose rule chooses the size of a picture.",
        ),
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
        Key::flag("random_crop", "Crop what does not fit the bucket at random instead of around the centre."),
        Key::flag("color_jitter", "Change hue or brightness a little at random."),
        Key::whole("variants", 2, 64, "Versions of each picture that are encoded for random crops and colours."),
        Key::number("prior_loss_weight", 0.0, 100.0, "Weight of the loss of regularisation images."),
    ],
};
