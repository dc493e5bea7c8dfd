//! Misbehaves on demand, in every kind: the other side of the isolation report. Each kind does what its setting `how`
//! names to the items that it is meant for, and its work to all others.

mod crash;
mod filter;
mod score;
mod source;

use plugin_sdk::http::{self, Request};
use plugin_sdk::{
    Annotation, CaptionRequest, Captioner, Error, ErrorKind, Image, Info, Inputs, Result, Tag, control, export, info,
    storage,
};

/// What to do, and to whom.
#[derive(Inputs)]
pub struct Settings {
    /// Which misbehaviour.
    #[input(default = "nothing")]
    how: String,
    /// Pictures of this width get it, all others are described.
    #[input(default = 13, range = 0..=1_000_000)]
    width: u32,
    /// An address for what needs one.
    #[input(default = "")]
    url: String,
}

/// The captioner.
pub struct Misbehaves(Settings);

impl Captioner for Misbehaves {
    type Settings = Settings;
    const INFO: Info = info!("test.misbehaves", "Misbehaves");

    fn open(settings: Settings) -> Result<Self> {
        match settings.how.as_str() {
            "crash-in-open" => crash::now("panic"),
            "refuse-in-open" => return Err(Error::new(ErrorKind::InvalidInput, "never opens")),
            _ => {}
        }
        Ok(Self(settings))
    }

    fn max_batch(&self) -> u32 {
        8
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        let hit = batch.iter().any(|r| r.image.width() == self.0.width);
        let mut answers: Vec<_> = batch.iter().map(|request| self.one(&request.image)).collect();
        if hit {
            match self.0.how.as_str() {
                "too-many" => answers.push(Ok(Annotation::default())),
                "too-few" => drop(answers.pop()),
                "reversed" => answers.reverse(),
                _ => {}
            }
        }
        Ok(answers)
    }
}

impl Misbehaves {
    fn one(&self, image: &Image) -> Result<Annotation> {
        let width = image.width();
        if width == self.0.width
            && let Some(annotation) = self.misbehave(image)?
        {
            return Ok(annotation);
        }
        Ok(text(format!("{width} wide")))
    }

    /// None: what is done shows elsewhere.
    fn misbehave(&self, image: &Image) -> Result<Option<Annotation>> {
        let annotation = match self.0.how.as_str() {
            "leak-images" => {
                let mut kept = Vec::new();
                while kept.len() < 1_000_000 {
                    kept.push(image.share()?);
                }
                text("a million images".to_owned())
            }
            "large-images" => {
                let mut kept = Vec::new();
                loop {
                    let spec = plugin_sdk::ResizeSpec {
                        width: 4096,
                        height: 4096,
                        fit: plugin_sdk::Fit::Stretch,
                        filter: plugin_sdk::Filter::Nearest,
                        pad_color: 0,
                    };
                    kept.push(image.resize(&spec)?);
                }
            }
            "one-gigabyte" => text("x".repeat(1 << 30)),
            "long-text" => text("x".repeat(100 << 20)),
            "many-tags" => tags((0..200_000).map(|n| format!("tag{n}")).collect()),
            "long-tag" => tags(vec!["x".repeat(5000)]),
            "nan" => scored(f32::NAN),
            "infinite" => scored(f32::INFINITY),
            "odd-tags" => tags(vec!["a\0b".into(), "exe\u{202e}gnp".into(), "bell\u{7}".into(), "red hair".into()]),
            "deep-extra" => Annotation { extra: Some("[".repeat(200_000)), ..Annotation::default() },
            "png-bomb" => return decode(&png(60_000)),
            "jpeg-bomb" => return decode(&jpeg(65_500)),
            "zip-bomb" => return decode(b"PK\x03\x04\x14\0\0\0\x08\0 and then 42 terabytes"),
            "broken-png" => return decode(&png(60_000)[..30]),
            "store" => {
                for n in 0.. {
                    storage::set(&format!("{n}"), &vec![7; 256 << 10])?;
                }
                return Ok(None);
            }
            "fetch" => {
                let response = http::fetch(&Request { url: self.0.url.clone(), ..Request::default() })?;
                text(format!("{} and {} bytes", response.status, response.body.len()))
            }
            "fetch-image" => {
                let fetched = http::fetch_image(&Request { url: self.0.url.clone(), ..Request::default() })?;
                text(format!("{} pixels wide", fetched.width()))
            }
            "say-much" => {
                for _ in 0..2000 {
                    control::log(control::Level::Info, &"x".repeat(100_000));
                    control::progress(u64::MAX, Some(0), &"y".repeat(100_000));
                }
                return Ok(None);
            }
            crash => {
                crash::now(crash);
                return Ok(None);
            }
        };
        Ok(Some(annotation))
    }
}

fn text(text: String) -> Annotation {
    Annotation { text: Some(text), ..Annotation::default() }
}

fn tags(names: Vec<String>) -> Annotation {
    let tags = names.into_iter().map(|name| Tag { name, ..Tag::default() }).collect();
    Annotation { tags, ..Annotation::default() }
}

fn scored(score: f32) -> Annotation {
    Annotation { tags: vec![Tag { name: "a".into(), score: Some(score), category: None }], ..Annotation::default() }
}

fn decode(bytes: &[u8]) -> Result<Option<Annotation>> {
    let image = Image::decode(bytes)?;
    Ok(Some(text(format!("decoded {}", image.width()))))
}

/// The head of a PNG of this many pixels a side. What its checksum should be does not matter: nobody may get as far as
/// making room for the pixels.
fn png(side: u32) -> Vec<u8> {
    let mut head = b"IHDR".to_vec();
    head.extend(side.to_be_bytes());
    head.extend(side.to_be_bytes());
    head.extend([8, 6, 0, 0, 0]);
    let sum = crc(&head);
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend(head);
    bytes.extend(sum.to_be_bytes());
    bytes.extend(b"\0\0\0\0IDAT");
    bytes.extend(crc(b"IDAT").to_be_bytes());
    bytes
}

/// The head of a JPEG of this many pixels a side, without any.
fn jpeg(side: u16) -> Vec<u8> {
    let [high, low] = side.to_be_bytes();
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, high, low, high, low, 3];
    bytes.extend([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]);
    bytes.extend([0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0, 0xff, 0xd9]);
    bytes
}

/// The checksum of PNG.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 })
    })
}

export!(Misbehaves: Captioner, source::Endless: DatasetSource, filter::Odd: TagFilter, score::NotNumbers: Evaluator);
