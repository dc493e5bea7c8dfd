//! Between the generated types and those that all plugins see. A WIT that changes stops the build here.

use super::imports::anagama::plugin as wit;
use crate::{Annotation, Error, ErrorKind, Tag};

/// Two enums of the same cases.
macro_rules! same_cases {
    ($to:ident, $from:ident, $ours:path, $theirs:path, $($case:ident),+) => {
        pub(crate) fn $to(value: $ours) -> $theirs {
            use {$ours as Ours, $theirs as Theirs};
            match value { $(Ours::$case => Theirs::$case),+ }
        }
        #[allow(dead_code)]
        pub(crate) fn $from(value: $theirs) -> $ours {
            use {$ours as Ours, $theirs as Theirs};
            match value { $(Theirs::$case => Ours::$case),+ }
        }
    };
}

same_cases!(
    kind_out,
    kind_in,
    crate::ErrorKind,
    wit::types::ErrorKind,
    InvalidInput,
    NotFound,
    Denied,
    Unavailable,
    Timeout,
    Cancelled,
    RateLimited,
    TooLarge,
    Unsupported,
    Internal
);
same_cases!(
    dtype_out,
    dtype_in,
    crate::Dtype,
    wit::types::Dtype,
    Uint8,
    Uint32,
    Int64,
    Float16,
    Bfloat16,
    Float32,
    Float64
);
same_cases!(format_out, format_in, crate::PixelFormat, wit::images::PixelFormat, L8, Rgb8, Rgba8);
same_cases!(filter_out, filter_in, crate::Filter, wit::images::Filter, Nearest, Triangle, CatmullRom, Lanczos3, Area);
same_cases!(fit_out, fit_in, crate::Fit, wit::images::Fit, Stretch, Cover, Pad, Contain);
same_cases!(layout_out, layout_in, crate::Layout, wit::images::Layout, Nchw, Nhwc);
same_cases!(order_out, order_in, crate::ChannelOrder, wit::images::ChannelOrder, Rgb, Bgr);
same_cases!(codec_out, codec_in, crate::Codec, wit::images::Codec, Png, Jpeg, Webp);
same_cases!(perceptual_out, perceptual_in, crate::Perceptual, wit::images::Perceptual, Ahash, Dhash, Phash);
same_cases!(level_out, level_in, crate::control::Level, wit::control::Level, Trace, Debug, Info, Warn, Error);
same_cases!(method_out, method_in, crate::http::Method, wit::http::Method, Get, Head, Post);

pub(crate) fn error_out(e: Error) -> wit::types::Error {
    wit::types::Error { kind: kind_out(e.kind), message: e.message, retry_after_ms: e.retry_after_ms, extra: e.extra }
}

pub(crate) fn error_in(e: wit::types::Error) -> Error {
    let kind: ErrorKind = kind_in(e.kind);
    Error { kind, message: e.message, retry_after_ms: e.retry_after_ms, extra: e.extra }
}

pub(crate) fn annotation_out(a: Annotation) -> wit::types::Annotation {
    let tag = |t: Tag| wit::types::Tag { name: t.name, score: t.score, category: t.category };
    wit::types::Annotation { text: a.text, tags: a.tags.into_iter().map(tag).collect(), extra: a.extra }
}

pub(crate) fn annotation_in(a: wit::types::Annotation) -> Annotation {
    let tag = |t: wit::types::Tag| Tag { name: t.name, score: t.score, category: t.category };
    Annotation { text: a.text, tags: a.tags.into_iter().map(tag).collect(), extra: a.extra }
}

/// The image of a request is the plugin's own.
pub(crate) fn image_in(image: wit::images::Image) -> crate::Image {
    crate::Image::from_raw(image.take_handle().into())
}

pub(crate) fn image_out(image: crate::Image) -> wit::images::Image {
    // SAFETY: the handle is a live image's and is given away here, once.
    unsafe { wit::images::Image::from_handle(image.into_raw() as u32) }
}
