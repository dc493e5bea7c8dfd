//! Binary frames: a big-endian number that says what follows, then that.

use serde_json::Value;

const PREVIEW: u32 = 1;
const TEXT: u32 = 3;
const PREVIEW_WITH_METADATA: u32 = 4;

const JPEG: u32 = 1;
const PNG: u32 = 2;

/// A preview for clients that take no metadata, and one for those that do.
pub(crate) fn preview(image: &[u8], mut metadata: Value) -> (Vec<u8>, Vec<u8>) {
    let (kind, mime) = if image.starts_with(&[0xFF, 0xD8]) { (JPEG, "image/jpeg") } else { (PNG, "image/png") };
    metadata["image_type"] = mime.into();
    let metadata = metadata.to_string();
    let plain = join(&[&PREVIEW.to_be_bytes(), &kind.to_be_bytes(), image]);
    let length = u32::try_from(metadata.len()).unwrap_or(0);
    let full = join(&[&PREVIEW_WITH_METADATA.to_be_bytes(), &length.to_be_bytes(), metadata.as_bytes(), image]);
    (plain, full)
}

/// Text that a node shows while it runs.
pub(crate) fn text(node: &str, text: &str) -> Vec<u8> {
    let length = u32::try_from(node.len()).unwrap_or(0);
    join(&[&TEXT.to_be_bytes(), &length.to_be_bytes(), node.as_bytes(), text.as_bytes()])
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn frames_are_laid_out_as_clients_read_them() {
        let (plain, full) = preview(b"\x89PNGx", json!({"node_id": "3"}));
        assert_eq!(plain, b"\0\0\0\x01\0\0\0\x02\x89PNGx");
        let metadata = br#"{"node_id":"3","image_type":"image/png"}"#;
        assert_eq!(full[..8], [0, 0, 0, 4, 0, 0, 0, metadata.len() as u8]);
        assert_eq!(&full[8..8 + metadata.len()], metadata);
        assert_eq!(&full[8 + metadata.len()..], b"\x89PNGx");
        assert_eq!(preview(b"\xFF\xD8\xFF", json!({})).0[..8], [0, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!(text("12", "ä"), b"\0\0\0\x03\0\0\0\x0212\xc3\xa4");
    }
}
