//! Captions as rows of tokens, and the states of several rows as one: sd-scripts' way with 150 and 225 tokens
//! (`BaseDataset.get_input_ids`, `train_util.get_hidden_states`). Long captions are cut into pieces of 75 tokens without
//! a look at words or commas; every piece gets a start and an end of its own for the text encoder.

use anyhow::{Context, Result, ensure};
use candle_core::Tensor;
use models::{PartStates, TextPart, Texts, TokenCutter};

/// Tokens of a piece, without start and end.
const PIECE: usize = 75;

/// Can these text encoders read several rows?
///
/// # Errors
/// They cannot.
pub fn check_rows(texts: &Texts, rows: usize) -> Result<()> {
    let clip = |part: &TextPart| part.tokens().length() == Some(PIECE + 2);
    ensure!(
        rows == 1 || texts.parts().iter().all(clip),
        "`max_token_length`: {} reads captions of its own length; leave it at {PIECE}",
        texts.family().name
    );
    Ok(())
}

/// A caption as `rows` rows of tokens, and how many tokens did not fit.
///
/// # Errors
/// The tokenizer's.
pub fn rows_of(part: &TextPart, text: &str, rows: usize) -> Result<(Vec<Vec<u32>>, usize)> {
    if rows == 1 {
        let (row, cut) = part.row_of(text)?;
        return Ok((vec![row], cut));
    }
    let cutter = part.tokens();
    let (whole, cut) = long_row(cutter, text, rows)?;
    Ok((split(&whole, cutter.end(), cutter.padding()), cut))
}

/// A caption as one long row, 2 + 75·`rows`: start, tokens, end, padding. Gives how many tokens did not fit, too.
///
/// # Errors
/// The tokenizer's.
pub fn long_row(cutter: &dyn TokenCutter, text: &str, rows: usize) -> Result<(Vec<u32>, usize)> {
    let mut ids = cutter.ids(text)?;
    let room = PIECE * rows;
    let cut = ids.len().saturating_sub(room);
    ids.truncate(room);
    let mut row: Vec<u32> = cutter.start().into_iter().chain(ids).chain([cutter.end()]).collect();
    row.resize(room + 2, cutter.padding());
    Ok((row, cut))
}

/// The pieces of a long row. Each ends with the long row's last token, except that a piece with text up to its end
/// gets an end, and one without any text begins with one.
pub fn split(whole: &[u32], end: u32, padding: u32) -> Vec<Vec<u32>> {
    let (Some(&start), Some(&last)) = (whole.first(), whole.last()) else { return Vec::new() };
    let piece = |piece: &[u32]| {
        let full = piece.last().is_some_and(|id| *id != end && *id != padding);
        let mut row: Vec<u32> = [start].into_iter().chain(piece.iter().copied()).collect();
        row.push(if full { end } else { last });
        if row[1] == padding {
            row[1] = end;
        }
        row
    };
    whole[1..whole.len() - 1].chunks(PIECE).map(piece).collect()
}

/// The states of `rows` rows for each image as those of one: the first start, all pieces, the last end. Pooled states
/// are those of each first row.
///
/// # Errors
/// The states are not of a multiple of `rows` rows.
pub fn join_rows(states: PartStates, rows: usize) -> Result<PartStates> {
    if rows == 1 {
        return Ok(states);
    }
    let (n, length, width) = states.states.dims3()?;
    ensure!(n.is_multiple_of(rows), "expected the states of {rows} rows for each image, found {n}");
    let each = states.states.reshape((n / rows, rows, length, width))?;
    let row = |r: usize, from: usize, count: usize| each.narrow(1, r, 1)?.squeeze(1)?.narrow(1, from, count);
    let mut parts = vec![row(0, 0, 1)?];
    for r in 0..rows {
        parts.push(row(r, 1, length - 2)?);
    }
    parts.push(row(rows - 1, length - 1, 1)?);
    let firsts: Vec<u32> = (0..n).step_by(rows).map(|i| i as u32).collect();
    let pooled = states.pooled.map(|pooled| {
        let firsts = Tensor::new(firsts.as_slice(), pooled.device())?;
        pooled.index_select(&firsts, 0).context("pooled states")
    });
    Ok(PartStates { states: Tensor::cat(&parts, 1)?, pooled: pooled.transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn pieces_get_a_start_and_an_end() {
        // As SD 1.5: padded with the end. 100 tokens in 150.
        let text: Vec<u32> = (1..=100).collect();
        let whole: Vec<u32> = [900].into_iter().chain(text).chain([901; 51]).collect();
        let rows = split(&whole, 901, 901);
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [77, 77]);
        assert_eq!((rows[0][0], rows[0][1], rows[0][75], rows[0][76]), (900, 1, 75, 901));
        assert_eq!((rows[1][0], rows[1][1], rows[1][25], rows[1][26]), (900, 76, 100, 901));
        // As SDXL's second encoder: padded with 0. 75 tokens in 150: the second piece is empty.
        let whole: Vec<u32> = [900].into_iter().chain(1..=75).chain([901]).chain([0; 75]).collect();
        let rows = split(&whole, 901, 0);
        assert_eq!((rows[0][75], rows[0][76]), (75, 901));
        assert_eq!((rows[1][0], rows[1][1], rows[1][2], rows[1][76]), (900, 901, 0, 0));
    }

    #[test]
    fn states_are_joined_without_the_ends_between() {
        let states = Tensor::arange(0f32, 2.0 * 2.0 * 77.0, &Device::Cpu).unwrap().reshape((4, 77, 1)).unwrap();
        let pooled = Tensor::new(&[[0f32], [1.0], [2.0], [3.0]], &Device::Cpu).unwrap();
        let joined = join_rows(PartStates { states, pooled: Some(pooled) }, 2).unwrap();
        assert_eq!(joined.states.dims(), [2, 152, 1]);
        let row: Vec<f32> = joined.states.get(1).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!((row[0], row[1], row[75], row[76], row[150], row[151]), (154.0, 155.0, 229.0, 232.0, 306.0, 307.0));
        assert_eq!(joined.pooled.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), [0.0, 2.0]);
    }
}
