//! One weight file, mapped into memory after its header has been checked: safetensors, or llama.cpp's GGUF.

use super::gguf;
use super::mapped::Mapped;
use crate::error::{Error, Result};
use crate::ops::{self, Random, Source};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Headers above this are refused; that of a real checkpoint has under 1 MB.
const HEADER_LIMIT: u64 = 64 << 20;

/// A file whose header is consistent with itself and with the file's size.
pub(crate) struct WeightFile {
    pub(crate) path: PathBuf,
    pub(crate) entries: BTreeMap<String, Entry>,
    /// The free-form strings of the header.
    pub(crate) metadata: HashMap<String, String>,
    /// The mapped file; none for a mere list of keys.
    data: Option<memmap2::Mmap>,
    /// Where the tensors' bytes begin.
    start: usize,
}

/// One tensor of a file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(super) range: Range<usize>,
}

/// The number formats that weights come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dtype {
    F32,
    F16,
    Bf16,
    F64,
    /// 4 bits of exponent, 3 of mantissa, no infinities (Micikevicius et al. 2022, arXiv:2209.05433).
    F8E4M3,
    /// 5 bits of exponent, 2 of mantissa: the upper half of an f16.
    F8E5M2,
    /// Blocks of few bits with a factor each, of a GGUF file.
    Block(&'static gguf::Block),
    /// Integers: known, counted, but no weights of the networks here.
    Other(&'static str, usize),
}

const DTYPES: &[(&str, Dtype)] = &[
    ("F32", Dtype::F32),
    ("F16", Dtype::F16),
    ("BF16", Dtype::Bf16),
    ("F64", Dtype::F64),
    ("I64", Dtype::Other("I64", 8)),
    ("I32", Dtype::Other("I32", 4)),
    ("I16", Dtype::Other("I16", 2)),
    ("I8", Dtype::Other("I8", 1)),
    ("U64", Dtype::Other("U64", 8)),
    ("U32", Dtype::Other("U32", 4)),
    ("U16", Dtype::Other("U16", 2)),
    ("U8", Dtype::Other("U8", 1)),
    ("BOOL", Dtype::Other("BOOL", 1)),
    ("F8_E4M3", Dtype::F8E4M3),
    ("F8_E5M2", Dtype::F8E5M2),
];

impl Dtype {
    /// Bytes of one value; 0 where these are not whole.
    pub(super) fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::F64 => 8,
            Dtype::F8E4M3 | Dtype::F8E5M2 => 1,
            Dtype::Block(_) => 0,
            Dtype::Other(_, size) => size,
        }
    }
}

impl WeightFile {
    /// Opens a file after checking that its header tells the truth about it.
    pub(crate) fn open(path: &Path) -> Result<WeightFile> {
        let mut file = fs::File::open(path).map_err(Error::io(path))?;
        let size = file.metadata().map_err(Error::io(path))?.len();
        let mut first = [0u8; 8];
        if size < 8 {
            return Err(Error::file(path, format!("not a safetensors file: {size} bytes; a header takes at least 8")));
        }
        file.read_exact(&mut first).map_err(Error::io(path))?;
        refuse_pickle(path, &first)?;
        if first.starts_with(gguf::MAGIC) {
            let data = map(path, &file, size)?;
            let (entries, metadata, start) =
                gguf::parse(&data).map_err(|what| Error::file(path, format!("lying header of GGUF: {what}")))?;
            return Ok(WeightFile { path: path.to_owned(), entries, metadata, data: Some(data), start });
        }
        let length = u64::from_le_bytes(first);
        if length > HEADER_LIMIT || length > size - 8 {
            return Err(Error::file(
                path,
                format!(
                    "not a safetensors file, or a damaged one: its header is said to have {length} bytes, the file has \
                     {size}; download or save it again"
                ),
            ));
        }
        let mut header = vec![0u8; length as usize];
        file.read_exact(&mut header).map_err(Error::io(path))?;
        let start = 8 + length as usize;
        let (entries, metadata) =
            parse(&header, size as usize - start).map_err(|what| Error::file(path, format!("lying header: {what}")))?;
        let data = map(path, &file, size)?;
        Ok(WeightFile { path: path.to_owned(), entries, metadata, data: Some(data), start })
    }

    /// A file of which only keys, dtypes (as in safetensors) and shapes are known. Its values are random, made when they
    /// are read, so that a network of full size can be built, checked and run without a file.
    #[cfg_attr(not(test), allow(dead_code))] // Lists of keys come from tests.
    pub(crate) fn listed<'a>(
        path: &Path,
        list: impl IntoIterator<Item = (&'a str, &'a str, &'a [usize])>,
    ) -> Result<WeightFile> {
        let (mut entries, mut at) = (BTreeMap::new(), 0);
        for (key, dtype, shape) in list {
            let dtype = named(dtype).map_err(|what| Error::file(path, format!("tensor `{key}`: {what}")))?;
            let bytes = dtype.size() * shape.iter().product::<usize>();
            entries.insert(key.to_owned(), Entry { dtype, shape: shape.to_vec(), range: at..at + bytes });
            at += bytes;
        }
        Ok(WeightFile { path: path.to_owned(), entries, metadata: HashMap::new(), data: None, start: 0 })
    }

