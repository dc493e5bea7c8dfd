//! Networks that write captions: BLIP.

use super::{failed, invalid, picture, told};
use data::{Image, WriteReply, WriteRequest, Writer};
use models::{Blip, Memory, Writing};
use parking_lot::Mutex;
use serde_json::Value;
use spec::{ErrorKind, PluginError};
use std::path::Path;
use std::sync::Arc;

pub(super) fn open(folder: &Path, memory: &Memory) -> Result<Arc<dyn Writer>, PluginError> {
    let loaded =
        models::load_blip(folder, memory).map_err(|e| PluginError::new(ErrorKind::InvalidInput, e.to_string()))?;
    told(folder, &loaded.found);
    Ok(Arc::new(Captions { net: loaded.net, last: Mutex::default() }))
}

struct Captions {
    net: Blip,
    /// What was seen of the last picture: a plugin may ask again with another seed.
    last: Mutex<Option<(String, models::Sight)>>,
}

/// What `extra` may say.
const EXTRA: [&str; 2] = ["min-tokens", "repetition-penalty"];

impl Writer for Captions {
    fn write(
        &self,
        request: &WriteRequest,
        images: &[Image],
        go_on: &dyn Fn() -> bool,
    ) -> Result<WriteReply, PluginError> {
        let how = writing(request)?;
        let [image] = images else {
            return invalid(format!("BLIP writes about one picture, found {}", images.len()));
        };
        if request.system.is_some() {
            return invalid(
                "BLIP knows no system prompt: it goes on with the prompt as a caption's beginning".to_owned(),
            );
        }
        let digest = image.digest();
        let known = self.last.lock().as_ref().filter(|(of, _)| *of == digest).map(|(_, sight)| sight.clone());
        let sight = match known {
            Some(sight) => sight,
            None => picture(image).and_then(|picture| self.net.look(&picture)).map_err(failed)?,
        };
        *self.last.lock() = Some((digest, sight.clone()));
        match self.net.write(&sight, &request.prompt, &how, go_on) {
            Ok(Some(written)) => Ok(WriteReply {
                text: written.text,
                tokens: u32::try_from(written.tokens).unwrap_or(u32::MAX),
                finished: written.finished,
            }),
            Ok(None) => Err(PluginError::new(ErrorKind::Cancelled, "told to stop")),
            Err(e @ models::Error::Tokens(_)) => invalid(e.to_string()),
            Err(e) => Err(failed(e)),
        }
    }
}

fn writing(request: &WriteRequest) -> Result<Writing, PluginError> {
    let mut how = Writing {
        max_tokens: request.max_tokens as usize,
        temperature: f64::from(request.temperature),
        top_p: f64::from(request.top_p),
        seed: request.seed,
        stop: request.stop.clone(),
        ..Writing::default()
    };
    let extra = match &request.extra {
        None | Some(Value::Null) => return Ok(how),
        Some(Value::Object(extra)) => extra,
        Some(other) => return invalid(format!("extra: expected an object, found {other}")),
    };
    for (key, value) in extra {
        match (key.as_str(), value.as_u64(), value.as_f64()) {
            ("min-tokens", Some(n), _) => how.min_tokens = usize::try_from(n).unwrap_or(usize::MAX),
            ("repetition-penalty", _, Some(p)) if p > 0.0 => how.repetition_penalty = p as f32,
            (known, ..) if EXTRA.contains(&known) => return invalid(format!("extra.{key}: unexpected {value}")),
            _ => return invalid(format!("extra: unknown `{key}`; known are {}", EXTRA.join(", "))),
        }
    }
    Ok(how)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::PathBuf;

    fn request() -> WriteRequest {
        WriteRequest {
            system: None,
            prompt: String::new(),
            max_tokens: 8,
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
            stop: Vec::new(),
            extra: None,
        }
    }

    fn blip() -> Arc<dyn Writer> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/tests/data/captioners/tiny-blip");
        open(&folder, &Memory::unlimited()).unwrap()
    }

    fn image(value: u8) -> Image {
        let pixels: Vec<u8> = (0..40 * 30 * 3).map(|i| (i as u8).wrapping_mul(value)).collect();
        Image::new(40, 30, data::PixelFormat::Rgb8, pixels).unwrap()
    }

    #[test]
    fn a_picture_gets_a_text_and_the_same_one_again() {
        let blip = blip();
        let text = |image: &Image, extra: Option<Value>| {
            blip.write(&WriteRequest { extra, ..request() }, std::slice::from_ref(image), &|| true).unwrap()
        };
        let first = text(&image(3), Some(json!({"min-tokens": 8})));
        assert_eq!((first.tokens, first.finished), (8, false));
        let other = text(&image(7), Some(json!({"min-tokens": 8})));
        assert_ne!(first.text, other.text);
        assert_eq!(text(&image(3), Some(json!({"min-tokens": 8}))), first);
        let stopped = blip.write(&request(), &[image(3)], &|| false).unwrap_err();
        assert_eq!(stopped.kind, ErrorKind::Cancelled);
    }

    #[test]
    fn what_it_cannot_do_is_refused() {
        let blip = blip();
        let says = |request: WriteRequest, images: &[Image], what: &str| {
            let e = blip.write(&request, images, &|| true).unwrap_err();
            assert!(e.kind == ErrorKind::InvalidInput && e.message.contains(what), "{what}: {e}");
        };
        says(request(), &[], "one picture, found 0");
        says(WriteRequest { system: Some("be".into()), ..request() }, &[image(1)], "no system prompt");
        says(WriteRequest { extra: Some(json!({"beams": 3})), ..request() }, &[image(1)], "unknown `beams`; known are");
        says(WriteRequest { extra: Some(json!({"min-tokens": -1})), ..request() }, &[image(1)], "extra.min-tokens");
        says(WriteRequest { prompt: "cat ".repeat(50), ..request() }, &[image(1)], "a prompt of 51 tokens");
    }
}
