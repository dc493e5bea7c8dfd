//! The training state on disk: all that is needed to go on as if nothing had happened. What is drawn by chance is not
//! in it, because it follows from seed and step.

use crate::networks::Trained;
use crate::optimizers::{Optimize, Slot, Values};
use crate::run::CheckpointFile;
use crate::safetensors_file::{Raw, serialize_raw, write_atomic};
use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Raised when older states can no longer be read.
const VERSION: u32 = 2;

/// How many states are kept, so that a damaged one has a predecessor.
const KEEP: usize = 2;

/// What a state says besides its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) version: u32,
    /// Identity of configuration, data set and base.
    pub(crate) fingerprint: String,
    /// Optimizer steps done.
    pub(crate) step: u64,
    /// Smoothed loss before its correction for the start.
    pub(crate) smooth: f64,
    /// Checkpoints written so far; paths are file names in the output folder.
    pub(crate) checkpoints: Vec<CheckpointFile>,
    /// The one with the lowest loss of pictures that are held back, if any were looked at.
    #[serde(default)]
    pub(crate) best: Option<Best>,
}

/// A checkpoint with its validation loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    pub(crate) loss: f64,
    pub(crate) file: CheckpointFile,
}

impl Position {
    pub(crate) fn new(fingerprint: String) -> Self {
        Self { version: VERSION, fingerprint, step: 0, smooth: 0.0, checkpoints: Vec::new(), best: None }
    }
}

