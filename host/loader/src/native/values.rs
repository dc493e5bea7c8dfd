//! The JSON records and codes that cross the C tables; names and order are those of the WIT.

use crate::services::{files::Entry, http};
use data::{Dtype, ModelInfo, WriteReply, WriteRequest};
use serde_json::{Value, json};
use spec::{ErrorKind, PluginError};

/// Enums by their position in the WIT.
pub(super) trait Code: Copy + 'static {
    const CASES: &'static [Self];
    const NAME: &'static str;

    fn from_code(code: u32) -> Result<Self, PluginError> {
        Self::CASES.get(code as usize).copied().ok_or_else(|| {
            let message = format!("{}: expected a code below {}, found {code}", Self::NAME, Self::CASES.len());
            PluginError::new(ErrorKind::InvalidInput, message)
        })
    }
}

macro_rules! codes {
    ($($t:path = $name:literal [$($case:ident),*];)*) => {$(
        impl Code for $t {
            const CASES: &'static [Self] = &[$(Self::$case),*];
            const NAME: &'static str = $name;
        }
    )*};
}
codes! {
    data::PixelFormat = "pixel format" [L8, Rgb8, Rgba8];
    data::Filter = "filter" [Nearest, Triangle, CatmullRom, Lanczos3, Area];
    data::Fit = "fit" [Stretch, Cover, Pad, Contain];
    data::Layout = "layout" [Nchw, Nhwc];
    data::ChannelOrder = "channel order" [Rgb, Bgr];
    data::Codec = "codec" [Png, Jpeg, Webp];
    data::Perceptual = "perceptual hash" [Ahash, Dhash, Phash];
    data::Dtype = "dtype" [U8, U32, I64, F16, Bf16, F32, F64];
    crate::Level = "level" [Trace, Debug, Info, Warn, Error];
}

pub(super) fn dtype_code(dtype: Dtype) -> u32 {
    Dtype::CASES.iter().position(|d| *d == dtype).unwrap_or_default() as u32
}

pub(super) fn format_code(format: data::PixelFormat) -> u32 {
    data::PixelFormat::CASES.iter().position(|f| *f == format).unwrap_or_default() as u32
}

pub(super) fn resize_spec(s: &plugin_abi::ResizeSpec) -> Result<data::ResizeSpec, PluginError> {
    Ok(data::ResizeSpec {
        width: s.width,
        height: s.height,
        fit: Code::from_code(s.fit)?,
        filter: Code::from_code(s.filter)?,
        pad_color: s.pad_color,
    })
}

pub(super) fn tensor_spec(s: &plugin_abi::TensorSpec) -> Result<data::TensorSpec, PluginError> {
    Ok(data::TensorSpec {
        resize: if s.has_resize == 0 { None } else { Some(resize_spec(&s.resize)?) },
        layout: Code::from_code(s.layout)?,
        order: Code::from_code(s.order)?,
        scale: s.scale,
        mean: s.mean,
        std: s.std,
        dtype: Code::from_code(s.dtype)?,
    })
}

/// WIT `generation.request`: the model, and what it shall write.
pub(super) fn write_request(json: &str) -> Result<(String, WriteRequest), PluginError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    struct Request {
        model: String,
        #[serde(default)]
        system: Option<String>,
        prompt: String,
        max_tokens: u32,
        temperature: f32,
        top_p: f32,
        seed: u64,
        #[serde(default)]
        stop: Vec<String>,
        #[serde(default)]
        extra: Option<String>,
    }
    let r: Request = serde_json::from_str(json)
        .map_err(|e| PluginError::new(ErrorKind::InvalidInput, format!("generation request: {e}")))?;
    let extra = crate::services::models::extra(r.extra.as_deref())?;
    let Request { model, system, prompt, max_tokens, temperature, top_p, seed, stop, .. } = r;
    Ok((model, WriteRequest { system, prompt, max_tokens, temperature, top_p, seed, stop, extra }))
}

/// WIT `generation.reply`.
pub(super) fn write_reply(r: &WriteReply) -> Value {
    json!({"text": r.text, "tokens": r.tokens, "finished": r.finished})
}

/// WIT `model-info`.
pub(super) fn model_info(m: &ModelInfo) -> Value {
    const NAMES: [&str; 7] = ["uint8", "uint32", "int64", "float16", "bfloat16", "float32", "float64"];
    let io = |list: &[data::IoDesc]| -> Vec<Value> {
        let one = |d: &data::IoDesc| {
            let dtype = NAMES[dtype_code(d.dtype) as usize];
            json!({"name": d.name, "dtype": dtype, "shape": d.shape})
        };
        list.iter().map(one).collect()
    };
    json!({
        "name": m.name, "family": m.family, "digest": m.digest, "device": m.device,
        "inputs": io(&m.inputs), "outputs": io(&m.outputs), "assets": m.assets,
    })
}

/// WIT `files.entry`.
pub(super) fn entry(e: &Entry) -> Value {
    json!({"path": e.path, "is-dir": e.is_dir, "size": e.size, "modified-ms": e.modified_ms})
}

/// WIT `http.request`; the body comes beside it.
pub(super) fn request(text: &str, body: Option<&[u8]>) -> Result<http::Request, PluginError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Request {
        method: String,
        url: String,
        #[serde(default)]
        headers: Vec<(String, String)>,
        timeout_ms: Option<u32>,
        max_bytes: Option<u64>,
    }
    let invalid = |m: String| PluginError::new(ErrorKind::InvalidInput, format!("http request: {m}"));
    let r: Request = serde_json::from_str(text).map_err(|e| invalid(e.to_string()))?;
    let method = match r.method.as_str() {
        "get" => http::Method::Get,
        "head" => http::Method::Head,
        "post" => http::Method::Post,
        other => return Err(invalid(format!("expected method get, head or post, found {other:?}"))),
    };
    Ok(http::Request {
        method,
        url: r.url,
        headers: r.headers,
        body: body.map(<[u8]>::to_vec),
        timeout_ms: r.timeout_ms,
        max_bytes: r.max_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_positions_and_checked() {
        assert_eq!(data::Filter::from_code(2).unwrap(), data::Filter::CatmullRom);
        assert!(data::Fit::from_code(4).unwrap_err().message.contains("below 4"));
        assert_eq!(dtype_code(Dtype::F32), 5);
    }

    #[test]
    fn requests_are_read_from_json() {
        let r = request(r#"{"method":"get","url":"https://a/","headers":[["a","b"]],"timeout-ms":5}"#, None).unwrap();
        assert_eq!((r.method, r.timeout_ms, r.max_bytes), (http::Method::Get, Some(5), None));
        assert!(request(r#"{"method":"put","url":"https://a/"}"#, None).is_err());
    }
}
