//! The linear layers, convolutions and normalisations of a network in one list, so that adapters and patches replace
//! entries of the list while the network's structure is shared.

use crate::adapter::{Adapter, LoraRef, NormTarget, Target, TargetKind};
use crate::error::{Error, Result};
use crate::memory::Memory;
use crate::ops::{self, Frozen, Source, Wider, Window};
use crate::patch::{Beside, Deltas, How, Merged, Patched};
use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// A linear layer or convolution of [`Layers`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerId(pub(crate) usize);

/// A normalisation of [`Layers`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct NormId(usize);

/// All layers of a network that have parameters, but for tables of tokens and positions.
#[derive(Clone, Default)]
pub(crate) struct Layers {
    layers: Vec<Layer>,
    norms: Vec<Norm>,
}

/// Weight and bias of a normalisation.
#[derive(Clone)]
pub(crate) struct Norm {
    pub(crate) path: Arc<str>,
    pub(crate) weight: Arc<[f32]>,
    /// Empty where the normalisation has none.
    pub(crate) bias: Arc<[f32]>,
}

/// A linear layer or a convolution, with what has been added to it.
#[derive(Clone)]
pub(crate) struct Layer {
    path: Arc<str>,
    kind: TargetKind,
    window: Window,
    frozen: Arc<Frozen>,
    /// In the order in which it was added.
    beside: Vec<Added>,
    deltas: Arc<Deltas>,
}

/// Something computed beside a layer.
#[derive(Clone)]
enum Added {
    Adapter(Arc<dyn Adapter>),
    Patch(Beside),
}

impl Added {
    fn as_lora(&self) -> Option<LoraRef<'_>> {
        match self {
            Added::Adapter(adapter) => adapter.as_lora(),
            Added::Patch(beside) => {
                let lora = beside.patched.patch.as_lora()?;
                Some(LoraRef { scale: lora.scale * beside.patched.strength, ..lora })
            }
        }
    }
}

impl Layer {
    pub(crate) fn new(path: Arc<str>, kind: TargetKind, window: Window, frozen: Frozen) -> Layer {
        Layer { path, kind, window, frozen: Arc::new(frozen), beside: Vec::new(), deltas: Arc::default() }
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.with(x, &self.beside)
    }

    /// The layer with some of what has been added to it.
    fn with(&self, x: &Tensor, beside: &[Added]) -> Result<Tensor> {
        let Some((last, before)) = beside.split_last() else { return self.through(x, &self.frozen) };
        match (last.as_lora(), last) {
            (Some(lora), _) => self.with_lora(x, before, lora),
            (None, Added::Adapter(adapter)) => adapter.apply(&Beneath { layer: self, before, x }),
            (None, Added::Patch(Beside { patched, delta: Some(delta) })) => {
                Ok((self.with(x, before)? + (self.through(x, delta)? * patched.strength)?)?)
            }
            (None, Added::Patch(_)) => self.with(x, before),
        }
    }

    fn with_lora(&self, x: &Tensor, before: &[Added], lora: LoraRef<'_>) -> Result<Tensor> {
        // What is added may lie elsewhere: files are read to the CPU, and training keeps its parameters there.
        let (down, up) = (lora.down.to_device(x.device())?, lora.up.to_device(x.device())?);
        // A 1×1 kernel reads one pixel, so that the fused form holds for it.
        if before.is_empty() && self.frozen.kernel() == (1, 1) && self.window == Window::new(1, 0) {
            return Ok(ops::linear_lora(x, &self.frozen, &down, &up, lora.scale)?);
        }
        let y = self.with(x, before)?;
        let through = match self.kind {
            TargetKind::Linear { .. } => ops::linear(x, &matrix(&down)?, None)?,
            TargetKind::Conv { .. } => ops::conv2d(x, &down, None, self.window)?,
        };
        Ok((y + (ops::linear(&through, &matrix(&up)?, None)? * lora.scale)?)?)
    }

    fn through(&self, x: &Tensor, frozen: &Arc<Frozen>) -> Result<Tensor> {
        Ok(match self.kind {
            TargetKind::Linear { .. } => ops::linear_frozen(x, frozen)?,
            TargetKind::Conv { .. } => ops::conv2d_frozen(x, frozen, self.window)?,
        })
    }