    /// The file's bytes as they are on disk.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.data.as_deref().unwrap_or_default()
    }

    /// The bytes of a tensor; none if this is a mere list.
    pub(super) fn bytes_of(&self, entry: &Entry) -> Option<&[u8]> {
        Some(&self.data.as_deref()?[self.start + entry.range.start..self.start + entry.range.end])
    }

    /// The values of a tensor, widened or narrowed to f32. `None` for formats that are no weights.
    pub(crate) fn values(&self, entry: &Entry) -> Option<Vec<f32>> {
        let mut values = vec![0f32; entry.shape.iter().product()];
        let read = |first: usize, out: &mut [f32]| match self.read(entry, first, out) {
            true => Ok(()),
            false => Err(candle_core::Error::msg("no weight")),
        };
        ops::fill(&mut values, 1, read).ok()?;
        Some(values)
    }

    /// The values of a tensor from value `first` on, as many as `out` takes; false for formats that are no weights.
    pub(super) fn read(&self, entry: &Entry, first: usize, out: &mut [f32]) -> bool {
        match self.bytes_of(entry) {
            Some(bytes) => super::widen::widen(entry.dtype, bytes, first, out),
            None if matches!(entry.dtype, Dtype::Other(..)) => false,
            None => {
                let width = ops::width(&entry.shape).max(1);
                Random::new(&entry.shape, entry.range.start as u64).fill(first, width, out);
                true
            }
        }
    }

    /// The tensor of a key as a source of weights, multiplied by the factor that scaled 8-bit files have beside it. The
    /// error says what the tensor is instead.
    pub(crate) fn source(self: &Arc<Self>, key: &str) -> Result<Arc<dyn Source>, String> {
        let entry = self.entries.get(key).ok_or_else(|| format!("`{key}` is missing"))?;
        if let Dtype::Other(name, _) = entry.dtype {
            return Err(format!("`{key}`: expected floats, found {name}"));
        }
        let scale = match self.scale_of(key) {
            None => None,
            Some((scale_key, scale)) => {
                let values = self.values(scale).unwrap_or_default();
                let rows = entry.shape.first().copied().unwrap_or(1);
                if values.len() != 1 && values.len() != rows {
                    return Err(format!("`{scale_key}`: expected one factor or {rows}, found {:?}", scale.shape));
                }
                Some(values)
            }
        };
        Ok(Arc::new(Mapped::new(self.clone(), entry.clone(), scale)))
    }

    /// The factors of a weight of 8 bits: ComfyUI writes `scale_weight`, newer files have `weight_scale`.
    fn scale_of(&self, key: &str) -> Option<(String, &Entry)> {
        let module = key.strip_suffix("weight")?;
        SCALES.iter().find_map(|suffix| {
            let key = format!("{module}{suffix}");
            self.entries.get_key_value(&key).map(|(key, entry)| (key.clone(), entry))
        })
    }

    /// Whether a key only says how other tensors are stored: a factor of an 8-bit weight that is in this file, a factor of
    /// inputs (which are not narrowed here), or a mark that the file is scaled.
    pub(crate) fn is_note(&self, key: &str) -> bool {
        let (module, leaf) = key.rsplit_once('.').map_or(("", key), |(module, leaf)| (module, leaf));
        if leaf == "scaled_fp8" {
            return true;
        }
        let notes = SCALES.iter().chain(&["scale_input", "input_scale", "comfy_quant"]);
        notes.into_iter().any(|note| *note == leaf) && self.entries.contains_key(&format!("{module}.weight"))
    }
}

fn map(path: &Path, file: &fs::File, size: u64) -> Result<memmap2::Mmap> {
    // SAFETY: a mapped file that another process shortens or writes to would be undefined; weights are files that are read
    // and replaced whole, and every ML program maps them.
    let data = unsafe { memmap2::Mmap::map(file) }.map_err(Error::io(path))?;
    if data.len() as u64 != size {
        return Err(Error::file(path, "the file changed while it was opened; try again"));
    }
    Ok(data)
}

/// The last part of the keys that hold the factors of a `weight`.
const SCALES: [&str; 2] = ["scale_weight", "weight_scale"];

