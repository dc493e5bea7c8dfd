use models::Upscaler;
use spec::ObjectType;

/// A network that enlarges pictures.
#[derive(Clone)]
pub struct UpscaleModel {
    pub net: Upscaler,
}

impl ObjectType for UpscaleModel {
    const SOCKET: &'static str = "UPSCALE_MODEL";
}