/// Writes the state, then removes older ones.
pub(crate) fn save(dir: &Path, at: &Position, trained: &Trained, optimizer: &dyn Optimize) -> Result<()> {
    let mut tensors: Vec<Raw> = Vec::new();
    for p in &trained.params {
        tensors.push(raw(format!("weight/{}", p.name), &Values::F32(p.values.clone())));
    }
    for slot in optimizer.state() {
        // Names sort as numbers do.
        let place = slot.tensor.map_or("all".to_owned(), |i| format!("{i:06}"));
        tensors.push(raw(format!("optimizer/{place}/{}", slot.name), &slot.values));
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let mut digest = Sha256::new();
    tensors.iter().for_each(|t| digest.update(&t.bytes));
    let metadata = BTreeMap::from([
        ("position".to_owned(), serde_json::to_string(at)?),
        ("optimizer_steps".to_owned(), optimizer.steps().to_string()),
        ("sha256".to_owned(), format!("{:x}", digest.finalize())),
    ]);
    write_atomic(&dir.join(file_name(at.step)), &serialize_raw(tensors, &metadata))?;
    for old in files(dir)?.into_iter().rev().skip(KEEP) {
        // A state that cannot be removed only takes space.
        let _ = std::fs::remove_file(old);
    }
    Ok(())
}

/// Puts the newest whole state back, and says where it was taken. None: there is none yet. `note` hears of damaged
/// ones.
///
/// # Errors
/// The state belongs to another run.
pub(crate) fn load(
    dir: &Path,
    fingerprint: &str,
    trained: &mut Trained,
    optimizer: &mut dyn Optimize,
    note: &mut dyn FnMut(String),
) -> Result<Option<Position>> {
    for path in files(dir)?.into_iter().rev() {
        match read(&path) {
            Ok((at, _, _, _)) if at.fingerprint != fingerprint || at.version != VERSION => bail!(
                "{}: this training state belongs to another run (other settings, images or base); remove the folder, \
                 or use another one",
                path.display()
            ),
            Ok(found) => return put(&path, found, trained, optimizer).map(Some),
            Err(e) => note(format!("{}: damaged training state is left out: {e:#}", path.display())),
        }
    }
    Ok(None)
}

/// Puts the state of another run back, whatever its settings were.
///
/// # Errors
/// It is damaged, or does not fit what is trained.
pub(crate) fn adopt(path: &Path, trained: &mut Trained, optimizer: &mut dyn Optimize) -> Result<Position> {
    let found = read(path).with_context(|| format!("{}: not a training state", path.display()))?;
    ensure!(found.0.version == VERSION, "{}: a training state of another version of this program", path.display());
    put(path, found, trained, optimizer)
}

/// The optimizer steps that a state was taken after.
///
/// # Errors
/// It is damaged.
pub fn state_step(path: &Path) -> Result<u64> {
    Ok(read(path).with_context(|| format!("{}: not a training state", path.display()))?.0.step)
}

fn put(path: &Path, found: Read, trained: &mut Trained, optimizer: &mut dyn Optimize) -> Result<Position> {
    let (at, weights, steps, slots) = found;
    for p in &mut trained.params {
        let values = weights.get(&p.name).with_context(|| format!("{}: no `{}`", path.display(), p.name))?;
        ensure!(values.len() == p.values.len(), "{}: `{}` has another size", path.display(), p.name);
        p.values.clone_from(values);
        p.publish()?;
    }
    optimizer.restore(steps, slots).with_context(|| path.display().to_string())?;
    Ok(at)
}

/// Removes all states of this folder, to start anew.
pub(crate) fn forget(dir: &Path) -> Result<()> {
    for path in files(dir)? {
        std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

type Read = (Position, BTreeMap<String, Vec<f32>>, u64, Vec<Slot>);

fn read(path: &Path) -> Result<Read> {
    let bytes = std::fs::read(path)?;
    let (header, info) = SafeTensors::read_metadata(&bytes)?;
    let metadata = info.metadata().clone().unwrap_or_default();
    let get = |key: &str| metadata.get(key).with_context(|| format!("no `{key}`"));
    let found = format!("{:x}", Sha256::digest(bytes.get(header + 8..).unwrap_or_default()));
    ensure!(found == *get("sha256")?, "expected sha256 {}, found {found}", get("sha256")?);
    let at: Position = serde_json::from_str(get("position")?)?;
    let steps = get("optimizer_steps")?.parse()?;
    let (mut weights, mut slots) = (BTreeMap::new(), Vec::new());
    for (name, view) in SafeTensors::deserialize(&bytes)?.tensors() {
        let values = values(&view).with_context(|| name.clone())?;
        if let Some((place, name)) = name.strip_prefix("optimizer/").and_then(|n| n.split_once('/')) {
            let tensor = if place == "all" { None } else { Some(place.parse()?) };
            slots.push(Slot { tensor, name: name.to_owned(), values });
        } else if let (Some(name), Values::F32(values)) = (name.strip_prefix("weight/"), values) {
            weights.insert(name.to_owned(), values);
        }
    }
    Ok((at, weights, steps, slots))
}

/// A tensor of the file.
fn raw(name: String, values: &Values) -> Raw {
    let (dtype, shape, bytes) = match values {
        Values::F32(v) => ("F32", vec![v.len()], v.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Values::F64(v) => ("F64", vec![v.len()], v.iter().flat_map(|x| x.to_le_bytes()).collect()),
        Values::U8(v) => ("U8", vec![v.len()], v.clone()),
    };
    Raw { name, dtype, shape, bytes }
}

/// The way back.
fn values(view: &TensorView<'_>) -> Result<Values> {
    let data = view.data();
    let (words, _) = data.as_chunks::<4>();
    let (doubles, _) = data.as_chunks::<8>();
    Ok(match view.dtype() {
        Dtype::F32 => Values::F32(words.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::F64 => Values::F64(doubles.iter().map(|b| f64::from_le_bytes(*b)).collect()),
        Dtype::U8 => Values::U8(data.to_vec()),
        other => bail!("unknown number format {other:?}"),
    })
}

fn file_name(step: u64) -> String {
    format!("state-{step:08}.safetensors")
}

/// States in this folder, oldest first.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| dir.display().to_string()),
    };
    let mut all: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    all.retain(|p| {
        let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        name.starts_with("state-") && name.ends_with(".safetensors")
    });
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::{Param, Part};
    use crate::optimizers::{OPTIMIZERS, Optimizer};
    use candle_core::{Device, Var};

    fn trained(value: f32) -> Trained {
        let var = Var::new(&[value, -value], &Device::Cpu).unwrap();
        let values = vec![value, -value];
        let param = Param { name: "a.b".into(), part: Part::Network, var, values, rate: 1.0 };
        Trained { params: vec![param], ..Trained::default() }
    }

    #[test]
    fn a_state_comes_back_and_a_damaged_one_is_skipped() {
        for row in OPTIMIZERS {
            comes_back(row);
        }
    }

    fn comes_back(row: &Optimizer) {
        let dir = tempfile::tempdir().unwrap();
        let mut optimizer = (row.build)(&row.settings(), &[vec![2]]);
        for step in 1..=3u64 {
            let mut t = trained(step as f32);
            optimizer.step(&mut [&mut t.params[0].values], &[&[0.1, 0.2]], &[0.1]);
            let mut at = Position::new("run".into());
            at.step = step;
            save(dir.path(), &at, &trained(step as f32), &*optimizer).unwrap();
        }
        assert_eq!(files(dir.path()).unwrap().len(), KEEP);
        let (mut t, mut fresh) = (trained(9.0), (row.build)(&row.settings(), &[vec![2]]));
        let at = load(dir.path(), "run", &mut t, &mut *fresh, &mut |_| ()).unwrap().unwrap();
        assert_eq!((at.step, fresh.steps()), (3, 3));
        assert_eq!(t.params[0].values, [3.0, -3.0]);
        assert_eq!(t.params[0].var.to_vec1::<f32>().unwrap(), [3.0, -3.0]);
        assert_eq!(fresh.state(), optimizer.state(), "{}", row.name);

        let newest = dir.path().join(file_name(3));
        let mut bytes = std::fs::read(&newest).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&newest, bytes).unwrap();
        let mut notes = Vec::new();
        let at = load(dir.path(), "run", &mut t, &mut *fresh, &mut |n| notes.push(n)).unwrap().unwrap();
        assert_eq!((at.step, notes.len()), (2, 1));
        assert!(notes[0].contains("state-00000003"), "{}", notes[0]);
    }

    #[test]
    fn the_state_of_another_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let row = &OPTIMIZERS[0];
        let mut optimizer = (row.build)(&row.settings(), &[vec![2]]);
        save(dir.path(), &Position::new("this".into()), &trained(1.0), &*optimizer).unwrap();
        let error = load(dir.path(), "that", &mut trained(1.0), &mut *optimizer, &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("another run"));
        let empty = dir.path().join("none");
        assert!(load(&empty, "this", &mut trained(1.0), &mut *optimizer, &mut |_| ()).unwrap().is_none());
    }
}
