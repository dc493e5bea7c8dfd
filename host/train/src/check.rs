//! Before the first step: does every tensor that is to be trained receive a gradient?

use crate::dice::{Purpose, Stream};
use crate::step::{Batch, Trainer};
use anyhow::{Result, ensure};

/// One backward pass with every tensor that starts at zero moved a little away from it, because the other half of a
/// LoRA has no gradient by construction as long as one half is zero. All values are put back afterwards.
///
/// # Errors
/// Names the tensors whose gradient is missing, zero or not finite.
pub fn check_gradients(trainer: &mut Trainer, batch: &Batch) -> Result<()> {
    let kept: Vec<Vec<f32>> = trainer.trained.params.iter().map(|p| p.values.clone()).collect();
    for (i, param) in trainer.trained.params.iter_mut().enumerate() {
        if param.values.iter().all(|&v| v == 0.0) {
            let mut dice = Stream::new(0, Purpose::Check, i as u64);
            param.values.iter_mut().for_each(|v| *v = 0.02 * dice.normal() as f32);
            param.publish()?;
        }
    }
    let result = trainer.accumulate_whole(batch);
    let silent = |g: &Vec<f32>| g.iter().all(|&v| v == 0.0);
    let named = trainer.trained.params.iter().zip(trainer.gradients());
    let dead: Vec<String> = named.filter(|(_, g)| silent(g)).map(|(p, _)| p.name.clone()).collect();
    let broken: Vec<String> = trainer.broken().into_iter().map(str::to_owned).collect();
    trainer.clear();
    for (param, values) in trainer.trained.params.iter_mut().zip(kept) {
        param.values = values;
        param.publish()?;
    }
    let losses = result?;
    ensure!(
        losses.mean.is_finite(),
        "the loss is not a finite number before the first step ({:?}): the base or the cached latents are broken",
        losses.per_image
    );
    ensure!(broken.is_empty(), "gradients are not finite before the first step: {}", some(&broken));
    ensure!(
        dead.is_empty(),
        "{} of {} tensors to be trained get no gradient, so that training would leave them as they are: {}",
        dead.len(),
        trainer.trained.params.len(),
        some(&dead)
    );
    Ok(())
}

fn some(names: &[String]) -> String {
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{shown} and {} more", names.len() - 5) } else { shown }
}
