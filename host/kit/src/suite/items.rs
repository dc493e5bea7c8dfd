//! What plugins are tried on: pictures, annotations, a folder. All of it is made here, so that it is the same everywhere.

use anyhow::Result;
use data::{Codec, Image, PixelFormat};
use spec::{Annotation, Tag};
use std::path::Path;

/// A set of inputs; each kind takes of it what it needs.
#[derive(Clone, Debug)]
pub struct Items {
    pub pictures: Vec<Image>,
    pub annotations: Vec<Annotation>,
    /// Positions that a source never gave.
    pub strange_positions: Vec<String>,
}

impl Items {
    /// What plugins usually get.
    pub(crate) fn usual() -> Self {
        let lists: [&[&str]; 6] = [
            &["1girl", "red_hair", "tree"],
            &["1girl", "blue_sky", "tree"],
            &["tree"],
            &["^_^", "tree", "tree"],
            &["1boy", "blue sky", "hat"],
            &["sword", "1boy"],
        ];
        let mut annotations: Vec<Annotation> = lists.iter().map(|tags| tagged(tags)).collect();
        annotations[2].text = Some("A tree on a hill. The sky is blue.".into());
        let sizes = [(64, 48), (48, 64), (33, 33), (96, 24), (20, 20), (7, 11)];
        let formats = [PixelFormat::Rgb8, PixelFormat::Rgba8, PixelFormat::L8];
        let picture = |(n, (w, h)): (usize, &(u32, u32))| picture(*w, *h, formats[n % 3], n as u32);
        let pictures = sizes.iter().enumerate().filter_map(picture).collect();
        Self { pictures, annotations, strange_positions: Vec::new() }
    }

    /// What is allowed and seldom thought of.
    pub(crate) fn odd() -> Self {
        let sizes = [(1, 1), (1, 3000), (3000, 1), (2, 2), (900, 700)];
        let rgba = |(n, (w, h)): (usize, &(u32, u32))| picture(*w, *h, PixelFormat::Rgba8, n as u32 * 50);
        let mut pictures: Vec<Image> = sizes.iter().enumerate().filter_map(rgba).collect();
        // Nothing can be seen of it at all.
        pictures.extend(Image::new(16, 16, PixelFormat::Rgba8, vec![0; 16 * 16 * 4]).ok());
        pictures.extend(Image::new(16, 16, PixelFormat::L8, vec![255; 16 * 16]).ok());
        let many: Vec<String> = (0..2000).map(|n| format!("tag {n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        // Longer ones, and an `extra` that is no JSON, the host lets no plugin answer, so no plugin meets them.
        let long = "x".repeat(4_000);
        let words = "word ".repeat(5000);
        let mut annotations = vec![
            Annotation::default(),
            tagged(&["", " ", ",", "\\", "a,b", "(x:1.2)", "{secret:key}"]),
            tagged(&["\u{202e}gnp.exe", "e\u{301}", "\u{0}", "日本語", "👩‍👩‍👧", "\n"]),
            tagged(&many),
            tagged(&[&long]),
        ];
        let texts = ["", "\u{feff}", "\"", "Ends in the mid", words.as_str()];
        annotations.extend(texts.iter().map(|t| Annotation { text: Some((*t).to_owned()), ..Annotation::default() }));
        let extra = |e: &str| Annotation { extra: Some(e.to_owned()), ..tagged(&["a"]) };
        annotations.extend([extra("{}"), extra("{\"scores\": \"none\"}"), extra("[1]"), extra("null")]);
        let mut scores = tagged(&["a", "b", "c"]);
        for (tag, score) in scores.tags.iter_mut().zip([-1.0, 2.0, 1e30]) {
            tag.score = Some(score);
        }
        annotations.push(scores);
        let strange = ["", "no position", "-1", "99999999999999999999", "{\"a\":", "../..", "\u{0}"];
        Self { pictures, annotations, strange_positions: strange.iter().map(|s| (*s).to_owned()).collect() }
    }

    /// So many that what is not given back is missed.
    pub(crate) fn many(count: u32) -> Self {
        let pictures = (0..count).filter_map(|n| picture(24, 24, PixelFormat::Rgb8, n)).collect();
        let annotations = (0..count).map(|n| tagged(&["tree", if n % 2 == 0 { "even" } else { "odd" }])).collect();
        Self { pictures, annotations, strange_positions: Vec::new() }
    }

    /// One picture of a size that data sets have.
    pub(crate) fn large() -> Self {
        let pictures = picture(1024, 1024, PixelFormat::Rgb8, 1).into_iter().collect();
        Self { pictures, annotations: vec![tagged(&["tree", "1girl"])], strange_positions: Vec::new() }
    }
}

pub(crate) fn tagged(tags: &[&str]) -> Annotation {
    let tag = |name: &&str| Tag { name: (*name).to_owned(), score: Some(0.5), category: None };
    Annotation { tags: tags.iter().map(tag).collect(), ..Annotation::default() }
}

/// A pattern that differs from one number to the next.
fn picture(width: u32, height: u32, format: PixelFormat, seed: u32) -> Option<Image> {
    let channels = format.channels() as u32;
    let value = |i: u32| {
        let (x, y, c) = (i / channels % width, i / channels / width, i % channels);
        let wave = x * (3 + seed % 5) + y * (2 + seed % 7) + c * 40 + seed * 23;
        // Every second picture is dark, so that what tells light from dark has something to tell.
        (wave % if seed.is_multiple_of(2) { 256 } else { 90 }) as u8
    };
    let pixels: Vec<u8> = (0..width * height * channels).map(value).collect();
    Image::new(width, height, format, pixels).ok()
}

/// Twelve pictures in two folders, with captions beside them.
pub(crate) fn write_folder(folder: &Path) -> Result<()> {
    for n in 0..12u32 {
        let dir = folder.join(if n < 7 { "first" } else { "2_second" });
        std::fs::create_dir_all(&dir)?;
        let image = picture(32 + n, 40 - n, PixelFormat::Rgb8, n);
        if let Some(image) = image {
            std::fs::write(dir.join(format!("{n:02}.png")), image.encode(Codec::Png, 90)?)?;
        }
        std::fs::write(dir.join(format!("{n:02}.txt")), format!("tree, number {n}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_of_the_sets_is_made() {
        assert_eq!(Items::usual().pictures.len(), 6);
        assert_eq!(Items::odd().pictures.len(), 7);
        assert_eq!(Items::many(100).pictures.len(), 100);
        assert_eq!(Items::large().pictures[0].width, 1024);
        let digests: std::collections::BTreeSet<String> =
            Items::many(20).pictures.iter().map(data::Image::digest).collect();
        assert_eq!(digests.len(), 20, "pictures are told apart");
    }

    #[test]
    fn the_folder_has_pictures_and_captions() {
        let dir = tempfile::tempdir().unwrap();
        write_folder(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join("first")).unwrap().count(), 14);
        assert_eq!(std::fs::read_dir(dir.path().join("2_second")).unwrap().count(), 10);
    }
}
