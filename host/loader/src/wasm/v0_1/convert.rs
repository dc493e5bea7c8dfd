//! Between the records of the WIT and the host's types.

use super::wit::{control, files, http, images, inference, schema, types};
use crate::services::files::Entry;
use crate::services::http as service;
use data::{Dtype, IoDesc, ModelInfo};

/// `wit ↔ host` for enums whose cases have the same names.
macro_rules! same_cases {
    ($($wit:path = $host:path { $($case:ident),* })*) => {$(
        impl From<$wit> for $host {
            fn from(v: $wit) -> Self {
                match v { $(<$wit>::$case => <$host>::$case),* }
            }
        }
        impl From<$host> for $wit {
            fn from(v: $host) -> Self {
                match v { $(<$host>::$case => <$wit>::$case),* }
            }
        }
    )*};
}

same_cases! {
    images::PixelFormat = data::PixelFormat { L8, Rgb8, Rgba8 }
    images::Filter = data::Filter { Nearest, Triangle, CatmullRom, Lanczos3, Area }
    images::Fit = data::Fit { Stretch, Cover, Pad, Contain }
    images::Layout = data::Layout { Nchw, Nhwc }
    images::ChannelOrder = data::ChannelOrder { Rgb, Bgr }
    images::Codec = data::Codec { Png, Jpeg, Webp }
    images::Perceptual = data::Perceptual { Ahash, Dhash, Phash }
    control::Level = crate::Level { Trace, Debug, Info, Warn, Error }
    http::Method = service::Method { Get, Head, Post }
    types::ErrorKind = spec::ErrorKind {
        InvalidInput, NotFound, Denied, Unavailable, Timeout, Cancelled, RateLimited, TooLarge, Unsupported, Internal
    }
    schema::Hidden = spec::Hidden { UniqueId, Prompt, DynPrompt, ExtraPngInfo }
    schema::Role = spec::Role { Node, Captioner, DatasetSource, TagFilter, Evaluator }
}

impl From<types::Dtype> for Dtype {
    fn from(v: types::Dtype) -> Self {
        match v {
            types::Dtype::Uint8 => Self::U8,
            types::Dtype::Uint32 => Self::U32,
            types::Dtype::Int64 => Self::I64,
            types::Dtype::Float16 => Self::F16,
            types::Dtype::Bfloat16 => Self::Bf16,
            types::Dtype::Float32 => Self::F32,
            types::Dtype::Float64 => Self::F64,
        }
    }
}

impl From<Dtype> for types::Dtype {
    fn from(v: Dtype) -> Self {
        match v {
            Dtype::U8 => Self::Uint8,
            Dtype::U32 => Self::Uint32,
            Dtype::I64 => Self::Int64,
            Dtype::F16 => Self::Float16,
            Dtype::Bf16 => Self::Bfloat16,
            Dtype::F32 => Self::Float32,
            Dtype::F64 => Self::Float64,
        }
    }
}

impl From<types::Error> for spec::PluginError {
    fn from(e: types::Error) -> Self {
        Self { kind: e.kind.into(), message: e.message, retry_after_ms: e.retry_after_ms, extra: e.extra }
    }
}

impl From<spec::PluginError> for types::Error {
    fn from(e: spec::PluginError) -> Self {
        Self { kind: e.kind.into(), message: e.message, retry_after_ms: e.retry_after_ms, extra: e.extra }
    }
}

impl From<types::Annotation> for spec::Annotation {
    fn from(a: types::Annotation) -> Self {
        let tag = |t: types::Tag| spec::Tag { name: t.name, score: t.score, category: t.category };
        Self { text: a.text, tags: a.tags.into_iter().map(tag).collect(), extra: a.extra }
    }
}

impl From<&spec::Annotation> for types::Annotation {
    fn from(a: &spec::Annotation) -> Self {
        let tag = |t: &spec::Tag| types::Tag { name: t.name.clone(), score: t.score, category: t.category.clone() };
        Self { text: a.text.clone(), tags: a.tags.iter().map(tag).collect(), extra: a.extra.clone() }
    }
}

impl From<images::Rect> for data::Rect {
    fn from(r: images::Rect) -> Self {
        Self { x: r.x, y: r.y, width: r.width, height: r.height }
    }
}

impl From<images::ResizeSpec> for data::ResizeSpec {
    fn from(s: images::ResizeSpec) -> Self {
        Self { width: s.width, height: s.height, fit: s.fit.into(), filter: s.filter.into(), pad_color: s.pad_color }
    }
}

impl From<images::TensorSpec> for data::TensorSpec {
    fn from(s: images::TensorSpec) -> Self {
        Self {
            resize: s.resize.map(Into::into),
            layout: s.layout.into(),
            order: s.order.into(),
            scale: s.scale,
            mean: s.mean.into(),
            std: s.std.into(),
            dtype: s.dtype.into(),
        }
    }
}

