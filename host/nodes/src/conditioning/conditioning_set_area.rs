use crate::types::{Area, Conditioning};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Lets a conditioning lead a rectangle of the picture.
#[derive(Inputs)]
pub(crate) struct ConditioningSetArea {
    /// The conditioning.
    conditioning: Arc<Conditioning>,
    /// Width of the rectangle, in pixels of the picture.
    #[input(default = 64, range = 64..=16384, step = 8)]
    width: u32,
    /// Height of the rectangle, in pixels.
    #[input(default = 64, range = 64..=16384, step = 8)]
    height: u32,
    /// Its left side, in pixels.
    #[input(default = 0, range = 0..=16384, step = 8)]
    x: u32,
    /// Its upper side, in pixels.
    #[input(default = 0, range = 0..=16384, step = 8)]
    y: u32,
    /// Its share where several conditionings meet.
    #[input(default = 1.0, range = 0.0..=10.0, step = 0.01)]
    strength: f64,
}

impl TypedNode for ConditioningSetArea {
    const ID: &'static str = "ConditioningSetArea";
    const CATEGORY: &'static str = "conditioning";
    const DISPLAY_NAME: &'static str = "Conditioning (Set Area)";
    const STRICT: bool = false;
    type Output = Arc<Conditioning>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let latent = |pixels: u32| (pixels / PIXELS) as usize;
        let (width, height) = (latent(self.width), latent(self.height));
        let area = Area::Latent { width, height, x: latent(self.x), y: latent(self.y) };
        Ok(Arc::new(self.conditioning.map(|one| {
            one.area = Some(area);
            one.strength = self.strength;
        })))
    }
}

/// Pixels of a picture for each pixel of its latent: in every family that ComfyUI's areas were made for.
const PIXELS: u32 = 8;
