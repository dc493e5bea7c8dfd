//! Asking a server: its address, its models, requests that are tried again, and pictures as data addresses.

use crate::Settings;
use crate::answer::{self, Answer};
use crate::faults::{Fault, What, of_answer};
use plugin_sdk::http::{self, Method, Request, Response};
use plugin_sdk::{Codec, Error, Filter, Fit, Image, PixelFormat, ResizeSpec, Result, control};
use serde_json::Value;

/// Longest answer: a caption has some thousand bytes, a list of models some more.
const MAX_BYTES: u64 = 4 << 20;
/// Wait before the second try, in milliseconds; it doubles.
const WAIT: u32 = 500;
const LONGEST_WAIT: u32 = 30_000;
const QUALITY: u8 = 92;

/// A server and how to reach it.
pub(crate) struct Server {
    base: String,
    headers: Vec<(String, String)>,
    timeout_ms: u32,
    model: Option<String>,
}

impl Server {
    /// # Errors
    /// What is given is no address.
    pub(crate) fn new(s: &Settings) -> Result<Self> {
        let base = base(&s.url).map_err(Error::invalid_input)?;
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        if !s.secret.trim().is_empty() {
            headers.push(("authorization".to_owned(), format!("Bearer {{secret:{}}}", s.secret.trim())));
        }
        let model = Some(s.model.trim()).filter(|m| !m.is_empty() && *m != "auto").map(str::to_owned);
        Ok(Self { base, headers, timeout_ms: s.timeout.saturating_mul(1000), model })
    }

    /// For messages.
    pub(crate) fn name(&self) -> String {
        match &self.model {
            Some(model) => format!("{} ({model})", self.base),
            None => self.base.clone(),
        }
    }

    /// The model that was last asked.
    pub(crate) fn known(&self) -> &str {
        self.model.as_deref().unwrap_or_default()
    }

    /// The model to ask: the one that is set, or the only one that the server has.
    pub(crate) fn model(&mut self, s: &Settings) -> Result<String> {
        if let Some(model) = &self.model {
            return Ok(model.clone());
        }
        let mut tried = 0;
        let names = loop {
            match self.models() {
                Ok(names) => break names,
                Err(fault) if fault.again() && tried + 1 < s.tries => wait(tried, &fault),
                Err(fault) => return Err(fault.error(&self.base)),
            }
            tried += 1;
        };
        match names.as_slice() {
            [one] => {
                self.model = Some(one.clone());
                Ok(one.clone())
            }
            [] => Err(Fault::new(What::NoModel, "the server lists no model").error(&self.base)),
            several => Err(Error::invalid_input(format!(
                "{}: the server has several models; set `model` to one of {}",
                self.base,
                several.join(", ")
            ))),
        }
    }

    fn models(&self) -> Result<Vec<String>, Fault> {
        let response = self.fetch(Method::Get, "models", None)?;
        let value = serde_json::from_slice::<Value>(&response.body).ok().filter(|_| response.status == 200);
        let list = value.as_ref().and_then(|v| v["data"].as_array());
        let list = list.ok_or_else(|| of_answer(response.status, &response.body))?;
        Ok(list.iter().filter_map(|m| m["id"].as_str().map(str::to_owned)).collect())
    }

    /// Asks for one caption. Before another try it waits.
    pub(crate) fn ask(&self, body: &Value, tried: u32) -> Result<Answer, Fault> {
        let response = self.fetch(Method::Post, "chat/completions", Some(body.to_string().into_bytes()));
        let found = response.and_then(|r| answer::read(r.status, &r.body));
        if let Err(fault) = &found
            && fault.again()
        {
            wait(tried, fault);
        }
        found
    }

