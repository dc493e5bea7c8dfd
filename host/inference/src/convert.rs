//! Between the host's arrays and tract's tensors.

use data::{Array, ArrayData, Dtype};
use tract_onnx::prelude::{DatumType, Tensor, TractResult};

/// The element type of the host that holds this one without loss; booleans become bytes.
pub(crate) fn dtype(of: DatumType) -> Option<Dtype> {
    Some(match of {
        DatumType::Bool | DatumType::U8 => Dtype::U8,
        DatumType::U16 | DatumType::U32 => Dtype::U32,
        DatumType::I8 | DatumType::I16 | DatumType::I32 | DatumType::I64 => Dtype::I64,
        DatumType::F16 => Dtype::F16,
        DatumType::F32 => Dtype::F32,
        DatumType::F64 => Dtype::F64,
        _ => return None,
    })
}

/// The array as a tensor of element type `to`.
pub(crate) fn tensor(array: &Array, to: DatumType) -> TractResult<Tensor> {
    let shape = &array.shape;
    let tensor = match &array.data {
        ArrayData::U8(v) => Tensor::from_shape(shape, v)?,
        ArrayData::U32(v) => Tensor::from_shape(shape, v)?,
        ArrayData::I64(v) => Tensor::from_shape(shape, v)?,
        ArrayData::F16(v) => Tensor::from_shape(shape, v)?,
        ArrayData::Bf16(_) => Tensor::from_shape(shape, &array.to_f32())?,
        ArrayData::F32(v) => Tensor::from_shape(shape, v)?,
        ArrayData::F64(v) => Tensor::from_shape(shape, v)?,
    };
    Ok(tensor.cast_to_dt(to)?.into_owned())
}

/// The tensor as an array; `None` for element types that the host does not have.
pub(crate) fn array(tensor: &Tensor) -> TractResult<Option<Array>> {
    let Some(dtype) = dtype(tensor.datum_type()) else { return Ok(None) };
    let shape = tensor.shape().to_vec();
    let data = match dtype {
        Dtype::U8 => ArrayData::U8(elements::<u8>(tensor)?.into()),
        Dtype::U32 => ArrayData::U32(elements::<u32>(tensor)?.into()),
        Dtype::I64 => ArrayData::I64(elements::<i64>(tensor)?.into()),
        Dtype::F16 => ArrayData::F16(elements::<half::f16>(tensor)?.into()),
        Dtype::F64 => ArrayData::F64(elements::<f64>(tensor)?.into()),
        Dtype::F32 | Dtype::Bf16 => ArrayData::F32(elements::<f32>(tensor)?.into()),
    };
    Ok(Some(Array { shape, data }))
}

fn elements<T: tract_onnx::prelude::Datum + Clone>(tensor: &Tensor) -> TractResult<Vec<T>> {
    let cast = tensor.cast_to::<T>()?;
    Ok(cast.to_plain_array_view::<T>()?.iter().cloned().collect())
}
