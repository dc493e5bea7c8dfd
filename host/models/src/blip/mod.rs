//! BLIP (Li et al. 2022, arXiv:2201.12086), which writes a caption for a picture, as in transformers'
//! BlipForConditionalGeneration: a vision transformer, and a BERT that looks at its states.

mod config;
mod text;
mod write;

pub use write::{Writing, Written};

use crate::error::{Error, Result};
use crate::layers::{LayerId, Layers, Norm, NormId};
use crate::load::{Named, below, open, whole};
use crate::memory::Memory;
use crate::ops::{self, Mask, Window};
use crate::vision;
use crate::weights::{Build, Entries, Piece};
use candle_core::Tensor;
use config::{BlipConfig, VisionConfig};
use std::path::Path;
use std::sync::Arc;
use text::{Decoder, State};

/// A network that writes captions. Cheap to clone.
#[derive(Clone)]
pub struct Blip(Arc<Net>);

/// A captioner, as its loader gives it.
pub struct LoadedBlip {
    pub net: Blip,
    /// How it was read, for people.
    pub found: Vec<String>,
}

struct Net {
    config: BlipConfig,
    eyes: Eyes,
    text: Decoder,
    layers: Layers,
    tokenizer: tokenizers::Tokenizer,
}

/// The vision transformer.
struct Eyes {
    patches: LayerId,
    /// (1, 1, d)
    class: Tensor,
    /// (1, n, d), the class first
    positions: Tensor,
    blocks: Vec<Block>,
    after: NormId,
}

struct Block {
    norms: [NormId; 2],
    qkv: LayerId,
    out: LayerId,
    feed: (LayerId, LayerId),
}

/// A picture as the text looks at it: keys and values of each layer.
#[derive(Clone)]
pub struct Sight(Arc<Vec<(Tensor, Tensor)>>);

/// Loads a captioner from a folder with `config.json`, `tokenizer.json` and `model.safetensors`, as transformers writes them.
///
/// # Errors
/// Files that are missing or of another network, and keys that are missing, misshapen or left over.
pub fn load_blip(path: &Path, memory: &Memory) -> Result<LoadedBlip> {
    let (files, config, _) = open(path, "model")?;
    let Some(config) = config else {
        return Err(Error::file(
            path,
            "expected config.json beside the weights, found none; copy it from where they come",
        ));
    };
    let config = BlipConfig::from_json(&config)?;
    let tokenizer = tokenizer(path)?;
    let words = tokenizer.get_vocab_size(true);
    if words > config.text.vocabulary {
        let what = format!(
            "the tokenizer has {words} tokens, the network {}: they belong to different models",
            config.text.vocabulary
        );
        return Err(Error::file(path, what));
    }
    let mut source = below(path, &files, &[]);
    source.memory = memory.clone();
    let entries = tied(source.entries(named));
    source.note(format!(
        "BLIP of {} and {} layers for pictures of {} pixels",
        config.vision.layers, config.text.layers, config.vision.side
    ));
    let net = source.build(entries, |part| Net::build(config, tokenizer, &mut Build::new(part, "")))?;
    Ok(LoadedBlip { net: Blip(Arc::new(net)), found: source.notes() })
}

fn tokenizer(folder: &Path) -> Result<tokenizers::Tokenizer> {
    let path = folder.join("tokenizer.json");
    let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
    let mut made =
        tokenizers::Tokenizer::from_bytes(&bytes).map_err(|e| Error::file(&path, format!("not a tokenizer: {e}")))?;
    made.with_truncation(None).map_err(|e| Error::file(&path, e.to_string()))?;
    made.with_padding(None);
    Ok(made)
}

fn named(key: &str, piece: Piece) -> Vec<Named> {
    if key.ends_with("position_ids") { Vec::new() } else { whole(key.to_owned(), piece) }
}

const WORDS: &str = "text_decoder.bert.embeddings.word_embeddings.weight";
const SCORES: &str = "text_decoder.cls.predictions.decoder.weight";
const BIAS: &str = "text_decoder.cls.predictions.decoder.bias";
const BIAS_TOO: &str = "text_decoder.cls.predictions.bias";

/// Tensors that stand for two are in the file once or twice.
fn tied(mut entries: Entries) -> Entries {
    for (one, other) in [(WORDS, SCORES), (SCORES, WORDS), (BIAS, BIAS_TOO)] {
        if let (None, Some(pieces)) = (entries.get(one), entries.get(other)) {
            let pieces = pieces.clone();
            entries.insert(one.to_owned(), pieces);
        }
    }
    entries.remove(BIAS_TOO);
    entries
}

impl Blip {
    /// What the text sees of a picture (1, 3, h, w), red first, 0…1, which is squeezed into a square.
    ///
    /// # Errors
    /// Several pictures, or one of another number of channels.
    pub fn look(&self, picture: &Tensor) -> Result<Sight> {
        let net = &*self.0;
        if picture.dims4()?.0 != 1 {
            return Err(Error::Unsupported(format!("expected one picture, found {:?}", picture.dims())));
        }
        let x = vision::prepared(picture, net.config.vision.side, false, vision::CLIP)?;
        let states = net.eyes.forward(&net.layers, &net.config.vision, &x)?;
        Ok(Sight(Arc::new(net.text.see(&net.layers, &states)?)))
    }

