use crate::types::{ImageBatch, Mask};
use anyhow::{Context as _, Result};
use candle_core::Tensor;
use engine::IntoValue;
use spec::{FromValue, Socket, Value};
use std::sync::Arc;

/// Pictures or a mask; what is made of them is the same again.
pub(crate) enum Pictures {
    Images(Arc<ImageBatch>),
    Mask(Arc<Mask>),
}

fn socket() -> Socket {
    Socket::from_name("IMAGE,MASK")
}

impl FromValue for Pictures {
    fn socket() -> Socket {
        socket()
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let images = FromValue::from_value(value).map(Self::Images);
        images
            .or_else(|_| FromValue::from_value(value).map(Self::Mask))
            .map_err(|_: String| format!("expected pictures or a mask, found {}", value.describe()))
    }
}

impl IntoValue for Pictures {
    fn socket() -> Socket {
        socket()
    }

    fn into_value(self) -> Value {
        match self {
            Self::Images(images) => images.into_value(),
            Self::Mask(mask) => mask.into_value(),
        }
    }
}

impl Pictures {
    /// Width and height, of several pictures those of the first.
    pub(super) fn size(&self) -> Result<(usize, usize)> {
        match self {
            Self::Images(images) => {
                let first = images.images().first().context("no pictures")?;
                Ok((first.width as usize, first.height as usize))
            }
            Self::Mask(mask) => {
                let (_, h, w) = mask.0.dims3()?;
                Ok((w, h))
            }
        }
    }

    /// Changes each picture, (1, 3, h, w) of 0…1, or all of a mask, (b, 1, h, w).
    pub(super) fn each(&self, mut change: impl FnMut(Tensor) -> Result<Tensor>) -> Result<Self> {
        match self {
            Self::Images(images) => Ok(Self::Images(Arc::new(images.each(change)?))),
            Self::Mask(mask) => Ok(Self::Mask(Arc::new(Mask(change(mask.0.unsqueeze(1)?)?.squeeze(1)?)))),
        }
    }
}
