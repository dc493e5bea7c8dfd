//! Latents as tokens, and the positions that attention sees.

use super::FluxConfig;
use crate::error::Result;
use crate::ops::Rotation;
use candle_core::Tensor;

/// Base of the angles' periods.
const THETA: f64 = 10_000.0;

/// (b, c, h, w) → (b, h/2·w/2, 4c): 2×2 pixels are a token, channels first within it. Odd sides are continued with their
/// first row or column, as ComfyUI does (`pad_to_patch_size`).
pub(super) fn pack(x: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let x = if h % 2 == 1 { Tensor::cat(&[x, &x.narrow(2, 0, 1)?], 2)? } else { x.clone() };
    let x = if w % 2 == 1 { Tensor::cat(&[&x, &x.narrow(3, 0, 1)?], 3)? } else { x };
    let (rows, columns) = (h.div_ceil(2), w.div_ceil(2));
    // (b, c, rows, 2, columns, 2) → (b, rows, columns, c, 2, 2)
    let x = x.reshape(vec![b, c, rows, 2, columns, 2])?.permute(vec![0, 2, 4, 1, 3, 5])?;
    Ok(x.contiguous()?.reshape((b, rows * columns, 4 * c))?)
}

/// The way back, to latents of `h` by `w` pixels.
pub(super) fn unpack(tokens: &Tensor, h: usize, w: usize) -> Result<Tensor> {
    let (b, _, packed) = tokens.dims3()?;
    let (c, rows, columns) = (packed / 4, h.div_ceil(2), w.div_ceil(2));
    let x = tokens.reshape(vec![b, rows, columns, c, 2, 2])?.permute(vec![0, 3, 1, 4, 2, 5])?;
    let x = x.contiguous()?.reshape((b, c, 2 * rows, 2 * columns))?;
    Ok(x.narrow(2, 0, h)?.narrow(3, 0, w)?.contiguous()?)
}

/// Where the tokens of a picture stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The first of a token's three positions.
    pub(super) axis: usize,
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// The places of pictures (b, c, h, w) beside the noisy one: on a sheet of their own, each below or right of those before,
/// whichever keeps the sheet smaller (ComfyUI, `ref_latents_method` «offset», which Flux.1 Kontext has).
pub(super) fn beside(pictures: &[Tensor]) -> Vec<Place> {
    let (mut height, mut width) = (0, 0);
    let mut places = Vec::with_capacity(pictures.len());
    for picture in pictures {
        let [.., h, w] = *picture.dims() else { continue };
        let (top, left) = if h + height > w + width { (0, width) } else { (height, 0) };
        (height, width) = (height.max(h + top), width.max(w + left));
        let tokens = |pixels: usize| pixels.div_ceil(2);
        places.push(Place { axis: 1, top: tokens(top), left: tokens(left), rows: tokens(h), columns: tokens(w) });
    }
    places
}

/// The angles of `text` tokens, which all stand at zero, and of the tokens of pictures behind them.
pub(super) fn rotation(config: &FluxConfig, text: usize, places: &[Place]) -> Rotation {
    let half = config.hidden / config.heads / 2;
    let periods: Vec<(usize, f64)> = config
        .axes
        .iter()
        .enumerate()
        .flat_map(|(axis, &width)| (0..width / 2).map(move |i| (axis, THETA.powf(-((2 * i) as f64) / width as f64))))
        .collect();
    let mut angles = vec![0.0; text * half];
    angles.reserve(places.iter().map(|p| p.rows * p.columns * half).sum());
    for place in places {
        for row in place.top..place.top + place.rows {
            for column in place.left..place.left + place.columns {
                let at = [place.axis as f64, row as f64, column as f64];
                angles.extend(periods.iter().map(|&(axis, omega)| at[axis] * omega));
            }
        }
    }
    Rotation::new(&angles, half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{close, random};

    #[test]
    fn tokens_are_channels_of_two_by_two_pixels() {
        let x = Tensor::arange(0f32, 16.0, &candle_core::Device::Cpu).unwrap().reshape((1, 2, 2, 4)).unwrap();
        let tokens = pack(&x).unwrap();
        let want = [[0f32, 1., 4., 5., 8., 9., 12., 13.], [2., 3., 6., 7., 10., 11., 14., 15.]];
        assert_eq!(tokens.squeeze(0).unwrap().to_vec2::<f32>().unwrap(), want);
        for (h, w) in [(4usize, 6usize), (3, 4), (6, 5), (7, 3), (1, 1)] {
            let x = random((2, 3, h, w), 1).unwrap();
            let tokens = pack(&x).unwrap();
            assert_eq!(tokens.dims(), [2, h.div_ceil(2) * w.div_ceil(2), 12]);
            close(&unpack(&tokens, h, w).unwrap(), &x, 0.0).unwrap();
        }
    }

    #[test]
    fn pictures_beside_stand_on_a_sheet_of_their_own() {
        let picture = |h, w| Tensor::zeros((1, 1, h, w), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
        let found = beside(&[picture(4, 8), picture(4, 6), picture(10, 3)]);
        let place = |top, left, rows, columns| Place { axis: 1, top, left, rows, columns };
        assert_eq!(found, [place(0, 0, 2, 4), place(2, 0, 2, 3), place(0, 4, 5, 2)]);
    }

    #[test]
    fn odd_sides_are_continued_with_their_first_pixels() {
        let x = Tensor::new(&[[[[1f32, 2., 3.]]]], &candle_core::Device::Cpu).unwrap();
        let want = [[1f32, 2., 1., 2.], [3., 1., 3., 1.]];
        assert_eq!(pack(&x).unwrap().squeeze(0).unwrap().to_vec2::<f32>().unwrap(), want);
    }
}
