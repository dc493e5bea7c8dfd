//! Number formats of saved networks, and of bases in 8 bits.

use crate::reference::Tensors;
use candle_core::{DType, Device, Tensor};

fn same(name: &str, found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len());
    for (i, (f, w)) in found.iter().zip(wanted).enumerate() {
        assert!(f.to_bits() == w.to_bits() || (f.is_nan() && w.is_nan()), "{name} {i}: {f} instead of {w}");
    }
}

#[test]
fn numbers_are_rounded_as_torch_rounds_them() {
    let wanted = Tensors::open("optim/casts.safetensors");
    let x = wanted.f32s("x");
    for name in wanted.names().iter().filter_map(|n| n.strip_suffix(".back")) {
        let bits = match name {
            "f16" => x.iter().map(|&v| half::f16::from_f32(v).to_bits()).collect::<Vec<_>>(),
            "bf16" => x.iter().map(|&v| half::bf16::from_f32(v).to_bits()).collect(),
            other => {
                println!("SKIPPED: {other}: nothing is written in this format");
                continue;
            }
        };
        let stored = wanted.bytes(&format!("{name}.bits"));
        let back = |bits: &u16| {
            if name == "f16" { half::f16::from_bits(*bits).into() } else { half::bf16::from_bits(*bits).into() }
        };
        let values: Vec<f32> = bits.iter().map(back).collect();
        same(name, &values, &wanted.f32s(&format!("{name}.back")));
        let differ = bits.iter().zip(stored.as_chunks::<2>().0).zip(&x);
        let differ: Vec<_> = differ.filter(|((b, s), x)| **b != u16::from_le_bytes(**s) && !x.is_nan()).collect();
        assert!(differ.is_empty(), "{name}: {:?}", differ.first());
    }
    for name in wanted.names().iter().filter_map(|n| n.strip_suffix(".all")) {
        if name != "e4m3fn" {
            println!("SKIPPED: {name}: nothing is read in this format");
            continue;
        }
        let bytes: Vec<u8> = (0..=255).collect();
        let tensor = Tensor::from_raw_buffer(&bytes, DType::F8E4M3, &[256], &Device::Cpu).unwrap();
        let values: Vec<f32> = tensor.to_dtype(DType::F32).unwrap().to_vec1().unwrap();
        same(name, &values, &wanted.f32s(&format!("{name}.all")));
    }
}
