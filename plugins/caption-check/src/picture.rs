//! What a small copy of a picture shows, and what a caption claims of it. Only claims that the pixels plainly refute count:
//! a colour of which there is no trace, a black-and-white picture full of colours, night on a white page.

use crate::Doubt;
use crate::words::words;
use oklab::{Converter, Lab};

/// A colour word and an example of it in sRGB.
const HUES: &[(&[&str], [u8; 3])] = &[
    (&["red", "crimson", "scarlet"], [220, 20, 30]),
    (&["orange"], [255, 140, 0]),
    (&["yellow"], [255, 225, 30]),
    (&["green"], [30, 160, 40]),
    (&["teal", "cyan", "turquoise", "aqua"], [0, 190, 200]),
    (&["blue"], [30, 70, 220]),
    (&["purple", "violet", "lavender"], [130, 40, 170]),
    (&["pink", "magenta"], [255, 120, 180]),
];
/// Things whose colour a small copy may lose, and words with which a colour is none.
const SMALL: &[&str] = &[
    "eye", "eyes", "eyed", "pupils", "iris", "irises", "lips", "lipstick", "nail", "nails", "earring", "earrings",
    "blush", "tongue", "gem", "gems", "tea", "light", "lights", "button", "buttons", "text", "letters", "juice",
];
/// Cosine of the angle between hues within which a pixel counts as of a colour: 50°.
const NEAR: f32 = 0.643;
/// Below this chroma a pixel has no hue.
const TINT: f32 = 0.03;
/// From this on it has one that an eye sees.
const COLOURED: f32 = 0.06;

/// How pictures are looked at.
pub(crate) struct Looks {
    convert: Converter,
    /// Direction of each hue in the plane of a and b.
    hues: Vec<(f32, f32)>,
}

/// What was seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Share of pixels of each hue.
    shares: Vec<f32>,
    coloured: f32,
    /// 1: all colours are of one hue.
    one_hue: f32,
    lightness: f32,
    border: f32,
    transparent: bool,
}

impl Looks {
    pub(crate) fn new() -> Self {
        let convert = Converter::new();
        let direction = |rgb: [u8; 3]| {
            let lab = convert.lab(rgb);
            (lab.a / lab.chroma(), lab.b / lab.chroma())
        };
        let hues = HUES.iter().map(|(_, rgb)| direction(*rgb)).collect();
        Self { hues, convert }
    }

    /// Looks at R, G, B, A; transparent parts count as white.
    pub(crate) fn at(&self, rgba: &[u8], width: usize, height: usize) -> Seen {
        let over = |v: u8, a: u8| ((u32::from(v) * u32::from(a) + 255 * (255 - u32::from(a)) + 127) / 255) as u8;
        let lab: Vec<Lab> = rgba
            .chunks_exact(4)
            .map(|p| self.convert.lab([over(p[0], p[3]), over(p[1], p[3]), over(p[2], p[3])]))
            .collect();
        let n = lab.len().max(1) as f32;
        let near = |(a, b): &(f32, f32)| {
            let fits = |p: &&Lab| p.chroma() > TINT && (p.a * a + p.b * b) >= NEAR * p.chroma();
            lab.iter().filter(fits).count() as f32 / n
        };
        let (a, b) = lab.iter().fold((0.0f32, 0.0f32), |(a, b), p| (a + p.a, b + p.b));
        let chroma: f32 = lab.iter().map(|p| p.chroma()).sum();
        let at_border =
            |i: usize| i.is_multiple_of(width) || i % width == width - 1 || i / width == 0 || i / width == height - 1;
        let border: Vec<f32> = lab.iter().enumerate().filter(|(i, _)| at_border(*i)).map(|(_, p)| p.l).collect();
        Seen {
            shares: self.hues.iter().map(near).collect(),
            coloured: lab.iter().filter(|p| p.chroma() > COLOURED).count() as f32 / n,
            one_hue: if chroma > 0.0 { (a * a + b * b).sqrt() / chroma } else { 1.0 },
            lightness: lab.iter().map(|p| p.l).sum::<f32>() / n,
            border: border.iter().sum::<f32>() / border.len().max(1) as f32,
            transparent: rgba.chunks_exact(4).any(|p| p[3] < 128),
        }
    }

