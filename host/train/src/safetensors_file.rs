//! Writing safetensors with the same bytes for the same contents: tensors and metadata in the order of their names.

use anyhow::{Context, Result};
use half::{bf16, f16};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Number format of a saved network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SaveDtype {
    #[default]
    F16,
    Bf16,
    F32,
}

impl SaveDtype {
    /// Of one number.
    fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }
}

/// A tensor to be written, in f32.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// A tensor to be written, as its bytes (little endian).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Raw {
    pub(crate) name: String,
    /// As safetensors calls it: `F32`, `F64`, `U8` …
    pub(crate) dtype: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// The file's bytes from its tensors: header (length, JSON, padding to 8 bytes), then the data.
pub(crate) fn serialize(entries: &[Entry], dtype: SaveDtype, metadata: &BTreeMap<String, String>) -> Vec<u8> {
    serialize_raw(raw(entries, dtype), metadata)
}

/// As [`serialize`], for tensors of any number format.
pub(crate) fn serialize_raw(mut all: Vec<Raw>, metadata: &BTreeMap<String, String>) -> Vec<u8> {
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let mut out = header(all.iter().map(|tensor| (tensor, tensor.bytes.len())), metadata);
    all.iter().for_each(|tensor| out.extend(&tensor.bytes));
    out
}

/// Bytes of a file with these tensors and no metadata; values are not looked at.
pub(crate) fn size(entries: &[Entry], dtype: SaveDtype) -> usize {
    let mut all = raw(entries, dtype);
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let width = SaveDtype::bytes(dtype);
    let sizes: Vec<usize> = all.iter().map(|tensor| tensor.shape.iter().product::<usize>() * width).collect();
    header(all.iter().zip(sizes.iter().copied()), &BTreeMap::new()).len() + sizes.iter().sum::<usize>()
}

/// What stands in front of the data, for tensors with their numbers of bytes.
fn header<'a>(all: impl Iterator<Item = (&'a Raw, usize)>, metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut map = Map::new();
    map.insert("__metadata__".into(), json!(metadata));
    let mut start = 0;
    for (tensor, bytes) in all {
        let end = start + bytes;
        let row = json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]});
        map.insert(tensor.name.clone(), row);
        start = end;
    }
    let mut text = Value::Object(map).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut out = (text.len() as u64).to_le_bytes().to_vec();
    out.extend(text);
    out
}

/// The data part alone, which the hashes in the metadata are taken of.
pub(crate) fn data(entries: &[Entry], dtype: SaveDtype) -> Vec<u8> {
    let mut all = raw(entries, dtype);
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all.into_iter().flat_map(|tensor| tensor.bytes).collect()
}

fn raw(entries: &[Entry], dtype: SaveDtype) -> Vec<Raw> {
    let one = |entry: &Entry| {
        let values = entry.values.iter();
        let (dtype, bytes) = match dtype {
            SaveDtype::F16 => ("F16", values.flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()),
            SaveDtype::Bf16 => ("BF16", values.flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect()),
            SaveDtype::F32 => ("F32", values.flat_map(|&v| v.to_le_bytes()).collect()),
        };
        Raw { name: entry.name.clone(), dtype, shape: entry.shape.clone(), bytes }
    };
    entries.iter().map(one).collect()
}

/// Writes a file so that a crash leaves either the old one or the whole new one.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut builder = tempfile::Builder::new();
        // As any other new file, not only for its owner.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut temp = builder.prefix(".writing-").tempfile_in(folder)?;
        temp.write_all(bytes)?;
        temp.as_file().sync_all()?;
        temp.persist(path).map_err(|e| e.error)?;
        // The rename itself must reach the disk, too.
        std::fs::File::open(folder)?.sync_all()
    };
    write()
        .with_context(|| format!("cannot write {} ({} bytes); the previous file is kept", path.display(), bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    fn entries() -> Vec<Entry> {
        vec![
            Entry { name: "b".into(), shape: vec![2, 1], values: vec![1.0, -2.5] },
            Entry { name: "a".into(), shape: vec![], values: vec![8.0] },
        ]
    }

    #[test]
    fn other_readers_understand_it() {
        let metadata = BTreeMap::from([("ss_steps".to_owned(), "4".to_owned())]);
        for dtype in [SaveDtype::F16, SaveDtype::Bf16, SaveDtype::F32] {
            let bytes = serialize(&entries(), dtype, &metadata);
            let file = SafeTensors::deserialize(&bytes).unwrap();
            assert_eq!(file.tensor("b").unwrap().shape(), [2, 1]);
            assert_eq!(file.tensor("a").unwrap().shape(), [0usize; 0]);
            let (_, read) = SafeTensors::read_metadata(&bytes).unwrap();
            assert_eq!(read.metadata().as_ref().unwrap()["ss_steps"], "4");
        }
        let bytes = serialize(&entries(), SaveDtype::F32, &metadata);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("b").unwrap().data(), [1.0f32.to_le_bytes(), (-2.5f32).to_le_bytes()].concat());
    }

    #[test]
    fn a_failed_write_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        // A folder where a file should be: the write fails, and says which file.
        let blocked = path.join("below");
        assert!(write_atomic(&blocked, b"x").is_err_and(|e| e.to_string().contains("below")));
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }
}
