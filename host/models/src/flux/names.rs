//! Where the modules of diffusers' `FluxTransformer2DModel` lie in the layers of the original code, which this program
//! uses: some are a stretch of the rows of a joined layer. The facts are those of diffusers'
//! `scripts/convert_flux_to_diffusers.py`.

use crate::load::{Named, whole};
use crate::weights::Piece;

/// Where a module of diffusers lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The layer in the original code, for example `double_blocks.0.img_attn.qkv`.
    pub(crate) layer: String,
    /// Which of its rows (outputs) the module is.
    pub(crate) rows: Rows,
}

/// Rows of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// All of them, in the same order.
    All,
    /// As many as the module has, from this many times the hidden width on.
    From(usize),
    /// All, but the two halves have changed places: diffusers has (scale, shift), the original (shift, scale).
    HalvesSwapped,
}

type Table = &'static [(&'static str, &'static str, Rows)];

const TOP: Table = &[
    ("x_embedder", "img_in", Rows::All),
    ("context_embedder", "txt_in", Rows::All),
    ("time_text_embed.timestep_embedder.linear_1", "time_in.in_layer", Rows::All),
    ("time_text_embed.timestep_embedder.linear_2", "time_in.out_layer", Rows::All),
    ("time_text_embed.guidance_embedder.linear_1", "guidance_in.in_layer", Rows::All),
    ("time_text_embed.guidance_embedder.linear_2", "guidance_in.out_layer", Rows::All),
    ("time_text_embed.text_embedder.linear_1", "vector_in.in_layer", Rows::All),
    ("time_text_embed.text_embedder.linear_2", "vector_in.out_layer", Rows::All),
    ("norm_out.linear", "final_layer.adaLN_modulation.1", Rows::HalvesSwapped),
    ("proj_out", "final_layer.linear", Rows::All),
];

/// Within `transformer_blocks.N` and `double_blocks.N`.
const DOUBLE: Table = &[
    ("norm1.linear", "img_mod.lin", Rows::All),
    ("norm1_context.linear", "txt_mod.lin", Rows::All),
    ("attn.to_q", "img_attn.qkv", Rows::From(0)),
    ("attn.to_k", "img_attn.qkv", Rows::From(1)),
    ("attn.to_v", "img_attn.qkv", Rows::From(2)),
    ("attn.add_q_proj", "txt_attn.qkv", Rows::From(0)),
    ("attn.add_k_proj", "txt_attn.qkv", Rows::From(1)),
    ("attn.add_v_proj", "txt_attn.qkv", Rows::From(2)),
    ("attn.norm_q", "img_attn.norm.query_norm", Rows::All),
    ("attn.norm_k", "img_attn.norm.key_norm", Rows::All),
    ("attn.norm_added_q", "txt_attn.norm.query_norm", Rows::All),
    ("attn.norm_added_k", "txt_attn.norm.key_norm", Rows::All),
    ("attn.to_out.0", "img_attn.proj", Rows::All),
    ("attn.to_add_out", "txt_attn.proj", Rows::All),
    ("ff.net.0.proj", "img_mlp.0", Rows::All),
    ("ff.net.2", "img_mlp.2", Rows::All),
    ("ff_context.net.0.proj", "txt_mlp.0", Rows::All),
    ("ff_context.net.2", "txt_mlp.2", Rows::All),
];

/// Within `single_transformer_blocks.N` and `single_blocks.N`.
const SINGLE: Table = &[
    ("norm.linear", "modulation.lin", Rows::All),
    ("attn.to_q", "linear1", Rows::From(0)),
    ("attn.to_k", "linear1", Rows::From(1)),
    ("attn.to_v", "linear1", Rows::From(2)),
    ("proj_mlp", "linear1", Rows::From(3)),
    ("proj_out", "linear2", Rows::All),
    ("attn.norm_q", "norm.query_norm", Rows::All),
    ("attn.norm_k", "norm.key_norm", Rows::All),
];

