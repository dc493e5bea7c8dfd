use spec::ObjectType;

/// One or more pictures, not necessarily of one size.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageBatch(pub Vec<data::Image>);

impl ObjectType for ImageBatch {
    const SOCKET: &'static str = "IMAGE";
}
