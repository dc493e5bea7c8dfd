use super::{Control, Mask};
use anyhow::{Result, bail};
use candle_core::Tensor;
use spec::ObjectType;
use std::sync::Arc;

/// Prompts as the network reads them: all of them lead the picture at once, each where and when it applies.
#[derive(Clone, Debug)]
pub struct Conditioning(pub Vec<Cond>);

/// One prompt of a [`Conditioning`].
#[derive(Clone, Debug)]
pub struct Cond {
    /// Text states, (1, n, d): for CLIP, n is 77 per chunk of the prompt.
    pub states: Tensor,
    /// The prompt as one vector, (1, d), for families that take one.
    pub pooled: Option<Tensor>,
    /// The sizes that SDXL is told; none: those of the latent, uncropped.
    pub size: Option<Size>,
    /// The guidance that networks with distilled guidance are told; none: the family's.
    pub guidance: Option<f64>,
    /// The part of the schedule that it leads, from 0 (all noise) to 1 (no noise).
    pub range: (f64, f64),
    /// Its share where several prompts meet.
    pub strength: f64,
    /// The rectangle that it leads; none: all.
    pub area: Option<Area>,
    /// Where it leads, pixel by pixel.
    pub mask: Option<CondMask>,
    /// The pictures that it follows.
    pub control: Option<Arc<Control>>,
    /// What networks with more channels than the latent's see beside the noise.
    pub beside: Option<Beside>,
    /// Pictures that Flux.1 Kontext reads beside the one that it makes: latents (b, c, h, w) as the VAE has them.
    pub references: Vec<Tensor>,
    /// Pictures that stand in for the pooled text of SDXL.
    pub pictures: Vec<PictureText>,
}

/// A picture, and where to change it.
#[derive(Clone, Debug)]
pub struct Beside {
    /// As the VAE has it, (b, c, h, w) of any size.
    pub latent: Tensor,
    /// Where the picture is made anew (1), (b, 1, H, W) of any size.
    pub mask: Option<Tensor>,
}

/// A picture as a text.
#[derive(Clone, Debug)]
pub struct PictureText {
    /// What CLIP makes of it in the space of texts, (b, d).
    pub embeds: Tensor,
    pub strength: f64,
    /// How much noise is put on it, 0…1.
    pub noise: f64,
}

/// What SDXL is told of a picture's making, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: u32,
    pub height: u32,
    /// Pixels cut off at the left and at the top.
    pub crop_left: u32,
    pub crop_top: u32,
    pub target_width: u32,
    pub target_height: u32,
}

impl Size {
    /// In the order of SDXL's embedding: height, width, top, left, target height, target width.
    pub fn values(&self) -> [f32; 6] {
        [self.height, self.width, self.crop_top, self.crop_left, self.target_height, self.target_width]
            .map(|n| n as f32)
    }
}

/// A rectangle of the latent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Area {
    /// In pixels of the latent.
    Latent { width: usize, height: usize, x: usize, y: usize },
    /// In shares of its sides, 0…1.
    Share { width: f64, height: f64, x: f64, y: f64 },
}

/// A mask of a prompt.
#[derive(Clone, Debug)]
pub struct CondMask {
    pub mask: Mask,
    pub strength: f64,
    /// Show the network only the rectangle that the mask fills, instead of the whole latent.
    pub bounds: bool,
}

impl Cond {
    /// A prompt that leads everywhere and all the time.
    pub fn new(states: Tensor, pooled: Option<Tensor>) -> Self {
        Self {
            states,
            pooled,
            size: None,
            guidance: None,
            range: (0.0, 1.0),
            strength: 1.0,
            area: None,
            mask: None,
            control: None,
            beside: None,
            references: Vec::new(),
            pictures: Vec::new(),
        }
    }
}

impl Conditioning {
    /// One prompt that leads everywhere and all the time.
    pub fn one(states: Tensor, pooled: Option<Tensor>) -> Self {
        Self(vec![Cond::new(states, pooled)])
    }

    /// The first of its prompts.
    ///
    /// # Errors
    /// There are none.
    pub fn first(&self) -> Result<&Cond> {
        let Some(first) = self.0.first() else { bail!("the conditioning holds no prompt") };
        Ok(first)
    }

    /// Changes every prompt.
    pub(crate) fn map(&self, change: impl Fn(&mut Cond)) -> Self {
        let mut changed = self.clone();
        changed.0.iter_mut().for_each(change);
        changed
    }
}

impl ObjectType for Conditioning {
    const SOCKET: &'static str = "CONDITIONING";
}