    /// Claims that the picture refutes.
    pub(crate) fn doubts(&self, seen: &Seen, text: &str) -> Vec<Doubt> {
        let words = words(text);
        let mut out = Vec::new();
        let mut say = |weight: f64, claim: &str, found: String| {
            out.push(Doubt::new(weight, format!("it says `{claim}`, but {found}")));
        };
        if let Some(claim) = greys(&words)
            && seen.coloured > 0.05
        {
            say(0.9, claim, format!("{:.0} % of the picture is coloured", seen.coloured * 100.0));
        }
        if has(&words, &["monochrome"]) && seen.coloured > 0.05 && seen.one_hue < 0.7 {
            say(0.6, "monochrome", "the picture has several hues".to_owned());
        }
        for (index, (names, _)) in HUES.iter().enumerate() {
            let claimed = words.iter().enumerate().find(|(at, word)| {
                let next = words[at + 1..].iter().take(2);
                names.contains(&word.as_str()) && !next.clone().any(|w| SMALL.contains(&w.as_str()))
            });
            if let Some((_, word)) = claimed
                && seen.shares[index] < 0.0005
            {
                say(0.5, word, "the picture shows nothing of that colour".to_owned());
            }
        }
        let night: [&[&str]; 4] = [&["at", "night"], &["night", "sky"], &["nighttime"], &["dimly", "lit"]];
        if let Some(claim) = night.iter().find(|c| has(&words, c))
            && seen.lightness > 0.8
        {
            say(0.5, &claim.join(" "), "the picture is bright".to_owned());
        }
        let day: [&[&str]; 4] = [&["sunny"], &["broad", "daylight"], &["bright", "daylight"], &["brightly", "lit"]];
        if let Some(claim) = day.iter().find(|c| has(&words, c))
            && seen.lightness < 0.25
        {
            say(0.5, &claim.join(" "), "the picture is dark".to_owned());
        }
        if has(&words, &["white", "background"]) && seen.border < 0.75 {
            say(0.6, "white background", "its border is not bright".to_owned());
        }
        if has(&words, &["black", "background"]) && seen.border > 0.5 {
            say(0.6, "black background", "its border is not dark".to_owned());
        }
        if has(&words, &["transparent", "background"]) && !seen.transparent {
            say(0.4, "transparent background", "nothing of it is transparent".to_owned());
        }
        out
    }
}

/// Do these words stand in a row?
fn has(words: &[String], phrase: &[&str]) -> bool {
    words.windows(phrase.len()).any(|w| w.iter().zip(phrase).all(|(a, b)| a == b))
}

/// A claim that the whole picture is without colours. A black and white dress is none.
fn greys(words: &[String]) -> Option<&'static str> {
    const PICTURES: [&str; 10] = [
        "photo",
        "photograph",
        "photography",
        "image",
        "picture",
        "drawing",
        "illustration",
        "manga",
        "film",
        "sketch",
    ];
    if has(words, &["greyscale"]) || has(words, &["grayscale"]) {
        return Some("greyscale");
    }
    let three = words.windows(3).enumerate().filter(|(_, w)| w[0] == "black" && w[1] == "and" && w[2] == "white");
    let whole = |at: usize| {
        let next = words.get(at + 3).map(String::as_str);
        let before = at.checked_sub(1).map(|i| words[i].as_str());
        next.is_some_and(|w| PICTURES.contains(&w))
            || before == Some("in") && next.is_none_or(|w| !w.ends_with("ing") && w != "clothes")
    };
    three.map(|(at, _)| at).find(|at| whole(*at)).map(|_| "black and white")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paint: impl Fn(usize, usize) -> [u8; 4], text: &str) -> Vec<String> {
        let rgba: Vec<u8> = (0..32 * 32).flat_map(|i| paint(i % 32, i / 32)).collect();
        let looks = Looks::new();
        let seen = looks.at(&rgba, 32, 32);
        looks.doubts(&seen, text).into_iter().map(|d| d.text).collect()
    }

    /// A red square on white.
    fn red(x: usize, y: usize) -> [u8; 4] {
        if (8..24).contains(&x) && (8..24).contains(&y) { [200, 30, 30, 255] } else { [255; 4] }
    }

    fn grey(x: usize, _: usize) -> [u8; 4] {
        let v = (x * 2) as u8;
        [v, v, v, 255]
    }

    #[test]
    fn what_fits_raises_no_doubt() {
        for text in [
            "A red square on a white background.",
            "A girl with blue eyes in a black and white dress",
            "A pink rose",
            "in black and white clothes",
        ] {
            assert_eq!(of(red, text), Vec::<String>::new(), "{text}");
        }
        assert!(of(grey, "A black and white photograph of a house at night.").is_empty());
        assert!(of(|_, _| [0, 0, 0, 0], "transparent background").is_empty());
    }

    #[test]
    fn what_the_pixels_refute_is_named() {
        for (text, doubt) in [
            ("A black and white photo.", "it says `black and white`, but 25 % of the picture is coloured"),
            ("greyscale", "it says `greyscale`, but 25 % of the picture is coloured"),
            ("A girl in a blue dress.", "it says `blue`, but the picture shows nothing of that colour"),
            ("A house at night.", "it says `at night`, but the picture is bright"),
            ("black background", "it says `black background`, but its border is not dark"),
            ("transparent background", "it says `transparent background`, but nothing of it is transparent"),
        ] {
            assert_eq!(of(red, text), [doubt], "{text}");
        }
        assert_eq!(of(grey, "A red hat."), ["it says `red`, but the picture shows nothing of that colour"]);
        assert_eq!(of(grey, "On a sunny day."), ["it says `sunny`, but the picture is dark"]);
        let both = |x: usize, _: usize| if x < 16 { [220, 20, 30, 255] } else { [30, 160, 40, 255] };
        assert_eq!(of(both, "monochrome"), ["it says `monochrome`, but the picture has several hues"]);
    }
}
