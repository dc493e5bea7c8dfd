//! Colours by the names that image boards use.

use oklab::{Converter, Lab};

/// Examples of each name in sRGB. A colour gets the name of the nearest example in OKLab.
/// The vivid ones are those of CSS where the name exists there; the others are usual flat-shading tones.
const EXAMPLES: &[(&str, &[[u8; 3]])] = &[
    ("white", &[[255, 255, 255], [238, 238, 240]]),
    ("grey", &[[128, 128, 128], [190, 190, 192], [80, 80, 84]]),
    ("black", &[[0, 0, 0], [28, 28, 32], [46, 44, 50]]),
    ("red", &[[220, 20, 30], [160, 20, 25], [230, 70, 70]]),
    ("orange", &[[255, 140, 0], [240, 120, 50], [255, 170, 80]]),
    ("yellow", &[[255, 225, 30], [250, 235, 130], [225, 185, 20]]),
    ("green", &[[30, 160, 40], [110, 200, 90], [20, 90, 40], [160, 210, 120]]),
    ("aqua", &[[0, 190, 200], [120, 220, 220], [20, 140, 150]]),
    ("blue", &[[30, 70, 220], [90, 140, 230], [20, 40, 110], [150, 190, 240]]),
    ("purple", &[[130, 40, 170], [170, 110, 210], [80, 30, 110], [195, 170, 230]]),
    ("pink", &[[255, 120, 180], [255, 190, 205], [230, 80, 150]]),
    ("brown", &[[120, 70, 30], [90, 55, 35], [160, 105, 65]]),
    ("beige", &[[245, 225, 200], [225, 195, 160]]),
];

/// Below this chroma a colour is a grey, whatever the nearest example says; about what an eye calls neutral.
const NEUTRAL: f32 = 0.02;

/// The vocabulary with the examples in OKLab.
pub(crate) struct Names(Vec<(Lab, &'static str)>);

impl Names {
    pub(crate) fn new(convert: &Converter) -> Self {
        let all = EXAMPLES.iter().flat_map(|(name, examples)| examples.iter().map(|rgb| (convert.lab(*rgb), *name)));
        Self(all.collect())
    }

    /// The name of a colour.
    pub(crate) fn of(&self, colour: Lab) -> &'static str {
        if colour.chroma() < NEUTRAL {
            return match colour.l {
                l if l < 0.33 => "black",
                l if l > 0.93 => "white",
                _ => "grey",
            };
        }
        let nearest =
            self.0.iter().min_by(|a, b| a.0.squared_distance(colour).total_cmp(&b.0.squared_distance(colour)));
        nearest.map_or("grey", |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_the_names_that_people_give_them() {
        let convert = Converter::new();
        let names = Names::new(&convert);
        for (rgb, name) in [
            ([255, 255, 255], "white"),
            ([10, 10, 10], "black"),
            ([150, 150, 150], "grey"),
            ([255, 0, 0], "red"),
            ([255, 165, 0], "orange"),
            ([255, 255, 0], "yellow"),
            ([0, 128, 0], "green"),
            ([0, 255, 255], "aqua"),
            ([0, 0, 255], "blue"),
            ([128, 0, 128], "purple"),
            ([255, 105, 180], "pink"),
            ([139, 69, 19], "brown"),
            ([245, 222, 179], "beige"),
        ] {
            assert_eq!(names.of(convert.lab(rgb)), name, "{rgb:?}");
        }
    }
}