    /// The weight with the patches among these, f32 on the CPU, of its own shape.
    fn weight(&self, beside: &[Added]) -> Result<Tensor> {
        Ok(Merged::new(self.frozen.source().clone(), Vec::new(), self.patches(beside)?).tensor()?)
    }

    /// These as patches, which they are where nothing is in training yet.
    fn patches(&self, beside: &[Added]) -> Result<Vec<Patched>> {
        let patch = |added: &Added| match added {
            Added::Patch(beside) => Ok(beside.patched.clone()),
            Added::Adapter(_) => {
                let what =
                    format!("the weight of `{}` is asked for, which has a network in training already", self.path);
                Err(Error::Unsupported(what))
            }
        };
        beside.iter().map(patch).collect()
    }

    fn patch(&mut self, patches: &[Patched], how: How) -> Result<()> {
        let patches: Vec<Patched> = patches.iter().filter(|patched| patched.strength != 0.0).cloned().collect();
        if let Some(bias) = with_changes(self.frozen.bias(), self.frozen.out(), &patches, &self.path)? {
            self.frozen = Arc::new(self.frozen.with_bias(Some(bias))?);
        }
        let patches: Vec<Patched> = patches.into_iter().filter(|patched| patched.patch.changes_weight()).collect();
        if patches.is_empty() {
            return Ok(());
        }
        let mut earlier = Vec::new();
        for added in &self.beside {
            if let Added::Patch(beside) = added {
                earlier.push(beside.patched.clone());
            }
        }
        match how {
            How::Merge => {
                let merged = Merged::new(self.frozen.source().clone(), earlier, patches);
                self.frozen = Arc::new(self.frozen.with_source(Arc::new(merged))?);
                self.deltas = Arc::default();
            }
            How::Unmerged => {
                for patched in patches {
                    let beside = self.deltas.beside(&self.frozen, &earlier, &patched)?;
                    self.beside.push(Added::Patch(beside));
                    earlier.push(patched);
                }
            }
        }
        Ok(())
    }
}

/// A layer with what had been added to it before an adapter, as that adapter sees it. Convolutions have their images
/// channels-last: an input (b, h, w, in) and an output (b, h', w', out); linear layers (…, in) and (…, out).
pub struct Beneath<'a> {
    layer: &'a Layer,
    before: &'a [Added],
    x: &'a Tensor,
}

impl Beneath<'_> {
    /// The layer's input.
    pub fn input(&self) -> &Tensor {
        self.x
    }

    /// What the layer gives for its input.
    pub fn output(&self) -> Result<Tensor> {
        self.layer.with(self.x, self.before)
    }

    /// [`Beneath::output`] with two matrices beside the layer, in one operation where there is one.
    pub fn with_lora(&self, lora: LoraRef<'_>) -> Result<Tensor> {
        self.layer.with_lora(self.x, self.before, lora)
    }

    /// An input of the layer's kind through another weight: (n, m) for a linear layer, (n, m, k, k) for a convolution,
    /// which keeps its stride and padding. The weight may be trained.
    pub fn through(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let weight = weight.to_device(x.device())?;
        Ok(match self.layer.kind {
            TargetKind::Linear { .. } => ops::linear(x, &matrix(&weight)?, None)?,
            TargetKind::Conv { .. } => ops::conv2d(x, &weight, None, self.layer.window)?,
        })
    }

    /// The products of each of `rows` (r, in) or (r, in, k, k), which may be trained, with each row of the layer's weight:
    /// (r, out).
    pub fn products(&self, rows: &Tensor) -> Result<Tensor> {
        let plain = Layer {
            frozen: Arc::new(self.layer.frozen.with_bias(None)?),
            // A kernel that stands on an image of its own size gives one pixel.
            window: Window::new(1, 0),
            ..self.layer.clone()
        };
        let rows = rows.to_device(self.x.device())?;
        self.layer.patches(self.before)?;
        match self.layer.kind {
            TargetKind::Linear { .. } => plain.with(&rows, self.before),
            TargetKind::Conv { .. } => {
                // (r, in, k, k) → (r, k, k, in) → (r, 1, 1, out)
                let images = rows.permute((0, 2, 3, 1))?.contiguous()?;
                Ok(plain.with(&images, self.before)?.flatten_from(1)?)
            }
        }
    }

    /// The layer's bias (out,), beside its input.
    pub fn bias(&self) -> Result<Option<Tensor>> {
        let bias = self.layer.frozen.bias();
        Ok(bias.map(|bias| Tensor::new(bias, self.x.device())).transpose()?)
    }
}