    fn fetch(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Response, Fault> {
        let request = Request {
            method,
            url: format!("{}/{path}", self.base),
            headers: self.headers.clone(),
            body,
            timeout_ms: Some(self.timeout_ms),
            max_bytes: Some(MAX_BYTES),
        };
        http::fetch(&request).map_err(Fault::of_error)
    }
}

/// Waits before the next try. A server that said how long is waited for by the host.
fn wait(tried: u32, fault: &Fault) {
    if fault.wait.is_none() && fault.what != What::Avoided {
        control::sleep(WAIT.saturating_mul(1 << tried.min(6)).min(LONGEST_WAIT));
    }
}

/// `http://host:port/v1`, from what people write there.
fn base(url: &str) -> Result<String, String> {
    let url = url.trim().trim_end_matches('/');
    let url = url.strip_suffix("/chat/completions").or(url.strip_suffix("/models")).unwrap_or(url);
    let rest = url.strip_prefix("http://").or(url.strip_prefix("https://"));
    let Some(rest) = rest.filter(|r| !r.is_empty() && !r.contains(['?', '#', ' ', '@'])) else {
        return Err(format!("url: expected `http://host:port/v1`, found {url:?}"));
    };
    Ok(if rest.contains('/') { url.to_owned() } else { format!("{url}/v1") })
}

/// The picture as a data address, not larger than so many megapixels. What is transparent becomes white.
pub(crate) fn picture(image: &Image, megapixels: f64) -> Result<String> {
    let (width, height) = (f64::from(image.width()), f64::from(image.height()));
    let scale = (megapixels * 1e6 / (width * height)).sqrt();
    let side = |length: f64| ((length * scale).round() as u32).max(1);
    let spec =
        ResizeSpec { width: side(width), height: side(height), fit: Fit::Stretch, filter: Filter::Area, pad_color: 0 };
    let small = (scale < 1.0).then(|| image.resize(&spec)).transpose()?;
    let small = small.as_ref().unwrap_or(image);
    let flat = (small.format() == PixelFormat::Rgba8).then(|| on_white(small)).transpose()?;
    let bytes = flat.as_ref().unwrap_or(small).encode(Codec::Jpeg, QUALITY)?;
    Ok(format!("data:image/jpeg;base64,{}", base64(&bytes)))
}

fn on_white(image: &Image) -> Result<Image> {
    let rgba = image.read(PixelFormat::Rgba8)?;
    let blend = |p: &[u8]| -> [u8; 3] {
        let a = u32::from(p[3]);
        std::array::from_fn(|c| ((u32::from(p[c]) * a + 255 * (255 - a) + 127) / 255) as u8)
    };
    let rgb: Vec<u8> = rgba.chunks_exact(4).flat_map(blend).collect();
    Image::from_pixels(image.width(), image.height(), PixelFormat::Rgb8, &rgb)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let at = |i: usize| u32::from(part.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= part.len() { letter as char } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_test::FakeHost;

    #[test]
    fn base64_as_everywhere() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        for url in
            ["http://a:1", "http://a:1/", "http://a:1/v1", " http://a:1/v1/chat/completions ", "http://a:1/v1/models"]
        {
            assert_eq!(base(url).unwrap(), "http://a:1/v1", "{url}");
        }
        assert_eq!(base("https://a/api/v1").unwrap(), "https://a/api/v1");
        for url in ["a:1", "http://", "http://u:p@a/v1", "http://a/v1?key=1"] {
            assert!(base(url).unwrap_err().contains("expected `http://host:port/v1`"), "{url}");
        }
    }

    #[test]
    fn large_pictures_are_sent_smaller_and_transparency_white() {
        let _host = FakeHost::new().install();
        let image = Image::from_pixels(2, 1, PixelFormat::Rgba8, &[255, 0, 0, 255, 0, 0, 0, 0]).unwrap();
        let white = on_white(&image).unwrap().read(PixelFormat::Rgb8).unwrap();
        assert_eq!(white, [255, 0, 0, 255, 255, 255]);
        let large = Image::from_pixels(400, 100, PixelFormat::L8, &vec![9; 40_000]).unwrap();
        let (whole, small) = (picture(&large, 1.0).unwrap(), picture(&large, 0.01).unwrap());
        assert!(whole.starts_with("data:image/jpeg;base64,") && small.len() * 3 < whole.len());
    }
}