/// `.ckpt`, `.pt` and `.bin` files are zip archives of pickles, or bare pickles, whatever their name says.
fn refuse_pickle(path: &Path, first: &[u8; 8]) -> Result<()> {
    let by_bytes = first.starts_with(b"PK\x03\x04") || (first[0] == 0x80 && (2..=5).contains(&first[1]));
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let by_name = matches!(extension.as_str(), "ckpt" | "pt" | "pth" | "bin" | "pkl");
    if by_bytes || by_name {
        let what = "this is a Python pickle, and opening one can run any program that its author put in; only safetensors \
                    files are read. Look for a .safetensors version of the same model, or convert it in a sandbox \
                    (`torch.load(..., weights_only=True)`, then `safetensors.torch.save_file`)";
        return Err(Error::Pickle { path: path.to_owned(), what: what.to_owned() });
    }
    Ok(())
}

type Header = (BTreeMap<String, Entry>, HashMap<String, String>);

fn parse(header: &[u8], bytes: usize) -> Result<Header, String> {
    let json: Value = serde_json::from_slice(header).map_err(|e| format!("it is not JSON ({e})"))?;
    let Value::Object(map) = json else { return Err("it is not a JSON object".into()) };
    let mut metadata = HashMap::new();
    let mut entries = BTreeMap::new();
    for (name, value) in map {
        if name == "__metadata__" {
            if let Value::Object(strings) = value {
                metadata = strings
                    .into_iter()
                    .map(|(k, v)| match v {
                        Value::String(s) => (k, s),
                        other => (k, other.to_string()),
                    })
                    .collect();
            }
            continue;
        }
        let entry = entry(&value, bytes).map_err(|what| format!("tensor `{name}`: {what}"))?;
        entries.insert(name, entry);
    }
    // The format allows no gaps and no overlaps; two tensors on the same bytes would be a way to make a small file huge.
    let mut ranges: Vec<_> = entries.iter().map(|(name, e)| (e.range.start, e.range.end, name)).collect();
    ranges.sort();
    let mut at = 0;
    for (from, to, name) in ranges {
        if from != at {
            return Err(format!("tensor `{name}` begins at byte {from}, expected {at}: tensors overlap or leave gaps"));
        }
        at = to;
    }
    if at != bytes {
        return Err(format!(
            "the tensors take {at} bytes, the file has {bytes} for them: it is cut off or has extra bytes"
        ));
    }
    Ok((entries, metadata))
}

fn entry(value: &Value, bytes: usize) -> Result<Entry, String> {
    let dtype = value["dtype"].as_str().ok_or("it has no dtype")?;
    let dtype = named(dtype)?;
    let numbers = |key: &str| -> Result<Vec<usize>, String> {
        let list = value[key].as_array().ok_or_else(|| format!("it has no list `{key}`"))?;
        list.iter()
            .map(|v| v.as_u64().and_then(|v| usize::try_from(v).ok()).ok_or_else(|| format!("`{key}` holds {v}")))
            .collect()
    };
    let shape = numbers("shape")?;
    let [from, to] = numbers("data_offsets")?[..] else { return Err("`data_offsets` are not two numbers".into()) };
    if from > to || to > bytes {
        return Err(format!("its bytes {from}..{to} lie outside of the file's {bytes}"));
    }
    let size = shape.iter().try_fold(dtype.size(), |size, &d| size.checked_mul(d));
    match size {
        Some(size) if size == to - from => Ok(Entry { dtype, shape, range: from..to }),
        _ => Err(format!("shape {shape:?} of {dtype:?} does not take the {} bytes it is given", to - from)),
    }
}

