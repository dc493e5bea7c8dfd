//! The captioner as the host calls it, on painted pictures.

use super::*;
use plugin_sdk::Result;
use plugin_test::{FakeHost, image_from_rgb, open_captioner};
use serde_json::{Value, json};

/// The tags of a picture that a function of (x, y) paints.
fn tags(settings: Value, width: u32, height: u32, paint: impl Fn(u32, u32) -> [u8; 3]) -> Result<Vec<Tag>> {
    let _host = FakeHost::new().install();
    let rgb: Vec<u8> = (0..width * height).flat_map(|i| paint(i % width, i / width)).collect();
    let image = image_from_rgb(width, height, &rgb)?;
    let mut plugin: PaletteTagger = open_captioner(settings)?;
    let mut answers = plugin.caption(vec![CaptionRequest { image, known: Annotation::default() }])?;
    Ok(answers.remove(0)?.tags)
}

fn names(tags: &[Tag]) -> Vec<&str> {
    tags.iter().map(|t| t.name.as_str()).collect()
}

#[test]
fn a_figure_on_white() {
    let paint = |x, y| if (14..34).contains(&x) && y > 8 { [30, 60, 200] } else { [255, 255, 255] };
    let found = tags(json!({}), 48, 48, paint).unwrap();
    // Blue on white is one hue: what image boards call monochrome.
    assert_eq!(
        names(&found),
        ["white background", "simple background", "monochrome", "white theme", "blue theme", "upper body"]
    );
    assert!(found.iter().all(|t| t.category.as_deref() == Some("general")));
    assert_eq!(found[4].score, Some(0.339));
}

#[test]
fn darkness_greys_and_shapes() {
    let found = tags(json!({}), 100, 20, |x, _| [(x % 50) as u8; 3]).unwrap();
    for name in ["greyscale", "monochrome", "black theme", "dark", "wide image"] {
        assert!(names(&found).contains(&name), "{name}: {found:?}");
    }
}

#[test]
fn settings_leave_parts_out() {
    let off = json!({"background": false, "colors": 0, "brightness": false, "framing": false});
    assert_eq!(tags(off, 16, 16, |_, _| [250, 0, 0]).unwrap().len(), 1, "one hue is still monochrome");
    let spelling = json!({"underscores": "underscores", "framing": false, "colors": 1});
    let found = tags(spelling, 16, 16, |_, _| [250, 0, 0]).unwrap();
    assert_eq!(names(&found), ["red_background", "simple_background", "monochrome", "red_theme"]);
}
