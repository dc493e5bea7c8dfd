use crate::Make;

pub(crate) const NODES: &[Make] = &[];
