//! Files in llama.cpp's GGUF form, which ComfyUI-GGUF uses for large transformers: blocks of few bits with a factor each.
//! The header is parsed here, with every length checked against the file; candle widens the blocks.

use super::file::{Dtype, Entry};
use candle_core::quantized::{GgmlDType, ggml_file::qtensor_from_ggml};
use candle_core::{Device, Result as TensorResult};
use std::collections::{BTreeMap, HashMap};

/// The first bytes of such a file.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";

/// A number format of blocks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// In the file (`enum ggml_type` of ggml.h).
    id: u32,
    pub(crate) name: &'static str,
    dtype: GgmlDType,
}

/// The formats that candle widens; F32, F16 and BF16 are read like those of safetensors.
static BLOCKS: &[Block] = &[
    Block { id: 2, name: "Q4_0", dtype: GgmlDType::Q4_0 },
    Block { id: 3, name: "Q4_1", dtype: GgmlDType::Q4_1 },
    Block { id: 6, name: "Q5_0", dtype: GgmlDType::Q5_0 },
    Block { id: 7, name: "Q5_1", dtype: GgmlDType::Q5_1 },
    Block { id: 8, name: "Q8_0", dtype: GgmlDType::Q8_0 },
    Block { id: 10, name: "Q2_K", dtype: GgmlDType::Q2K },
    Block { id: 11, name: "Q3_K", dtype: GgmlDType::Q3K },
    Block { id: 12, name: "Q4_K", dtype: GgmlDType::Q4K },
    Block { id: 13, name: "Q5_K", dtype: GgmlDType::Q5K },
    Block { id: 14, name: "Q6_K", dtype: GgmlDType::Q6K },
];

const PLAIN: &[(u32, Dtype)] = &[(0, Dtype::F32), (1, Dtype::F16), (30, Dtype::Bf16)];

impl Block {
    /// Bytes of `values` values, if these are whole blocks.
    fn bytes(&self, values: usize) -> Option<usize> {
        let size = self.dtype.block_size();
        values.is_multiple_of(size).then(|| values / size)?.checked_mul(self.dtype.type_size())
    }

    /// Values `first..` of a tensor's blocks, as many as `out` takes.
    pub(super) fn widen(&self, bytes: &[u8], first: usize, out: &mut [f32]) -> TensorResult<()> {
        let (values, size) = (self.dtype.block_size(), self.dtype.type_size());
        let (from, to) = (first / values, (first + out.len()).div_ceil(values));
        // candle reads the blocks as structs, which must not lie at odd addresses.
        let bytes = &bytes[from * size..to * size];
        let mut aligned = vec![0u64; bytes.len().div_ceil(8)];
        let place: &mut [u8] = bytemuck::cast_slice_mut(&mut aligned);
        place[..bytes.len()].copy_from_slice(bytes);
        let blocks = qtensor_from_ggml(self.dtype, &place[..bytes.len()], vec![(to - from) * values], &Device::Cpu)?;
        let wide = blocks.dequantize(&Device::Cpu)?.to_vec1::<f32>()?;
        out.copy_from_slice(&wide[first - from * values..][..out.len()]);
        Ok(())
    }
}

/// Entries and texts of the header, and where the tensors' bytes begin.
pub(super) type Header = (BTreeMap<String, Entry>, HashMap<String, String>, usize);

/// Reads the header of a whole file. The error says what is wrong with it.
pub(super) fn parse(file: &[u8]) -> Result<Header, String> {
    let mut at = Cursor { rest: file };
    at.take(MAGIC.len())?;
    let version = at.u32()?;
    if !(2..=3).contains(&version) {
        return Err(format!("version {version} of GGUF, expected 2 or 3"));
    }
    let (tensors, settings) = (at.u64()?, at.u64()?);
    let mut texts = HashMap::new();
    let mut alignment = 32;
    for _ in 0..settings {
        let key = at.text()?;
        let kind = at.u32()?;
        match (kind, key.as_str()) {
            (STRING, _) => drop(texts.insert(key, at.text()?)),
            (4, "general.alignment") => alignment = at.u32()? as usize,
            _ => at.skip(kind, 0)?,
        }
    }
    if !alignment.is_power_of_two() || alignment > 1 << 20 {
        return Err(format!("`general.alignment` is {alignment}, expected a power of two"));
    }
    let mut found = Vec::new();
    for _ in 0..tensors {
        let name = at.text()?;
        found.push(at.tensor().map_err(|what| format!("tensor `{name}`: {what}")).map(|t| (name, t))?);
    }
    let start = (file.len() - at.rest.len()).next_multiple_of(alignment);
    let room = file.len().saturating_sub(start);
    let mut entries = BTreeMap::new();
    for (name, (shape, dtype, offset)) in found {
        let values = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        let bytes = values.and_then(|values| match dtype {
            // A row is whole blocks, so that rows can be read by themselves.
            Dtype::Block(block) => shape.last().and_then(|&row| block.bytes(row)).and_then(|_| block.bytes(values)),
            other => values.checked_mul(other.size()),
        });
        let to = bytes.and_then(|bytes| offset.checked_add(bytes)).filter(|to| *to <= room);
        let Some(to) = to else {
            return Err(format!("tensor `{name}`: {dtype:?} of shape {shape:?} at {offset} does not fit {room} bytes"));
        };
        if entries.insert(name.clone(), Entry { dtype, shape, range: offset..to }).is_some() {
            return Err(format!("tensor `{name}` is there twice"));
        }
    }
    // Two tensors on the same bytes would be a way to make a small file huge.
    let mut ranges: Vec<_> = entries.iter().map(|(name, e)| (e.range.start, e.range.end, name)).collect();
    ranges.sort();
    match ranges.windows(2).find(|pair| pair[1].0 < pair[0].1) {
        Some(pair) => Err(format!("tensors `{}` and `{}` overlap", pair[0].2, pair[1].2)),
        None => Ok((entries, texts, start)),
    }
}

