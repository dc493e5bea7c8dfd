//! The kinds of networks that files hold: a row and a file each. A kind reads a module's tensors and says how it changes
//! a weight at strength 1; with a strength s the weight becomes W + s·Δ(W), for every kind.

mod boft;
mod diff;
mod dora;
mod glora;
mod ia3;
mod locon;
mod loha;
mod lokr;
mod lora;
mod norm;
mod oft;

use super::Leaves;
use crate::adapter::LoraRef;
use crate::patch::Patch;
use candle_core::Tensor;
pub use dora::DoraNorm;
pub(crate) use dora::{Dora, Magnitude};
use std::sync::Arc;

/// A kind of network.
pub struct Kind {
    /// As people call it.
    pub name: &'static str,
    /// Its tensors, the ones that mark it first.
    pub(crate) leaves: &'static [&'static str],
    /// A module is of the first kind of which it has a mark …
    pub(crate) marks: &'static [&'static str],
    /// … of this number of dimensions, if that matters.
    pub(crate) rank: Option<usize>,
    /// Which weights it can change.
    pub(crate) on: On,
    /// What the weight becomes at strength 1, for people.
    pub formula: &'static str,
    /// Where that comes from, and who differs.
    pub source: &'static str,
    pub(crate) read: fn(&mut Leaves) -> Result<Module, String>,
}

/// Weights that a kind can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// Matrices and kernels.
    Layers,
    /// Kernels of more than a pixel.
    Kernels,
    /// Those of normalisations.
    Norms,
    /// All.
    All,
}

/// From the most to the least particular.
pub static KINDS: &[Kind] = &[
    dora::DORA,
    locon::TUCKER,
    lora::LORA,
    loha::LOHA,
    lokr::LOKR,
    glora::GLORA,
    boft::BOFT,
    oft::DIAG_OFT,
    ia3::IA3,
    norm::NORM,
    diff::DIFF,
];

/// A change of one parameter at strength 1.
pub(crate) trait Change: Send + Sync {
    /// Why this does not fit a weight of the shape, if it does not.
    fn fits(&self, shape: &[usize]) -> Result<(), String>;

    /// Δ of the weight as it is so far: as many elements, in the weight's order, of any shape. None: unchanged.
    fn delta(&self, weight: &Tensor) -> candle_core::Result<Option<Tensor>>;

    /// Whether the weight changes, and not only the bias.
    fn changes_weight(&self) -> bool {
        true
    }

    /// Two matrices and a factor, (r, in·kernel) and (out, r), if that is all it is.
    fn low_rank(&self) -> Option<(&Tensor, &Tensor, f64)> {
        None
    }
}

/// What was read of one module.
pub(crate) struct Module {
    pub(crate) change: Arc<dyn Change>,
    /// Δ of the bias (out).
    pub(crate) bias: Option<Tensor>,
    /// DoRA's sizes, around the change.
    pub(crate) magnitude: Option<Magnitude>,
}

impl Module {
    fn new(change: impl Change + 'static) -> Module {
        Module { change: Arc::new(change), bias: None, magnitude: None }
    }
}

/// Reads a module of whatever kind it is.
pub(super) fn read(leaves: &mut Leaves) -> Result<(&'static Kind, Module), String> {
    if let Some(problem) = leaves.problems.pop() {
        return Err(problem);
    }
    let kind = of(leaves, KINDS)?;
    let mut module = (kind.read)(leaves)?;
    // Programs put a bias beside any kind.
    for leaf in ["diff_b", "b_norm"] {
        if let Some(bias) = leaves.get(leaf)? {
            let bias = bias.flatten_all().map_err(|e| e.to_string())?;
            module.bias = Some(match module.bias {
                Some(other) => (other + bias).map_err(|e| e.to_string())?,
                None => bias,
            });
        }
    }
    let unused: Vec<&str> = leaves.unused().collect();
    if !unused.is_empty() {
        return Err(format!("`{}` is {}, of which {} is no part", leaves.module, kind.name, unused.join(", ")));
    }
    Ok((kind, module))
}

