//! The codecs themselves.

use super::Codec;
use crate::types::{CellFacts, Checkpoints, Choice, Grid, ImageBatch, LoraModel, LossMap, Scores, TrainOptions};
use anyhow::{Context as _, bail};
use candle_core::{Device, Tensor};
use data::{Dataset, DecodeLimits, Digest, Image, Store};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use spec::{Object, ObjectType};
use std::path::Path;
use std::sync::Arc;

pub(super) const CODECS: &[Codec] = &[
    Codec { socket: "DATASET", encode: plain::<Dataset>, decode: dataset },
    Codec { socket: "SCORES", encode: plain::<Scores>, decode: from_plain::<Scores> },
    Codec { socket: "CHECKPOINTS", encode: plain::<Checkpoints>, decode: checkpoints },
    Codec { socket: "LORA", encode: plain::<Choice>, decode: choice },
    Codec { socket: "IMAGE", encode: images, decode: from_images },
    Codec { socket: "TRAIN_OPTIONS", encode: plain::<TrainOptions>, decode: from_plain::<TrainOptions> },
    Codec { socket: "LORA_MODEL", encode: plain::<LoraModel>, decode: lora_model },
    Codec { socket: "LOSS_MAP", encode: plain::<LossMap>, decode: from_plain::<LossMap> },
    Codec { socket: "GRID", encode: grid, decode: from_grid },
];

fn open<T: ObjectType>(object: &Object) -> anyhow::Result<Arc<T>> {
    object.get().with_context(|| format!("expected {}, found another type of that name", T::SOCKET))
}

fn wrap<T: ObjectType>(value: T) -> anyhow::Result<Object> {
    Ok(Object::new(Arc::new(value)))
}

/// Types that are text as a whole.
fn plain<T: ObjectType + Serialize>(object: &Object, _: &Store) -> anyhow::Result<Json> {
    Ok(serde_json::to_value(&*open::<T>(object)?)?)
}

fn from_plain<T: ObjectType + DeserializeOwned>(json: Json, _: &Store) -> anyhow::Result<Object> {
    wrap::<T>(serde_json::from_value(json)?)
}

fn dataset(json: Json, _: &Store) -> anyhow::Result<Object> {
    let set: Dataset = serde_json::from_value(json)?;
    for item in &set.items {
        if !item.path.is_file() {
            bail!("{} is gone", item.path.display());
        }
    }
    wrap(set)
}

/// A network's file must be what it was: a damaged one is removed from the store, and training runs again.
fn check_file(path: &Path, sha256: &str, store: &Store) -> anyhow::Result<()> {
    let digest = Digest::try_from(sha256.to_owned()).map_err(anyhow::Error::msg)?;
    if path == store.blob_path(&digest) {
        store.read_blob(&digest)?;
    } else if !Digest::of_file(path).is_ok_and(|d| d == digest) {
        bail!("{} is gone or has changed", path.display());
    }
    Ok(())
}

fn checkpoints(json: Json, store: &Store) -> anyhow::Result<Object> {
    let found: Checkpoints = serde_json::from_value(json)?;
    for file in &found.files {
        check_file(&file.path, &file.sha256, store)?;
    }
    wrap(found)
}

fn choice(json: Json, store: &Store) -> anyhow::Result<Object> {
    let found: Choice = serde_json::from_value(json)?;
    check_file(&found.path, &found.sha256, store)?;
    wrap(found)
}

fn lora_model(json: Json, store: &Store) -> anyhow::Result<Object> {
    let found: LoraModel = serde_json::from_value(json)?;
    check_file(&found.path, &found.sha256, store)?;
    wrap(found)
}

/// Pictures, one behind the other in one file, so that many small ones cost one write.
#[derive(Serialize, Deserialize)]
struct Pack {
    sha256: Digest,
    lengths: Vec<usize>,
}

/// Exact values of pictures (3, h, w), f32 in little endian.
#[derive(Serialize, Deserialize)]
struct Exact {
    sha256: Digest,
    shapes: Vec<(usize, usize, usize)>,
}