/// What is left to read.
struct Cursor<'a> {
    rest: &'a [u8],
}

/// Bytes of a setting of each kind (`enum gguf_type`); 0: not of fixed size.
const SETTING_BYTES: [usize; 13] = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
const STRING: u32 = 8;
const ARRAY: u32 = 9;
/// Lists of lists are not nested deeper in any file that means well.
const DEPTH: usize = 4;

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .rest
            .split_at_checked(n)
            .ok_or_else(|| format!("the header asks for {n} bytes where the file has {} left", self.rest.len()))?;
        self.rest = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, String> {
        let mut raw = [0; 4];
        raw.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(raw))
    }

    fn u64(&mut self) -> Result<u64, String> {
        let mut raw = [0; 8];
        raw.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(raw))
    }

    /// A length or size, which this machine must be able to address.
    fn size(&mut self) -> Result<usize, String> {
        let size = self.u64()?;
        usize::try_from(size).map_err(|_| format!("a size of {size}"))
    }

    fn text(&mut self) -> Result<String, String> {
        let length = self.size()?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// Passes over a setting's value.
    fn skip(&mut self, kind: u32, depth: usize) -> Result<(), String> {
        match (kind, SETTING_BYTES.get(kind as usize)) {
            (STRING, _) => drop(self.text()?),
            (ARRAY, _) if depth >= DEPTH => return Err(format!("lists nested deeper than {DEPTH}")),
            (ARRAY, _) => {
                let (kind, length) = (self.u32()?, self.size()?);
                match SETTING_BYTES.get(kind as usize) {
                    Some(&bytes) if bytes > 0 => drop(self.take(length.saturating_mul(bytes))?),
                    // Each takes at least eight bytes, so that this ends with the file.
                    _ => (0..length).try_for_each(|_| self.skip(kind, depth + 1))?,
                }
            }
            (_, Some(&bytes)) => drop(self.take(bytes)?),
            _ => return Err(format!("a setting of the unknown kind {kind}")),
        }
        Ok(())
    }

    /// Shape, format and offset.
    fn tensor(&mut self) -> Result<(Vec<usize>, Dtype, usize), String> {
        let rank = self.u32()?;
        if rank > 4 {
            return Err(format!("{rank} dimensions, expected at most 4"));
        }
        let mut shape = (0..rank).map(|_| self.size()).collect::<Result<Vec<_>, _>>()?;
        // The fastest dimension comes first in the file.
        shape.reverse();
        let id = self.u32()?;
        let plain = PLAIN.iter().find(|row| row.0 == id).map(|row| row.1);
        let dtype =
            plain.or_else(|| BLOCKS.iter().find(|block| block.id == id).map(Dtype::Block)).ok_or_else(|| {
                let known: Vec<_> = BLOCKS.iter().map(|block| block.name).collect();
                format!("number format {id} is not read here; known are F32, F16, BF16, {}", known.join(", "))
            })?;
        Ok((shape, dtype, self.size()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::WeightFile;
    use candle_core::Tensor;
    use candle_core::quantized::{QTensor, gguf_file};

    fn values(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) / 25.0).collect()
    }

    fn open(bytes: &[u8]) -> crate::Result<WeightFile> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.gguf");
        std::fs::write(&path, bytes).unwrap();
        WeightFile::open(&path)
    }

    fn good() -> Vec<u8> {
        let wide = Tensor::from_vec(values(4 * 512), (4, 512), &Device::Cpu).unwrap();
        let names: Vec<String> = BLOCKS.iter().map(|block| format!("{}.weight", block.name)).collect();
        let mut tensors: Vec<QTensor> =
            BLOCKS.iter().map(|block| QTensor::quantize(&wide, block.dtype).unwrap()).collect();
        tensors.extend([GgmlDType::F32, GgmlDType::F16, GgmlDType::BF16].map(|d| QTensor::quantize(&wide, d).unwrap()));
        let plain = ["F32.weight", "F16.weight", "BF16.weight"];
        let names: Vec<&str> = names.iter().map(String::as_str).chain(plain).collect();
        let list: Vec<(&str, &QTensor)> = names.into_iter().zip(&tensors).collect();
        let text = gguf_file::Value::String("flux".into());
        let numbers = gguf_file::Value::Array(vec![gguf_file::Value::F32(1.0); 3]);
        let texts = gguf_file::Value::Array(vec![gguf_file::Value::String("a".into()); 2]);
        let settings = [("general.architecture", &text), ("some.numbers", &numbers), ("some.texts", &texts)];
        let mut bytes = std::io::Cursor::new(Vec::new());
        gguf_file::write(&mut bytes, &settings, &list).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn blocks_are_widened_as_candle_widens_them_from_any_row_on() {
        let bytes = good();
        let file = std::sync::Arc::new(open(&bytes).unwrap());
        assert_eq!(file.metadata["general.architecture"], "flux");
        assert_eq!(file.entries.len(), BLOCKS.len() + 3);
        let mut reader = std::io::Cursor::new(bytes);
        let content = gguf_file::Content::read(&mut reader).unwrap();
        for key in file.entries.keys() {
            let want = content.tensor(&mut reader, key, &Device::Cpu).unwrap().dequantize(&Device::Cpu).unwrap();
            let source = file.source(key).unwrap();
            assert_eq!(source.shape(), [4, 512]);
            assert_eq!(source.tensor().unwrap().to_vec2::<f32>().unwrap(), want.to_vec2::<f32>().unwrap(), "{key}");
            let mut rows = vec![0.0; 2 * 512];
            source.rows(1, &mut rows).unwrap();
            assert_eq!(rows, want.narrow(0, 1, 2).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap());
        }
    }

    #[test]
    fn lying_headers_are_errors() {
        let bytes = good();
        for length in (0..400).chain([bytes.len() - 1]) {
            assert!(open(&bytes[..length]).is_err(), "{length} bytes");
        }
        // Every byte of the header in turn is as wrong as it can be: an error or another file, but no panic.
        let end = bytes.len() - 4 * 512 * 4;
        for at in 0..end.min(2000) {
            for wrong in [0, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = wrong;
                if let Ok(entries) = parse(&bytes) {
                    drop(entries);
                }
            }
        }
        let header = |tensors: u64, settings: u64, rest: &[u8]| {
            [MAGIC, &3u32.to_le_bytes()[..], &tensors.to_le_bytes(), &settings.to_le_bytes(), rest].concat()
        };
        let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        let number = |n: u32| n.to_le_bytes().to_vec();
        let tensor = |shape: &[u64], id: u32, offset: u64| {
            let dims: Vec<u8> = shape.iter().flat_map(|d| d.to_le_bytes()).collect();
            [text("a"), number(shape.len() as u32), dims, number(id), offset.to_le_bytes().to_vec()].concat()
        };
        let nested =
            [text("k"), number(ARRAY), [number(ARRAY), 1u64.to_le_bytes().to_vec()].concat().repeat(9)].concat();
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (header(u64::MAX, 0, &[]), "asks for 8 bytes where the file has 0 left"),
            (header(0, u64::MAX, &[]), "asks for 8 bytes"),
            (header(0, 1, &[text("general.alignment"), number(4), number(0)].concat()), "expected a power of two"),
            (header(0, 1, &[text("k"), number(STRING), u64::MAX.to_le_bytes().to_vec()].concat()), "asks for"),
            (header(0, 1, &[text("k"), number(99)].concat()), "unknown kind 99"),
            (header(0, 1, &nested), "nested deeper"),
            (header(1, 0, &tensor(&[32, u64::MAX / 2], 8, 0)), "does not fit"),
            (header(1, 0, &tensor(&[33], 8, 0)), "does not fit"),
            (header(1, 0, &tensor(&[32], 8, u64::MAX)), "does not fit"),
            (header(1, 0, &tensor(&[1, 1, 1, 1, 1], 0, 0)), "expected at most 4"),
            (header(1, 0, &tensor(&[1], 77, 0)), "number format 77"),
            (header(2, 0, &[tensor(&[2], 0, 0), tensor(&[2], 0, 0), vec![0; 64]].concat()), "there twice"),
        ];
        for (bytes, expected) in cases {
            let error = open(&bytes).err().unwrap().to_string();
            assert!(error.contains(expected) && error.contains("some.gguf"), "{error}");
        }
    }
}
