use super::resize::resize_each;
use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Brings pictures to the size that Flux.1 Kontext was trained with and whose shape is nearest to theirs.
#[derive(Inputs)]
pub(crate) struct FluxKontextImageScale {
    /// The pictures.
    image: Arc<ImageBatch>,
}

/// Widths and heights of its training pictures (Flux.1 Kontext's published inference code).
const SIZES: [(usize, usize); 17] = [
    (672, 1568),
    (688, 1504),
    (720, 1456),
    (752, 1392),
    (800, 1328),
    (832, 1248),
    (880, 1184),
    (944, 1104),
    (1024, 1024),
    (1104, 944),
    (1184, 880),
    (1248, 832),
    (1328, 800),
    (1392, 752),
    (1456, 720),
    (1504, 688),
    (1568, 672),
];

impl TypedNode for FluxKontextImageScale {
    const ID: &'static str = "FluxKontextImageScale";
    const CATEGORY: &'static str = "advanced/conditioning/flux";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        resize_each(ctx, &self.image, "lanczos", true, |w, h| Some(nearest(w as f64 / h as f64)))
    }
}

fn nearest(shape: f64) -> (usize, usize) {
    let distance = |(w, h): (usize, usize)| (shape - w as f64 / h as f64).abs();
    SIZES.into_iter().fold(SIZES[0], |best, size| if distance(size) < distance(best) { size } else { best })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_nearest_shape_is_taken() {
        assert_eq!(super::nearest(1.0), (1024, 1024));
        assert_eq!(super::nearest(16.0 / 9.0), (1392, 752));
        assert_eq!((super::nearest(0.01), super::nearest(99.0)), ((672, 1568), (1568, 672)));
    }
}
