//! Flux: ours are the original modules, of which diffusers cuts some into pieces.

use super::{Layout, Parameter, Place, Rows, Spelling};
use crate::flux::names;

pub(super) const TRANSFORMER: Layout =
    Layout { component: "transformer", kernels: false, mark: "double_blocks.", spell };

fn spell(parameters: &[Parameter]) -> Vec<Spelling> {
    parameters.iter().flat_map(modules).collect()
}

/// The modules that one of our parameters is: itself, and what diffusers has there.
fn modules(parameter: &Parameter) -> Vec<Spelling> {
    let out = parameter.shape.first().copied().unwrap_or(0);
    let width = parameter.shape.get(1).copied().unwrap_or(0);
    let theirs = names::modules(&parameter.path);
    // Matrices that are as many outputs of the hidden width, one after another; the last has what is left.
    let starts: Vec<usize> = theirs.iter().filter_map(|(_, rows)| from(*rows)).map(|n| n * width).collect();
    let whole = Place::of(parameter, Rows::All);
    let mut own = Spelling { diffusers: None, original: Some(parameter.original.clone()), place: whole };
    let mut pieces = Vec::new();
    for (module, rows) in theirs {
        let rows = match rows {
            names::Rows::All => {
                own.diffusers = Some(module);
                continue;
            }
            names::Rows::HalvesSwapped => Rows::Turned,
            names::Rows::From(n) => {
                let start = n * width;
                let end = starts.iter().copied().filter(|&next| next > start).min().unwrap_or(out);
                Rows::Part(start, end.saturating_sub(start))
            }
        };
        let place = Place::of(parameter, rows);
        pieces.push(Spelling { diffusers: Some(module), original: None, place });
    }
    pieces.insert(0, own);
    pieces
}

fn from(rows: names::Rows) -> Option<usize> {
    match rows {
        names::Rows::From(n) => Some(n),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str, shape: &[usize]) -> Vec<(Option<String>, Rows)> {
        let parameter = Parameter { path: path.into(), original: path.into(), shape: shape.into(), bias: true };
        modules(&parameter).into_iter().map(|spelling| (spelling.diffusers, spelling.place.rows)).collect()
    }

    #[test]
    fn fused_matrices_are_several_modules_of_diffusers() {
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(
            names("single_blocks.12.linear1", &[7 * 8, 8]),
            [
                (None, Rows::All),
                (some("single_transformer_blocks.12.attn.to_q"), Rows::Part(0, 8)),
                (some("single_transformer_blocks.12.attn.to_k"), Rows::Part(8, 8)),
                (some("single_transformer_blocks.12.attn.to_v"), Rows::Part(16, 8)),
                (some("single_transformer_blocks.12.proj_mlp"), Rows::Part(24, 32)),
            ]
        );
        assert_eq!(
            names("double_blocks.0.img_mlp.0", &[4, 1]),
            [(some("transformer_blocks.0.ff.net.0.proj"), Rows::All)]
        );
        assert_eq!(
            names("final_layer.adaLN_modulation.1", &[4, 2]),
            [(None, Rows::All), (some("norm_out.linear"), Rows::Turned)]
        );
        assert_eq!(names("time_in.in_layer", &[4, 2])[0].0, some("time_text_embed.timestep_embedder.linear_1"));
    }
}