impl Norm {
    fn patch(&mut self, patches: &[Patched]) -> Result<()> {
        let path = self.path.clone();
        for patched in patches.iter().filter(|patched| patched.strength != 0.0) {
            if patched.patch.changes_weight() {
                let weight = Tensor::from_slice(&self.weight, self.weight.len(), &Device::Cpu)?;
                if let Some(delta) = patched.patch.weight(&weight)? {
                    self.weight = plus(&self.weight, &delta, patched.strength, &path)?;
                }
            }
        }
        if let Some(bias) = with_changes(Some(&self.bias), self.bias.len(), patches, &path)? {
            self.bias = bias;
        }
        Ok(())
    }
}

/// The bias with the changes of patches, if there are any.
fn with_changes(bias: Option<&[f32]>, out: usize, patches: &[Patched], path: &str) -> Result<Option<Arc<[f32]>>> {
    let mut changed = None;
    for patched in patches {
        let Some(delta) = patched.patch.bias() else { continue };
        let before = changed.take().unwrap_or_else(|| bias.map_or_else(|| vec![0.0; out].into(), Arc::from));
        changed = Some(plus(&before, delta, patched.strength, path)?);
    }
    Ok(changed)
}

fn plus(values: &[f32], delta: &Tensor, strength: f64, path: &str) -> Result<Arc<[f32]>> {
    let delta = delta.flatten_all()?.to_vec1::<f32>()?;
    if delta.len() != values.len() {
        let what = format!("`{path}` has {} values, the change of them {}", values.len(), delta.len());
        return Err(Error::Unsupported(what));
    }
    Ok(values.iter().zip(delta).map(|(value, delta)| value + strength as f32 * delta).collect())
}

/// A matrix that a 1×1 convolution's weight is.
fn matrix(weight: &Tensor) -> Result<Tensor> {
    Ok(if weight.rank() == 4 { weight.flatten_from(1)? } else { weight.clone() })
}

impl Layers {
    pub(crate) fn push(&mut self, layer: Layer) -> LayerId {
        self.layers.push(layer);
        LayerId(self.layers.len() - 1)
    }

    pub(crate) fn push_norm(&mut self, norm: Norm) -> NormId {
        self.norms.push(norm);
        NormId(self.norms.len() - 1)
    }

    /// The device that the layers compute on.
    pub(crate) fn device(&self) -> &Device {
        self.layers.first().map_or(&Device::Cpu, |layer| layer.frozen.device())
    }

    /// The budget of the working copies of their weights.
    pub(crate) fn memory(&self) -> Memory {
        self.layers.first().map_or_else(Memory::default, |layer| layer.frozen.memory().clone())
    }

