//! Pictures and masks: reading, writing, changing.

mod batch_images_node;
mod batch_masks_node;
mod canny;
mod crop_mask;
mod empty_image;
mod feather_mask;
mod flux_kontext_image_scale;
mod get_image_size;
mod grow_mask;
mod image_batch;
mod image_blend;
mod image_blur;
mod image_color_to_mask;
mod image_compare;
mod image_composite_masked;
mod image_crop;
mod image_flip;
mod image_from_batch;
mod image_invert;
mod image_pad_for_outpaint;
mod image_rotate;
mod image_scale;
mod image_scale_by;
mod image_scale_to_max_dimension;
mod image_scale_to_total_pixels;
mod image_sharpen;
mod image_stitch;
mod image_to_mask;
mod image_upscale_with_model;
mod invert_mask;
mod join_image_with_alpha;
mod kernel;
mod load_image;
mod load_image_mask;
mod load_image_output;
mod mask_composite;
mod mask_preview;
mod mask_to_image;
mod pictures;
mod preview_image;
mod rebatch_images;
mod repeat_image_batch;
mod resize;
mod resize_and_pad_image;
mod resize_image_mask_node;
mod save_image;
mod save_image_advanced;
mod solid_mask;
mod split_image_with_alpha;
#[cfg(test)]
mod tests;
mod threshold_mask;

use crate::Make;
use engine::node;
pub(crate) use resize::{lay_over, resize, same_size};
pub(crate) use save_image::{next_number, with_workflow};

pub(crate) const NODES: &[Make] = &[
    node::<load_image::LoadImage>,
    node::<load_image_mask::LoadImageMask>,
    node::<load_image_output::LoadImageOutput>,
    node::<save_image::SaveImage>,
    node::<preview_image::PreviewImage>,
    node::<empty_image::EmptyImage>,
    node::<image_scale::ImageScale>,
    node::<image_scale_by::ImageScaleBy>,
    node::<image_scale_to_total_pixels::ImageScaleToTotalPixels>,
    node::<image_rotate::ImageRotate>,
    node::<image_invert::ImageInvert>,
    node::<image_batch::ImageBatchNode>,
    node::<image_pad_for_outpaint::ImagePadForOutpaint>,
    node::<image_to_mask::ImageToMask>,
    node::<mask_to_image::MaskToImage>,
    node::<solid_mask::SolidMask>,
    node::<invert_mask::InvertMask>,
    node::<grow_mask::GrowMask>,
    node::<feather_mask::FeatherMask>,
    node::<mask_composite::MaskComposite>,
    node::<crop_mask::CropMask>,
    node::<threshold_mask::ThresholdMask>,
    node::<image_composite_masked::ImageCompositeMasked>,
    node::<flux_kontext_image_scale::FluxKontextImageScale>,
    node::<get_image_size::GetImageSize>,
    node::<image_blend::ImageBlend>,
    node::<image_color_to_mask::ImageColorToMask>,
    node::<image_crop::ImageCrop>,
    node::<image_flip::ImageFlip>,
    node::<image_from_batch::ImageFromBatch>,
    node::<image_scale_to_max_dimension::ImageScaleToMaxDimension>,
    node::<image_stitch::ImageStitch>,
    node::<mask_preview::MaskPreview>,
    node::<rebatch_images::RebatchImages>,
    node::<repeat_image_batch::RepeatImageBatch>,
    node::<resize_and_pad_image::ResizeAndPadImage>,
    node::<canny::Canny>,
    node::<image_blur::ImageBlur>,
    node::<image_sharpen::ImageSharpen>,
    node::<image_upscale_with_model::ImageUpscaleWithModel>,
    node::<image_compare::ImageCompare>,
    node::<join_image_with_alpha::JoinImageWithAlpha>,
    node::<split_image_with_alpha::SplitImageWithAlpha>,
    node::<resize_image_mask_node::ResizeImageMaskNode>,
    node::<batch_images_node::BatchImagesNode>,
    node::<batch_masks_node::BatchMasksNode>,
    node::<save_image_advanced::SaveImageAdvanced>,
];