    /// The token ids of a caption's beginning, which may be empty.
    ///
    /// # Errors
    /// It cannot be cut into tokens.
    pub fn begin(&self, prompt: &str) -> Result<Vec<u32>> {
        let mut ids = vec![self.0.config.text.start];
        if !prompt.trim().is_empty() {
            let cut = self.0.tokenizer.encode_fast(prompt, false).map_err(|e| Error::Tokens(e.to_string()))?;
            ids.extend_from_slice(cut.get_ids());
        }
        Ok(ids)
    }

    /// Logits (n, vocabulary) of what may follow each of these tokens.
    ///
    /// # Errors
    /// Too many tokens, or ones beyond the vocabulary.
    pub fn logits(&self, ids: &[u32], sight: &Sight) -> Result<Tensor> {
        let net = &*self.0;
        let states = net.text.states(&net.layers, &net.config.text, ids, sight, &mut State::default())?;
        net.text.logits(&net.layers, &net.config.text, &states)
    }

    /// Goes on with `prompt` under a picture until the caption ends. None: `go_on` said no between two tokens.
    ///
    /// # Errors
    /// A prompt that leaves no room for a text.
    pub fn write(
        &self,
        sight: &Sight,
        prompt: &str,
        how: &Writing,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Written>> {
        let (net, text) = (&*self.0, &self.0.config.text);
        let ids = self.begin(prompt)?;
        if ids.len() >= text.positions {
            let what = format!("a prompt of {} tokens; a text has at most {}", ids.len(), text.positions);
            return Err(Error::Tokens(what));
        }
        let mut how = how.clone();
        how.max_tokens = how.max_tokens.min(text.positions - ids.len());
        let decode = |ids: &[u32]| net.tokenizer.decode(ids, true).map_err(|e| Error::Tokens(e.to_string()));
        let mut state = State::default();
        let mut next = |new: &[u32]| {
            let states = net.text.states(&net.layers, text, new, sight, &mut state)?;
            let last = states.narrow(1, new.len() - 1, 1)?.contiguous()?;
            Ok(net.text.logits(&net.layers, text, &last)?.flatten_all()?.to_vec1::<f32>()?)
        };
        write::write(ids, text.end, &how, &decode, &mut next, go_on)
    }
}

impl Net {
    fn build(config: BlipConfig, tokenizer: tokenizers::Tokenizer, b: &mut Build<'_>) -> Result<Net> {
        let eyes = Eyes::build(&config.vision, b)?;
        let text = Decoder::build(&config.text, config.vision.hidden, b)?;
        let layers = std::mem::take(&mut b.layers);
        Ok(Net { config, eyes, text, layers, tokenizer })
    }
}

impl Eyes {
    fn build(config: &VisionConfig, b: &mut Build<'_>) -> Result<Eyes> {
        let (d, row) = (config.hidden, config.row());
        let at = |name: &str| format!("vision_model.{name}");
        let patches = b.conv(&at("embeddings.patch_embedding"), 3, d, config.patch, Window::new(config.patch, 0))?;
        let class = b.tensor(&at("embeddings.class_embedding"), &[1, 1, d])?;
        let positions = b.tensor(&at("embeddings.position_embedding"), &[1, row * row + 1, d])?;
        let mut blocks = Vec::with_capacity(config.layers);
        for i in 0..config.layers {
            let at = |name: &str| format!("vision_model.encoder.layers.{i}.{name}");
            blocks.push(Block {
                norms: [b.norm(&at("layer_norm1"), d)?, b.norm(&at("layer_norm2"), d)?],
                qkv: b.linear(&at("self_attn.qkv"), d, 3 * d)?,
                out: b.linear(&at("self_attn.projection"), d, d)?,
                feed: (b.linear(&at("mlp.fc1"), d, config.inside)?, b.linear(&at("mlp.fc2"), config.inside, d)?),
            });
        }
        Ok(Eyes { patches, class, positions, blocks, after: b.norm(&at("post_layernorm"), d)? })
    }

    /// States (1, n, d) of a picture (1, 3, side, side), normalised.
    fn forward(&self, layers: &Layers, config: &VisionConfig, x: &Tensor) -> Result<Tensor> {
        let patches = layers.run(self.patches, &ops::channels_last(&x.to_device(layers.device())?)?)?;
        let (_, rows, columns, d) = patches.dims4()?;
        let mut x = Tensor::cat(&[&self.class, &patches.reshape((1, rows * columns, d))?], 1)?;
        x = (x + &self.positions)?;
        for block in &self.blocks {
            let all = layers.run(block.qkv, &norm(layers, block.norms[0], config.eps, &x)?)?;
            let part = |i: usize| all.narrow(2, i * d, d)?.contiguous();
            let y = ops::attention(&part(0)?, &part(1)?, &part(2)?, config.heads, Mask::None)?;
            x = (layers.run(block.out, &y)? + x)?;
            let y = layers.run(block.feed.0, &norm(layers, block.norms[1], config.eps, &x)?)?;
            x = (layers.run(block.feed.1, &ops::gelu(&y)?)? + x)?;
        }
        norm(layers, self.after, config.eps, &x)
    }
}

fn norm(layers: &Layers, id: NormId, eps: f32, x: &Tensor) -> Result<Tensor> {
    let Norm { weight, bias, .. } = layers.norm(id);
    Ok(ops::layer_norm(x, weight, bias, eps)?)
}