fn named(dtype: &str) -> Result<Dtype, String> {
    let known = || DTYPES.iter().map(|d| d.0).collect::<Vec<_>>().join(", ");
    let found = DTYPES.iter().find(|(name, _)| *name == dtype);
    Ok(found.ok_or_else(|| format!("unknown dtype `{dtype}`; known are {}", known()))?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(name: &str, header: &str, data: &[u8]) -> (PathBuf, Result<WeightFile>) {
        let folder = std::env::temp_dir().join(format!("anagama-weights-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        fs::write(&path, bytes).unwrap();
        let opened = WeightFile::open(&path);
        (path, opened)
    }

    #[test]
    fn good_files_open_in_every_float_format() {
        let header = r#"{"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"__metadata__":{"x":"y"},
            "b":{"dtype":"BF16","shape":[1],"data_offsets":[8,10]},"c":{"dtype":"F16","shape":[],"data_offsets":[10,12]}}"#;
        let mut data = [1f32.to_le_bytes(), (-2f32).to_le_bytes()].concat();
        data.extend(half::bf16::from_f32(3.0).to_le_bytes());
        data.extend(half::f16::from_f32(0.5).to_le_bytes());
        let file = write("good.safetensors", header, &data).1.unwrap();
        let read = |name: &str| file.values(&file.entries[name]).unwrap();
        assert_eq!((read("a"), read("b"), read("c")), (vec![1.0, -2.0], vec![3.0], vec![0.5]));
        assert_eq!(file.metadata["x"], "y");
    }

    #[test]
    fn scaled_8_bit_weights_are_widened_with_their_factor() {
        let header = r#"{"a.weight":{"dtype":"F8_E4M3","shape":[2,2],"data_offsets":[0,4]},
            "a.scale_weight":{"dtype":"F32","shape":[],"data_offsets":[4,8]},
            "b.weight":{"dtype":"F8_E5M2","shape":[2,1],"data_offsets":[8,10]},
            "b.weight_scale":{"dtype":"F32","shape":[2,1],"data_offsets":[10,18]},
            "scaled_fp8":{"dtype":"F8_E4M3","shape":[0],"data_offsets":[18,18]},
            "c.scale_weight":{"dtype":"F16","shape":[],"data_offsets":[18,20]}}"#;
        // 1, -2, the smallest subnormal 2^-9 and the largest value 448.
        let mut data = vec![0x38, 0xc0, 0x01, 0x7e];
        data.extend(0.5f32.to_le_bytes());
        data.extend([0x3c, 0x40]);
        data.extend([10f32.to_le_bytes(), 100f32.to_le_bytes()].concat());
        data.extend([0, 0]);
        let file = Arc::new(write("scaled.safetensors", header, &data).1.unwrap());
        let read =
            |key: &str| file.source(key).unwrap().tensor().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(read("a.weight"), [0.5f32, -1.0, 0.000_976_562_5, 224.0]);
        assert_eq!(read("b.weight"), [10f32, 200.0]);
        assert!(["a.scale_weight", "b.weight_scale", "scaled_fp8"].iter().all(|key| file.is_note(key)));
        assert!(!file.is_note("a.weight") && !file.is_note("c.scale_weight"));
        let stored = file.source("a.weight").unwrap().stored(&candle_core::Device::Cpu).unwrap();
        assert_eq!(stored.values.dtype(), candle_core::DType::F8E4M3);
        assert_eq!(stored.widened().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), read("a.weight"));
    }

    #[test]
    fn listed_files_have_random_values_of_their_shape() {
        let list = [("a.weight", "BF16", &[40, 30][..]), ("b", "F32", &[7]), ("n", "I64", &[1])];
        let file = Arc::new(WeightFile::listed(Path::new("keys"), list).unwrap());
        let a = file.source("a.weight").unwrap().tensor().unwrap();
        assert_eq!(a.dims(), [40, 30]);
        let mut row = vec![0.0; 30];
        file.source("a.weight").unwrap().rows(11, &mut row).unwrap();
        assert_eq!(row, a.get(11).unwrap().to_vec1::<f32>().unwrap());
        assert_eq!(file.values(&file.entries["a.weight"]).unwrap()[330..360], row);
        assert!(row.iter().any(|v| *v != 0.0) && file.source("n").is_err());
    }

    #[test]
    fn lying_headers_are_told_with_the_file() {
        let cases = [
            (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, "does not take"),
            (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 3, "lie outside"),
            (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 5, "extra bytes"),
            (r#"{"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}}"#, 4, "unknown dtype `F31`"),
            (r#"{"a":{"dtype":"U8","shape":[4294967296,4294967296,2],"data_offsets":[0,0]}}"#, 0, "does not take"),
            (
                r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#,
                3,
                "overlap",
            ),
            (r#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#, 1, "`shape` holds -1"),
            ("[]", 0, "not a JSON object"),
            ("{", 0, "not JSON"),
        ];
        for (i, (header, bytes, expected)) in cases.into_iter().enumerate() {
            let (path, opened) = write(&format!("lie-{i}.safetensors"), header, &vec![0; bytes]);
            let error = opened.err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_header_longer_than_the_file_is_refused_before_it_is_read() {
        let folder = std::env::temp_dir().join(format!("anagama-weights-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("long.safetensors");
        fs::write(&path, [&u64::MAX.to_le_bytes()[..], b"{}"].concat()).unwrap();
        assert!(WeightFile::open(&path).err().unwrap().to_string().contains("the file has 10"));
        fs::write(&path, b"{}").unwrap();
        assert!(WeightFile::open(&path).err().unwrap().to_string().contains("not a safetensors file"));
    }

    #[test]
    fn pickles_are_refused_by_name_and_by_content() {
        let folder = std::env::temp_dir().join(format!("anagama-weights-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, content) in [("model.ckpt", b"whatever!"), ("renamed.safetensors", b"PK\x03\x04aaaaa")] {
            let path = folder.join(name);
            fs::write(&path, content).unwrap();
            let error = WeightFile::open(&path).err().unwrap();
            assert!(matches!(error, Error::Pickle { .. }) && error.to_string().contains("safetensors"), "{error}");
        }
    }
}