/// The first kind that has a mark of the module.
fn of(leaves: &Leaves, kinds: &'static [Kind]) -> Result<&'static Kind, String> {
    let marked = |kind: &&Kind| {
        kind.marks.iter().any(|leaf| leaves.has(leaf) && kind.rank.is_none_or(|rank| leaves.rank(leaf) == rank))
    };
    kinds.iter().find(marked).ok_or_else(|| {
        let found: Vec<&str> = leaves.keys.values().map(String::as_str).collect();
        format!("`{}` has {} only, which no kind of network does with", leaves.module, found.join(", "))
    })
}

/// A module as a patch of a weight of one shape.
pub(super) struct OnWeight {
    change: Arc<dyn Change>,
    shape: Vec<usize>,
    bias: Option<Tensor>,
    /// (r, in) or (r, in, k, k); (out, r) or (out, r, 1, 1); factor.
    lora: Option<(Tensor, Tensor, f64)>,
}

impl OnWeight {
    /// Checks that the module fits the weight.
    pub(super) fn new(change: Arc<dyn Change>, bias: Option<Tensor>, shape: &[usize]) -> Result<OnWeight, String> {
        change.fits(shape)?;
        let out = shape.first().copied().unwrap_or(0);
        if let Some(bias) = bias.as_ref().filter(|bias| bias.elem_count() != out) {
            return Err(format!("expected a change of a bias ({out},), found {:?}", bias.dims()));
        }
        let shaped = |(down, up, scale): (&Tensor, &Tensor, f64)| -> candle_core::Result<(Tensor, Tensor, f64)> {
            let rank = down.dim(0)?;
            Ok(match *shape {
                [out, inp, height, width] => {
                    (down.reshape((rank, inp, height, width))?, up.reshape((out, rank, 1, 1))?, scale)
                }
                _ => (down.clone(), up.clone(), scale),
            })
        };
        let lora = change.low_rank().map(shaped).transpose().map_err(|e| e.to_string())?;
        Ok(OnWeight { change, shape: shape.to_vec(), bias, lora })
    }
}

impl Patch for OnWeight {
    fn weight(&self, weight: &Tensor) -> crate::Result<Option<Tensor>> {
        let delta = self.change.delta(weight)?;
        Ok(delta.map(|delta| delta.reshape(self.shape.as_slice())).transpose()?)
    }

    fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    fn changes_weight(&self) -> bool {
        self.change.changes_weight()
    }

    fn as_lora(&self) -> Option<LoraRef<'_>> {
        self.lora.as_ref().map(|(down, up, scale)| LoraRef { down, up, scale: *scale })
    }
}

/// Whether a change of `out` rows of `rest` values each is one of a weight of this shape.
fn fits_rows(shape: &[usize], out: usize, rest: usize) -> Result<(), String> {
    match shape {
        [first, tail @ ..] if *first == out && !tail.is_empty() && tail.iter().product::<usize>() == rest => Ok(()),
        _ => Err(format!("expected a change of a weight {}, found one of {out} rows of {rest} values", words(shape))),
    }
}

fn words(shape: &[usize]) -> String {
    let numbers: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("({})", numbers.join(", "))
}

/// A tensor beside the weight it is used with.
fn beside(tensor: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
    tensor.to_device(weight.device())
}

/// alpha / rank; 1 without an alpha. An alpha of 0 is taken as it is: nothing.
fn scale(leaves: &mut Leaves, rank: usize) -> Result<f64, String> {
    Ok(leaves.number("alpha")?.map_or(1.0, |alpha| alpha / rank as f64))
}

/// The tensor as a matrix (first, all others).
fn matrix(leaves: &mut Leaves, leaf: &'static str) -> Result<Tensor, String> {
    let tensor = leaves.need(leaf)?;
    super::math::rows(&tensor).map_err(|_| {
        format!("`{}`: expected {leaf} to have two or more dimensions, found {:?}", leaves.module, tensor.dims())
    })
}

/// The number of rows and columns of a matrix.
fn sides(matrix: &Tensor) -> (usize, usize) {
    matrix.dims2().unwrap_or((0, 0))
}

/// That two numbers which must agree do.
fn agree(leaves: &Leaves, what: &str, first: usize, second: usize) -> Result<(), String> {
    if first == second {
        return Ok(());
    }
    Err(format!(
        "`{}`: its tensors do not fit each other: {what} is {first} in one and {second} in another",
        leaves.module
    ))
}

#[cfg(test)]
mod tests {
    use super::super::leaves::{self, LEAVES};
    use super::super::namings::Ends;
    use super::super::testing::{CASES, Values, difference, write};
    use super::*;
    use candle_core::Device;

    #[test]
    fn rows_are_complete_and_unique() {
        for (i, kind) in KINDS.iter().enumerate() {
            assert!(!kind.name.is_empty() && !kind.formula.is_empty() && !kind.source.is_empty());
            assert!(KINDS[..i].iter().all(|other| other.name != kind.name), "{}", kind.name);
            for leaf in kind.leaves.iter().chain(kind.marks) {
                assert!(LEAVES.iter().any(|row| row.name == *leaf), "{}: {leaf}", kind.name);
            }
            assert!(CASES.iter().any(|case| case.kind == kind.name), "{} has no case", kind.name);
        }
        for leaf in LEAVES {
            assert!(KINDS.iter().any(|kind| kind.leaves.contains(&leaf.name)), "{} is read by no kind", leaf.name);
        }
        assert_eq!(KINDS[0].name, "DoRA", "DoRA reads the kind that it stands around from the other rows");
    }