fn pack<'a>(images: impl Iterator<Item = &'a Image>, store: &Store) -> anyhow::Result<Pack> {
    let mut bytes = Vec::new();
    let mut lengths = Vec::new();
    for image in images {
        let png = image.encode(data::Codec::Png, 0)?;
        lengths.push(png.len());
        bytes.extend(png);
    }
    Ok(Pack { sha256: store.put_blob(&bytes)?, lengths })
}

fn unpack(pack: &Pack, store: &Store) -> anyhow::Result<Vec<Image>> {
    let bytes = store.read_blob(&pack.sha256)?;
    let mut rest = bytes.as_slice();
    let mut images = Vec::with_capacity(pack.lengths.len());
    for length in &pack.lengths {
        let (png, after) = rest.split_at_checked(*length).context("the file of pictures is too short")?;
        images.push(Image::decode(png, &DecodeLimits { max_pixels: u64::from(u32::MAX) })?);
        rest = after;
    }
    Ok(images)
}

fn images(object: &Object, store: &Store) -> anyhow::Result<Json> {
    let batch = open::<ImageBatch>(object)?;
    let mut stored = serde_json::to_value(pack(batch.images().iter(), store)?)?;
    // The 8-bit pictures follow from the exact values, and are kept beside them for readers of the store.
    if let Some(exact) = batch.exact() {
        let mut bytes = Vec::new();
        let mut shapes = Vec::with_capacity(exact.len());
        for picture in exact {
            shapes.push(picture.dims3()?);
            bytes.extend(picture.flatten_all()?.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes));
        }
        stored["exact"] = serde_json::to_value(Exact { sha256: store.put_blob(&bytes)?, shapes })?;
    }
    Ok(stored)
}

fn from_images(json: Json, store: &Store) -> anyhow::Result<Object> {
    let Some(exact) = json.get("exact") else {
        return wrap(ImageBatch::new(unpack(&serde_json::from_value(json)?, store)?));
    };
    let Exact { sha256, shapes } = serde_json::from_value(exact.clone())?;
    let bytes = store.read_blob(&sha256)?;
    let mut values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let mut pictures = Vec::with_capacity(shapes.len());
    for shape in shapes {
        let count = shape.0 * shape.1 * shape.2;
        let picture: Vec<f32> = values.by_ref().take(count).collect();
        if picture.len() != count {
            bail!("the file of exact pictures is too short");
        }
        pictures.push(Tensor::from_vec(picture, shape, &Device::Cpu)?);
    }
    wrap(ImageBatch::from_pixels(pictures)?)
}

fn grid(object: &Object, store: &Store) -> anyhow::Result<Json> {
    let grid = open::<Grid>(object)?;
    let facts: Vec<CellFacts> = grid.cells.iter().map(crate::types::Cell::facts).collect();
    let pictures = pack(grid.cells.iter().map(|c| &c.image), store)?;
    let Grid { title, row_axis, rows, col_axis, cols, cells: _, settings } = &*grid;
    Ok(json!({
        "title": title, "row_axis": row_axis, "rows": rows, "col_axis": col_axis, "cols": cols,
        "settings": settings, "cells": facts, "pictures": pictures,
    }))
}

fn from_grid(json: Json, store: &Store) -> anyhow::Result<Object> {
    #[derive(Deserialize)]
    struct Stored {
        title: String,
        row_axis: String,
        rows: Vec<String>,
        col_axis: String,
        cols: Vec<String>,
        settings: Json,
        cells: Vec<CellFacts>,
        pictures: Pack,
    }
    let Stored { title, row_axis, rows, col_axis, cols, settings, cells, pictures } = serde_json::from_value(json)?;
    let images = unpack(&pictures, store)?;
    if images.len() != cells.len() {
        bail!("expected {} pictures, found {}", cells.len(), images.len());
    }
    let cells = cells.into_iter().zip(images).map(|(facts, image)| facts.with(image)).collect();
    wrap(Grid { title, row_axis, rows, col_axis, cols, cells, settings })
}