const BLOCKS: &[(&str, &str, Table)] =
    &[("transformer_blocks.", "double_blocks.", DOUBLE), ("single_transformer_blocks.", "single_blocks.", SINGLE)];

/// Where a module of diffusers lies, for example `transformer_blocks.0.attn.to_q`; none for what is no module of it.
pub(crate) fn place(module: &str) -> Option<Place> {
    let row = |table: Table, name: &str| table.iter().find(|row| row.0 == name);
    for (theirs, ours, table) in BLOCKS {
        if let Some((index, name)) = module.strip_prefix(theirs).and_then(|rest| rest.split_once('.')) {
            let index: usize = index.parse().ok()?;
            let (_, layer, rows) = row(table, name)?;
            return Some(Place { layer: format!("{ours}{index}.{layer}"), rows: *rows });
        }
    }
    let (_, layer, rows) = row(TOP, module)?;
    Some(Place { layer: (*layer).to_owned(), rows: *rows })
}

/// What diffusers has where a layer of the original is: its modules, and which rows they are.
pub(crate) fn modules(layer: &str) -> Vec<(String, Rows)> {
    let of = |table: Table, name: &str| -> Vec<(&'static str, Rows)> {
        table.iter().filter(|row| row.1 == name).map(|row| (row.0, row.2)).collect()
    };
    for (theirs, ours, table) in BLOCKS {
        if let Some((index, name)) = layer.strip_prefix(ours).and_then(|rest| rest.split_once('.')) {
            let named = |(module, rows)| (format!("{theirs}{index}.{module}"), rows);
            return of(table, name).into_iter().map(named).collect();
        }
    }
    of(TOP, layer).into_iter().map(|(module, rows)| (module.to_owned(), rows)).collect()
}

/// A tensor of diffusers under the original names: a piece of a joined one, or one in two pieces. What has no place keeps
/// its name, so that it is told as surplus.
pub(super) fn diffusers(key: &str, piece: Piece) -> Vec<Named> {
    let found = key.rsplit_once('.').and_then(|(module, leaf)| Some((place(module)?, leaf)));
    let Some((Place { layer, rows }, leaf)) = found else { return whole(key.to_owned(), piece) };
    // The original calls the weight of a norm its scale.
    let leaf = if layer.ends_with("_norm") && leaf == "weight" { "scale" } else { leaf };
    let name = format!("{layer}.{leaf}");
    match rows {
        Rows::All => whole(name, piece),
        Rows::From(at) => vec![(name, at, piece)],
        Rows::HalvesSwapped => {
            let half = piece.shape().and_then(|shape| shape.first().copied()).unwrap_or(0) / 2;
            let rows = |rows| Piece { rows: Some(rows), ..piece.clone() };
            vec![(name.clone(), 0, rows(half..2 * half)), (name, 1, rows(0..half))]
        }
    }
}

/// A tensor of a file in the original layout. Some converters call the scale of a norm its weight.
pub(super) fn original(key: &str, piece: Piece) -> Vec<Named> {
    match key.strip_suffix("_norm.weight") {
        Some(rest) => whole(format!("{rest}_norm.scale"), piece),
        None => whole(key.to_owned(), piece),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_has_one_place() {
        let at = |layer: &str, rows| Some(Place { layer: layer.into(), rows });
        assert_eq!(place("transformer_blocks.3.attn.add_k_proj"), at("double_blocks.3.txt_attn.qkv", Rows::From(1)));
        assert_eq!(place("single_transformer_blocks.12.proj_mlp"), at("single_blocks.12.linear1", Rows::From(3)));
        assert_eq!(place("norm_out.linear"), at("final_layer.adaLN_modulation.1", Rows::HalvesSwapped));
        assert_eq!(place("transformer_blocks.x.attn.to_q"), None);
        assert_eq!(place("transformer_blocks.0.attn.to_w"), None);
        for table in [TOP, DOUBLE, SINGLE] {
            for (i, row) in table.iter().enumerate() {
                assert!(table[..i].iter().all(|other| other.0 != row.0 && (other.1, other.2) != (row.1, row.2)));
            }
        }
    }
}
