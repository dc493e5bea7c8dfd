//! Writing HTML: escaping, data addresses, the page around the sections.

use anyhow::Context as _;
use data::{Codec, Filter, Fit, Image, PixelFormat, ResizeSpec};
use std::fmt::Write;

/// Text as HTML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A picture as the address of itself, no larger than `side`. Small ones stay exact, larger ones become JPEG.
pub(super) fn picture(image: &Image, side: u32) -> anyhow::Result<String> {
    const EXACT: u32 = 160;
    let fits = image.width <= side && image.height <= side;
    let spec = ResizeSpec { width: side, height: side, fit: Fit::Contain, filter: Filter::Area, pad_color: 0 };
    let small = if fits { image.clone() } else { image.resize(&spec)? };
    // What a file carries besides its picture has no place in the report.
    let bare = Image::new(small.width, small.height, small.format, small.pixels)?;
    let (kind, bytes) = if bare.width.max(bare.height) <= EXACT {
        ("png", bare.encode(Codec::Png, 0))
    } else {
        ("jpeg", bare.convert(PixelFormat::Rgb8).encode(Codec::Jpeg, 88))
    };
    let bytes = bytes.context("a picture of the report")?;
    Ok(format!("data:image/{kind};base64,{}", base64(&bytes)))
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let n = part.iter().enumerate().fold(0u32, |n, (i, b)| n | (u32::from(*b) << (16 - 8 * i)));
        for i in 0..4 {
            let digit = DIGITS[(n >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= part.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// A section of the page.
pub(super) struct Section {
    /// For the address and the menu.
    pub(super) id: &'static str,
    pub(super) title: String,
    pub(super) body: String,
}

/// The whole file.
pub(super) fn page(title: &str, head: &str, sections: &[Section]) -> String {
    let mut menu = String::new();
    let mut body = String::new();
    for Section { id, title, body: inner } in sections {
        let title = escape(title);
        let _ = write!(menu, "<a href=\"#{id}\">{title}</a>");
        let _ = writeln!(body, "<section id=\"{id}\"><h2>{title}</h2>{inner}</section>");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title>\n<style>{css}</style></head>\n<body>\n<header><h1>{title}</h1><nav>{menu}</nav></header>\n\
         <main>\n{head}\n{body}</main>\n</body></html>\n",
        title = escape(title),
        css = include_str!("report.css"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (text, wanted) in cases {
            assert_eq!(base64(text.as_bytes()), wanted);
        }
    }

    #[test]
    fn text_cannot_become_markup() {
        let page = page("<script>", "", &[Section { id: "a", title: "\"x\" & <b>".into(), body: String::new() }]);
        assert!(!page.contains("<script>") && !page.contains("<b>"));
    }
}
