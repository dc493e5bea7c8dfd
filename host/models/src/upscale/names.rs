//! The names of an ESRGAN's layers in its three forms → those of the newest.

use crate::family::Shapes;
use crate::load::{Named, whole};
use crate::unet::names::number;
use crate::weights::Piece;

/// Layers outside of the blocks in the first published code → BasicSR's.
const FIRST: &[(&str, &str)] =
    &[("trunk_conv.", "conv_body."), ("upconv", "conv_up"), ("HRconv.", "conv_hr."), ("RRDB_trunk.", "body.")];

/// How a file's layers are named.
pub(super) enum Form {
    /// `conv_first`, `body.0.rdb1.conv1` (BasicSR, Real-ESRGAN), or with the names of the first published code.
    Named,
    /// `model.0`, `model.1.sub.0.RDB1.conv1.0`: numbers of a sequence. The numbers of its convolutions behind the blocks,
    /// and how many blocks there are.
    Numbered { tail: Vec<usize>, blocks: usize },
}

impl Form {
    pub(super) fn of(shapes: &Shapes) -> Form {
        if !shapes.contains_key("model.0.weight") {
            return Form::Named;
        }
        let numbers = |before: &str| {
            let weights =
                shapes.keys().filter_map(|key| key.strip_prefix(before)?.strip_suffix(".weight")?.parse().ok());
            let mut numbers: Vec<usize> = weights.collect();
            numbers.sort_unstable();
            numbers
        };
        let tail = numbers("model.").into_iter().filter(|&n| n > 0).collect();
        Form::Numbered { tail, blocks: numbers("model.1.sub.").last().copied().unwrap_or(0) }
    }

    /// A tensor under BasicSR's name. A key without a translation keeps its own, so that it is told as surplus.
    pub(super) fn name(&self, key: &str, piece: Piece) -> Vec<Named> {
        let name = match self {
            Form::Named => named(key),
            Form::Numbered { tail, blocks } => numbered(key, tail, *blocks),
        };
        whole(name.unwrap_or_else(|| key.to_owned()), piece)
    }
}

fn named(key: &str) -> Option<String> {
    let (old, new) = FIRST.iter().find(|(old, _)| key.starts_with(old))?;
    Some(format!("{new}{}", &key[old.len()..]).replace(".RDB", ".rdb"))
}

fn numbered(key: &str, tail: &[usize], blocks: usize) -> Option<String> {
    let (index, rest) = number(key.strip_prefix("model.")?)?;
    if index == 0 {
        return Some(format!("conv_first.{rest}"));
    }
    if let Some(rest) = rest.strip_prefix("sub.") {
        let (block, rest) = number(rest)?;
        if block == blocks {
            return Some(format!("conv_body.{rest}"));
        }
        // `RDB1.conv1.0.weight`: a convolution and what follows it are a sequence.
        let (conv, leaf) = rest.split_once(".0.")?;
        return Some(format!("body.{block}.{}.{leaf}", conv.replace("RDB", "rdb")));
    }
    let at = tail.iter().position(|&n| n == index)?;
    Some(match tail.len() - at {
        1 => format!("conv_last.{rest}"),
        2 => format!("conv_hr.{rest}"),
        _ => format!("conv_up{}.{rest}", at + 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_old_forms_are_translated() {
        for (old, new) in [
            ("RRDB_trunk.3.RDB2.conv5.bias", "body.3.rdb2.conv5.bias"),
            ("trunk_conv.weight", "conv_body.weight"),
            ("upconv2.weight", "conv_up2.weight"),
            ("HRconv.bias", "conv_hr.bias"),
        ] {
            assert_eq!(named(old).as_deref(), Some(new));
        }
        let numbers = |key: &str| numbered(key, &[3, 6, 8, 10], 23);
        for (old, new) in [
            ("model.0.weight", "conv_first.weight"),
            ("model.1.sub.22.RDB3.conv4.0.bias", "body.22.rdb3.conv4.bias"),
            ("model.1.sub.23.weight", "conv_body.weight"),
            ("model.3.weight", "conv_up1.weight"),
            ("model.6.bias", "conv_up2.bias"),
            ("model.8.weight", "conv_hr.weight"),
            ("model.10.bias", "conv_last.bias"),
        ] {
            assert_eq!(numbers(old).as_deref(), Some(new));
        }
        assert_eq!(numbers("model.4.weight"), None);
    }
}
