use crate::types::{Area, Conditioning};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Lets a conditioning lead a rectangle of the picture, whatever its size.
#[derive(Inputs)]
pub(crate) struct ConditioningSetAreaPercentage {
    /// The conditioning.
    conditioning: Arc<Conditioning>,
    /// Width of the rectangle, as a share of the picture's.
    #[input(default = 1.0, range = 0.0..=1.0, step = 0.01)]
    width: f64,
    /// Height of the rectangle, as a share.
    #[input(default = 1.0, range = 0.0..=1.0, step = 0.01)]
    height: f64,
    /// Its left side, as a share of the width.
    #[input(default = 0.0, range = 0.0..=1.0, step = 0.01)]
    x: f64,
    /// Its upper side, as a share of the height.
    #[input(default = 0.0, range = 0.0..=1.0, step = 0.01)]
    y: f64,
    /// Its share where several conditionings meet.
    #[input(default = 1.0, range = 0.0..=10.0, step = 0.01)]
    strength: f64,
}

impl TypedNode for ConditioningSetAreaPercentage {
    const ID: &'static str = "ConditioningSetAreaPercentage";
    const CATEGORY: &'static str = "conditioning";
    const DISPLAY_NAME: &'static str = "Conditioning (Set Area with Percentage)";
    const STRICT: bool = false;
    type Output = Arc<Conditioning>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let area = Area::Share { width: self.width, height: self.height, x: self.x, y: self.y };
        Ok(Arc::new(self.conditioning.map(|one| {
            one.area = Some(area);
            one.strength = self.strength;
        })))
    }
}