    /// Bytes of the working copies of all weights.
    pub(crate) fn bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.frozen.bytes()).sum()
    }

    /// The same layers with another budget and width of their working copies.
    pub(crate) fn within(&self, memory: &Memory) -> Result<Layers> {
        let mut layers = self.clone();
        for layer in &mut layers.layers {
            layer.frozen = Arc::new(layer.frozen.within(memory)?);
        }
        Ok(layers)
    }

    /// Runs one layer with what has been added to it.
    pub(crate) fn run(&self, id: LayerId, x: &Tensor) -> Result<Tensor> {
        self.layers[id.0].forward(x)
    }

    /// Weight and bias of a normalisation.
    pub(crate) fn norm(&self, id: NormId) -> &Norm {
        &self.norms[id.0]
    }

    /// The layers that can get an adapter, in the network's order. `prefix` is kohya's.
    pub(crate) fn targets(&self, prefix: &str) -> Vec<Target> {
        let target = |layer: &Layer| Target {
            path: layer.path.to_string(),
            kohya: kohya(prefix, &layer.path),
            original: layer.path.to_string(),
            shape: layer.kind,
        };
        self.layers.iter().map(target).collect()
    }

    /// The normalisations that a patch can change, in the network's order. `prefix` is kohya's.
    pub(crate) fn norm_targets(&self, prefix: &str) -> Vec<NormTarget> {
        let target = |norm: &Norm| NormTarget {
            path: norm.path.to_string(),
            kohya: kohya(prefix, &norm.path),
            original: norm.path.to_string(),
            width: norm.weight.len(),
            bias: !norm.bias.is_empty(),
        };
        self.norms.iter().map(target).collect()
    }

    /// The weight of a layer with its patches, f32 on the CPU, (out, in) or (out, in, k, k).
    pub(crate) fn weight(&self, path: &str) -> Result<Tensor> {
        match self.layers.iter().find(|layer| *layer.path == *path) {
            Some(layer) => layer.weight(&layer.beside),
            None => Err(self.unknown([path.to_owned()].iter(), false)),
        }
    }

    /// The same layers, one of which, a linear one, takes more inputs, with weights of zero.
    pub(crate) fn with_inputs(&self, id: LayerId, inputs: usize) -> Result<Layers> {
        let mut layers = self.clone();
        let layer = &mut layers.layers[id.0];
        let (TargetKind::Linear { inp, out }, true) = (layer.kind, layer.beside.is_empty()) else {
            let what = format!("`{}` cannot take more inputs once something is computed beside it", layer.path);
            return Err(Error::Unsupported(what));
        };
        let inputs = inputs.max(inp);
        let source = Arc::new(Wider::new(layer.frozen.source().clone(), inputs));
        let bias: Option<Arc<[f32]>> = layer.frozen.bias().map(Arc::from);
        layer.frozen = Arc::new(Frozen::from_source(source, bias, layer.frozen.memory())?);
        layer.kind = TargetKind::Linear { inp: inputs, out };
        layer.deltas = Arc::default();
        Ok(layers)
    }

    /// The same layers, some with one more adapter.
    pub(crate) fn with_adapters(&self, adapters: &HashMap<String, Arc<dyn Adapter>>) -> Result<Layers> {
        let mut layers = self.clone();
        let mut found = 0;
        for layer in &mut layers.layers {
            if let Some(adapter) = adapters.get(&*layer.path) {
                layer.beside.push(Added::Adapter(adapter.clone()));
                found += 1;
            }
        }
        if found == adapters.len() { Ok(layers) } else { Err(self.unknown(adapters.keys(), false)) }
    }

    /// The same layers, some with patches behind those they have. Paths may be those of norms.
    pub(crate) fn with_patches(&self, patches: &HashMap<String, Vec<Patched>>, how: How) -> Result<Layers> {
        let mut layers = self.clone();
        let mut found = 0;
        for layer in &mut layers.layers {
            if let Some(patches) = patches.get(&*layer.path) {
                layer.patch(patches, how)?;
                found += 1;
            }
        }
        for norm in &mut layers.norms {
            if let Some(patches) = patches.get(&*norm.path) {
                norm.patch(patches)?;
                found += 1;
            }
        }
        if found == patches.len() { Ok(layers) } else { Err(self.unknown(patches.keys(), true)) }
    }

    fn unknown<'a>(&self, paths: impl Iterator<Item = &'a String>, norms: bool) -> Error {
        let known = |path: &str| {
            self.layers.iter().any(|layer| *layer.path == *path)
                || norms && self.norms.iter().any(|norm| *norm.path == *path)
        };
        let mut unknown: Vec<String> = paths.filter(|path| !known(path)).cloned().collect();
        unknown.sort();
        let what = "these module paths are no layers of this network".to_owned();
        let hint = self.layers.first().map_or(String::new(), |l| format!("a path looks like `{}`", l.path));
        Error::Targets { what, unknown, hint }
    }
}