    /// The patch of a file of one module, and the module's kind.
    fn patch(
        modules: &[(String, super::super::testing::Module)],
        shape: &[usize],
    ) -> Result<(&'static Kind, OnWeight), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.safetensors");
        write(&path, modules, Ends::Kohya);
        let file = Arc::new(crate::weights::WeightFile::open(&path).unwrap());
        let (mut parts, others) = leaves::modules(&file);
        assert!(others.is_empty(), "{others:?}");
        let mut leaves = parts.pop_first().unwrap().1;
        let (kind, module) = read(&mut leaves)?;
        let change: Arc<dyn Change> = match module.magnitude {
            Some(magnitude) => Arc::new(Dora { inner: module.change, magnitude, norm: DoraNorm::LyCoris }),
            None => module.change,
        };
        Ok((kind, OnWeight::new(change, module.bias, shape)?))
    }

    const SHAPES: &[&[usize]] = &[&[8, 12], &[12, 8], &[16, 8, 1, 1], &[8, 4, 3, 3], &[8]];

    #[test]
    fn every_form_of_every_kind_is_its_formula() {
        for case in CASES {
            let mut seen = 0;
            for shape in SHAPES {
                let mut values = Values(7);
                let Some(module) = (case.make)(shape, &mut values) else { continue };
                let (_, weight) = values.tensor(shape);
                let want = (case.delta)(&module, &weight, shape);
                let (kind, patch) = patch(&[("module".into(), module)], shape).unwrap();
                let what = format!("{} {} on {shape:?}", case.kind, case.form);
                assert_eq!(kind.name, case.kind, "{what}");
                let floats: Vec<f32> = weight.iter().map(|&value| value as f32).collect();
                let weight = Tensor::from_vec(floats, *shape, &Device::Cpu).unwrap();
                let got = patch.weight(&weight).unwrap().unwrap();
                assert_eq!(got.dims(), *shape, "{what}");
                let (off, size) = difference(&got, &want);
                assert!(size > 1e-4 && off < 1e-6, "{what}: differs by {off} of {size}");
                if let Some(lora) = patch.as_lora() {
                    let up = lora.up.flatten_from(1).unwrap();
                    let whole = (up.matmul(&lora.down.flatten_from(1).unwrap()).unwrap() * lora.scale).unwrap();
                    assert!(difference(&whole, &want).0 < 1e-6, "{what} as two matrices");
                }
                seen += 1;
            }
            assert!(seen > 0, "{} {} fits no shape", case.kind, case.form);
        }
    }

    #[test]
    fn tensors_that_do_not_fit_are_errors_that_name_the_module() {
        for case in CASES {
            for shape in [&[8, 12][..], &[8, 4, 3, 3], &[8]] {
                let Some(module) = (case.make)(shape, &mut Values(7)) else { continue };
                // Any tensor in any other shape of as many values, missing, or with another number of dimensions.
                for leaf in module.keys().copied() {
                    for other in [
                        vec![1],
                        vec![3, 5],
                        vec![2, 2, 2],
                        vec![1, 3, 1, 1, 2],
                        vec![64, 1],
                        vec![1, 64],
                        vec![2, 3, 2, 2],
                    ] {
                        let mut broken = module.clone();
                        broken.insert(leaf, Values(3).tensor(&other));
                        if let Ok((_, patch)) = patch(&[("module".into(), broken)], shape) {
                            let zeros = Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
                            if let Some(delta) = patch.weight(&zeros).unwrap() {
                                assert_eq!(delta.dims(), shape, "{} {leaf} {other:?}", case.kind);
                            }
                        }
                    }
                    let mut broken = module.clone();
                    broken.remove(leaf);
                    if let Err(error) = patch_of(broken, shape) {
                        assert!(error.contains("`module") || error.contains("expected"), "{error}");
                    }
                }
            }
        }
    }

    fn patch_of(module: super::super::testing::Module, shape: &[usize]) -> Result<(), String> {
        match module.is_empty() || module.keys().all(|leaf| *leaf == "weight") {
            true => Ok(()),
            false => patch(&[("module".into(), module)], shape).map(|_| ()),
        }
    }

    #[test]
    fn a_tensor_of_another_kind_is_told() {
        let mut module = (CASES[0].make)(&[4, 4], &mut Values(1)).unwrap();
        module.insert("hada_t1", Values(2).tensor(&[2, 2, 3, 3]));
        let error = patch(&[("module".into(), module)], &[4, 4]).err().unwrap();
        assert!(error.contains("module.hada_t1") && error.contains("LoRA"), "{error}");
    }

    #[test]
    fn nan_names_its_tensor() {
        let mut module = (CASES[0].make)(&[4, 4], &mut Values(1)).unwrap();
        module.get_mut("lora_up").unwrap().1[3] = f64::NAN;
        let error = patch(&[("module".into(), module)], &[4, 4]).err().unwrap();
        assert!(error.contains("`module.lora_up.weight`: value 3 is NaN"), "{error}");
    }
}
