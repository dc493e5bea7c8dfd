use candle_core::Tensor;
use spec::ObjectType;

/// Pictures of how much, 0…1: (b, h, w) f32.
#[derive(Clone, Debug)]
pub struct Mask(pub Tensor);

impl ObjectType for Mask {
    const SOCKET: &'static str = "MASK";
}