fn kohya(prefix: &str, path: &str) -> String {
    format!("{prefix}{}", path.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{close, random};
    use crate::patch::Patch;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Δ = factor · W ⊙ W, so that the order of patches and what they see matters.
    struct Square {
        factor: f64,
        bias: Option<Tensor>,
        asked: AtomicUsize,
    }

    impl Square {
        fn new(factor: f64, bias: Option<Tensor>) -> Arc<Square> {
            Arc::new(Square { factor, bias, asked: AtomicUsize::new(0) })
        }
    }

    impl Patch for Square {
        fn weight(&self, weight: &Tensor) -> Result<Option<Tensor>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Ok(Some((weight.sqr()? * self.factor)?))
        }

        fn bias(&self) -> Option<&Tensor> {
            self.bias.as_ref()
        }
    }

    struct Lora(Tensor, Tensor);

    impl Patch for Lora {
        fn weight(&self, weight: &Tensor) -> Result<Option<Tensor>> {
            Ok(Some((matrix(&self.1)?.matmul(&matrix(&self.0)?)? * 0.5)?.reshape(weight.dims())?))
        }

        fn as_lora(&self) -> Option<LoraRef<'_>> {
            Some(LoraRef { down: &self.0, up: &self.1, scale: 0.5 })
        }
    }

    fn patched(patch: Arc<dyn Patch>, strength: f64) -> Patched {
        Patched { patch, strength }
    }

    fn network(weight: &Tensor, bias: Option<&Tensor>) -> Result<Layers> {
        let mut layers = Layers::default();
        let (kind, window) = match *weight.dims() {
            [out, inp] => (TargetKind::Linear { inp, out }, Window::new(1, 0)),
            [out, inp, kernel, _] => (TargetKind::Conv { inp, out, kernel }, Window::new(1, 1)),
            _ => unreachable!(),
        };
        layers.push(Layer::new("layer".into(), kind, window, Frozen::new(weight, bias)?));
        let norm = Norm { path: "norm".into(), weight: [1.0, 2.0].into(), bias: [0.5, 0.0].into() };
        layers.push_norm(norm);
        Ok(layers)
    }

    fn on(path: &str, patches: Vec<Patched>) -> HashMap<String, Vec<Patched>> {
        HashMap::from([(path.to_owned(), patches)])
    }

    #[test]
    fn both_forms_are_the_weight_with_its_changes_in_order() -> Result<()> {
        let delta_bias = random(6, 4)?;
        for shape in [vec![6, 5], vec![6, 5, 3, 3]] {
            let (w, b) = (random(shape.clone(), 1)?, random(6, 2)?);
            let x = random(if shape.len() == 2 { vec![2, 7, 5] } else { vec![1, 4, 4, 5] }, 3)?;
            let (one, two) = (Square::new(0.3, Some(delta_bias.clone())), Square::new(-0.2, None));
            let (down, up) = (random((2, 5 * shape[2..].iter().product::<usize>()), 6)?, random((6, 2), 7)?);
            let down = if shape.len() == 4 { down.reshape((2, 5, 3, 3))? } else { down };
            let lora = Arc::new(Lora(down, up));
            let all = [patched(one, 0.5), patched(lora.clone(), 2.0), patched(two, 1.5)];
            let mut want = w.clone();
            for p in &all {
                want = (&want + (p.patch.weight(&want)?.unwrap() * p.strength)?)?;
            }
            let bias = (&b + (&delta_bias * 0.5)?)?;
            let base = network(&w, Some(&b))?;
            let want = network(&want, Some(&bias))?.run(LayerId(0), &x)?;
            for how in [How::Merge, How::Unmerged] {
                let together = base.with_patches(&on("layer", all.to_vec()), how)?;
                close(&together.run(LayerId(0), &x)?, &want, 2e-5)?;
                let mut stacked = base.clone();
                for p in &all {
                    stacked = stacked.with_patches(&on("layer", vec![p.clone()]), how)?;
                }
                close(&stacked.run(LayerId(0), &x)?, &want, 2e-5)?;
            }
            // The last one merged into a layer that has the others beside it.
            let mixed = base.with_patches(&on("layer", all[..2].to_vec()), How::Unmerged)?;
            let mixed = mixed.with_patches(&on("layer", all[2..].to_vec()), How::Merge)?;
            close(&mixed.run(LayerId(0), &x)?, &want, 2e-5)?;
        }
        Ok(())
    }

    /// The layer's own output, computed through what an adapter is shown of it.
    struct Seen;

    impl Adapter for Seen {
        fn apply(&self, layer: &Beneath<'_>) -> Result<Tensor> {
            let x = layer.input();
            let whole = layer.layer.weight(layer.before)?;
            let y = layer.through(x, &whole)?.broadcast_add(&layer.bias()?.unwrap())?;
            close(&y, &layer.output()?, 2e-5)?;
            let rows = layer.products(&whole)?;
            let flat = whole.flatten_from(1)?;
            close(&rows, &flat.matmul(&flat.t()?)?, 2e-5)?;
            Ok(y)
        }
    }

    #[test]
    fn an_adapter_is_shown_the_layer_with_its_patches() -> Result<()> {
        for shape in [vec![6, 5], vec![6, 5, 3, 3]] {
            let (w, b) = (random(shape.clone(), 1)?, random(6, 2)?);
            let x = random(if shape.len() == 2 { vec![2, 7, 5] } else { vec![1, 4, 4, 5] }, 3)?;
            let patches = vec![patched(Square::new(0.3, None), 0.5)];
            let base = network(&w, Some(&b))?.with_patches(&on("layer", patches), How::Unmerged)?;
            let seen: Arc<dyn Adapter> = Arc::new(Seen);
            let one = base.with_adapters(&HashMap::from([("layer".to_owned(), seen.clone())]))?;
            close(&one.run(LayerId(0), &x)?, &base.run(LayerId(0), &x)?, 2e-5)?;
            // Beside a network in training the weight is no tensor any more.
            let two = one.with_adapters(&HashMap::from([("layer".to_owned(), seen)]))?;
            assert!(two.run(LayerId(0), &x).is_err() && two.weight("layer").is_err() && base.weight("lager").is_err());
        }
        Ok(())
    }

    #[test]
    fn strengths_share_one_change_that_goes_with_its_file() -> Result<()> {
        let base = network(&random((6, 5), 1)?, None)?;
        let x = random((1, 5), 2)?;
        let patch = Square::new(0.3, None);
        for strength in [0.0, 0.5, 1.0, 2.0] {
            let some = base.with_patches(&on("layer", vec![patched(patch.clone(), strength)]), How::Unmerged)?;
            some.run(LayerId(0), &x)?;
        }
        assert_eq!(patch.asked.load(Ordering::Relaxed), 1);
        // Behind another patch, the change sees another weight.
        let other = Square::new(0.1, None);
        let both = vec![patched(other, 1.0), patched(patch.clone(), 1.0)];
        base.with_patches(&on("layer", both), How::Unmerged)?.run(LayerId(0), &x)?;
        assert_eq!(patch.asked.load(Ordering::Relaxed), 2);
        assert_eq!(Arc::strong_count(&patch), 1);
        Ok(())
    }

    #[test]
    fn norms_and_missing_biases_can_be_changed_and_wrong_ones_are_told() -> Result<()> {
        let base = network(&random((2, 2), 1)?, None)?;
        let patch = Square::new(1.0, Some(Tensor::new(&[1f32, -1.0], &Device::Cpu)?));
        for how in [How::Merge, How::Unmerged] {
            let changed = base.with_patches(&on("norm", vec![patched(patch.clone(), 0.5)]), how)?;
            let norm = changed.norm(NormId(0));
            assert_eq!((&*norm.weight, &*norm.bias), (&[1.5, 4.0][..], &[1.0, -0.5][..]));
            let changed = base.with_patches(&on("layer", vec![patched(patch.clone(), 2.0)]), how)?;
            assert_eq!(changed.layers[0].frozen.bias(), Some(&[2.0, -2.0][..]));
        }
        let long = Square::new(1.0, Some(random(3, 1)?));
        assert!(base.with_patches(&on("layer", vec![patched(long, 1.0)]), How::Merge).is_err());
        let unknown = base.with_patches(&on("lager", vec![]), How::Merge).err().unwrap();
        assert!(unknown.to_string().contains("`lager`") || unknown.to_string().contains("lager"));
        Ok(())
    }

    #[test]
    fn a_small_budget_changes_no_result() -> Result<()> {
        let (w, x) = (random((40, 30), 1)?, random((5, 30), 2)?);
        let want = network(&w, None)?.run(LayerId(0), &x)?;
        let memory = Memory::new(0);
        let source = Arc::new(ops::Owned::new(&w)?);
        let frozen = Frozen::from_source(source, None, &memory)?;
        let mut layers = Layers::default();
        let kind = TargetKind::Linear { inp: 30, out: 40 };
        layers.push(Layer::new("layer".into(), kind, Window::new(1, 0), frozen));
        let patches = on("layer", vec![patched(Square::new(0.0, None), 1.0)]);
        for how in [How::Merge, How::Unmerged] {
            close(&layers.with_patches(&patches, how)?.run(LayerId(0), &x)?, &want, 0.0)?;
        }
        assert_eq!(memory.used(), 0);
        Ok(())
    }
}