impl From<&ModelInfo> for inference::ModelInfo {
    fn from(m: &ModelInfo) -> Self {
        let io = |d: &IoDesc| inference::IoDesc { name: d.name.clone(), dtype: d.dtype.into(), shape: d.shape.clone() };
        Self {
            name: m.name.clone(),
            family: m.family.clone(),
            digest: m.digest.clone(),
            device: m.device.clone(),
            inputs: m.inputs.iter().map(io).collect(),
            outputs: m.outputs.iter().map(io).collect(),
            assets: m.assets.clone(),
        }
    }
}

impl From<http::Request> for service::Request {
    fn from(r: http::Request) -> Self {
        Self {
            method: r.method.into(),
            url: r.url,
            headers: r.headers,
            body: r.body,
            timeout_ms: r.timeout_ms,
            max_bytes: r.max_bytes,
        }
    }
}

impl From<service::Response> for http::Response {
    fn from(r: service::Response) -> Self {
        Self { status: r.status, headers: r.headers, body: r.body }
    }
}

impl From<Entry> for files::Entry {
    fn from(e: Entry) -> Self {
        Self { path: e.path, is_dir: e.is_dir, size: e.size, modified_ms: e.modified_ms }
    }
}

impl From<schema::Socket> for spec::Socket {
    fn from(s: schema::Socket) -> Self {
        use schema::Socket as W;
        match s {
            W::Int => Self::Int,
            W::Float => Self::Float,
            W::Boolean => Self::Boolean,
            W::Text => Self::Text,
            W::Json => Self::Json,
            W::Image => Self::Image,
            W::Mask => Self::Mask,
            W::Latent => Self::Latent,
            W::Conditioning => Self::Conditioning,
            W::Model => Self::Model,
            W::Clip => Self::Clip,
            W::Vae => Self::Vae,
            W::Tensor => Self::Tensor,
            W::Dataset => Self::Dataset,
            W::Annotations => Self::Annotations,
            W::Scores => Self::Scores,
            W::Named(name) => Self::from_name(&name),
            W::Any => Self::Any,
        }
    }
}

impl From<schema::Widget> for spec::Widget {
    fn from(w: schema::Widget) -> Self {
        use schema::Widget as W;
        match w {
            W::None => Self::None,
            W::Int(w) => {
                Self::Int { default: w.default, min: w.min, max: w.max, step: w.step, seed_control: w.seed_control }
            }
            W::Float(w) => Self::Float { default: w.default, min: w.min, max: w.max, step: w.step, round: w.round },
            W::Text(w) => Self::Text { default: w.default, multiline: w.multiline, placeholder: w.placeholder },
            W::Boolean(w) => Self::Boolean { default: w.default, label_on: w.label_on, label_off: w.label_off },
            W::Combo(w) => Self::Combo { options: w.options, default: w.default, multiselect: w.multiselect },
            W::HostList(name) => Self::HostList(name),
        }
    }
}

impl From<schema::Behaviour> for spec::Behaviour {
    fn from(b: schema::Behaviour) -> Self {
        let validates = |v: schema::Validates| spec::Validates { inputs: v.inputs, all: v.all, types: v.types };
        Self {
            takes_lists: b.takes_lists,
            variadic: b.variadic,
            hidden: b.hidden.into_iter().map(|(name, hidden)| (name, hidden.into())).collect(),
            raw_links: b.raw_links,
            validates: b.validates.map(validates),
            fingerprints: b.fingerprints,
            asynchronous: b.asynchronous,
            concurrency: b.concurrency,
            memory_only: b.memory_only,
        }
    }
}

impl From<schema::Node> for spec::Node {
    fn from(n: schema::Node) -> Self {
        let input = |i: schema::Input| spec::Input {
            name: i.name,
            socket: i.socket.into(),
            widget: i.widget.into(),
            required: i.required,
            is_list: i.is_list,
            lazy: i.lazy,
            tooltip: i.tooltip,
        };
        let output = |o: schema::Output| spec::Output {
            name: o.name,
            socket: o.socket.into(),
            is_list: o.is_list,
            tooltip: o.tooltip,
        };
        Self {
            id: n.id,
            role: n.role.into(),
            display_name: n.display_name,
            category: n.category,
            description: n.description,
            inputs: n.inputs.into_iter().map(input).collect(),
            outputs: n.outputs.into_iter().map(output).collect(),
            output_node: n.output_node,
            deterministic: n.deterministic,
            revision: n.revision,
            experimental: n.experimental,
            deprecated: n.deprecated,
            aliases: n.aliases,
            strict: n.strict,
            behaviour: n.behaviour.into(),
        }
    }
}

impl From<schema::Info> for spec::PluginInfo {
    fn from(i: schema::Info) -> Self {
        Self {
            id: i.id,
            version: i.version,
            title: i.title,
            description: i.description,
            authors: i.authors,
            license: i.license,
            nodes: i.nodes.into_iter().map(Into::into).collect(),
            config_schema: i.config_schema,
        }
    }
}
