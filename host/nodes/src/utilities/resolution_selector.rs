use anyhow::bail;
use engine::{Context, TypedNode};
use spec::Inputs;

/// Picks the sides of a picture by its shape and how many pixels it has.
#[derive(Inputs)]
pub(crate) struct ResolutionSelector {
    /// The shape, width to height.
    #[input(default = "1:1 (Square)", options = shape_names())]
    aspect_ratio: String,
    /// Pixels, in 1024·1024.
    #[input(default = 1.0, range = 0.1..=16.0, step = 0.1)]
    megapixels: f64,
    /// Both sides are a multiple of this.
    #[input(default = 8, range = 8..=128, step = 4)]
    multiple: u32,
}

/// Names with width and height.
const SHAPES: &[(&str, u32, u32)] = &[
    ("1:1 (Square)", 1, 1),
    ("2:3 (Portrait Photo)", 2, 3),
    ("3:2 (Photo)", 3, 2),
    ("3:4 (Portrait Standard)", 3, 4),
    ("4:3 (Standard)", 4, 3),
    ("9:16 (Portrait Widescreen)", 9, 16),
    ("16:9 (Widescreen)", 16, 9),
    ("21:9 (Ultrawide)", 21, 9),
];

fn shape_names() -> Vec<&'static str> {
    SHAPES.iter().map(|(name, ..)| *name).collect()
}

impl TypedNode for ResolutionSelector {
    const ID: &'static str = "ResolutionSelector";
    const CATEGORY: &'static str = "utilities";
    const DISPLAY_NAME: &'static str = "Resolution Selector";
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["width", "height"];
    type Output = (u32, u32);

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let Some(&(_, width, height)) = SHAPES.iter().find(|(name, ..)| *name == self.aspect_ratio) else {
            bail!("unknown shape `{}`; known are {}", self.aspect_ratio, shape_names().join(", "));
        };
        let (width, height, multiple) = (f64::from(width), f64::from(height), f64::from(self.multiple));
        let scale = (self.megapixels * 1024.0 * 1024.0 / (width * height)).sqrt();
        let side = |share: f64| ((share * scale / multiple).round_ties_even() * multiple) as u32;
        Ok((side(width), side(height)))
    }
}
