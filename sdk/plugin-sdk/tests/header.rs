//! The C header says the same as the Rust tables: a C compiler checks sizes, offsets and constants.

#![allow(clippy::unwrap_used)]

use plugin_abi as abi;
use std::fmt::Write as _;
use std::mem::{offset_of, size_of};
use std::path::Path;
use std::process::Command;

/// One C assertion per size and field.
macro_rules! layout {
    ($out:ident, $rust:ident = $c:ident { $($field:ident $(as $c_field:ident)?),* $(,)? }) => {
        check(&mut $out, &format!("sizeof({})", stringify!($c)), size_of::<abi::$rust>() as u64);
        let mut fields: Vec<(&str, usize)> = Vec::new();
        $(fields.push((stringify!($field), offset_of!(abi::$rust, $field)));)*
        for (field, offset) in fields {
            check(&mut $out, &format!("offsetof({}, {field})", stringify!($c)), offset as u64);
        }
    };
}

fn check(out: &mut String, what: &str, value: u64) {
    writeln!(out, "_Static_assert({what} == {value}ull, \"{what}\");").unwrap();
}

#[test]
fn header_has_the_layout_of_the_tables() {
    let mut c = String::from("#include \"anagama.h\"\n");
    layout!(c, Str = anagama_str { ptr, len });
    layout!(c, Sink = anagama_sink { ctx, put });
    layout!(c, Rect = anagama_rect { x, y, width, height });
    layout!(c, ResizeSpec = anagama_resize_spec { struct_size, width, height, fit, filter, pad_color });
    layout!(
        c,
        TensorSpec = anagama_tensor_spec { struct_size, has_resize, resize, layout, order, scale, mean, std, dtype }
    );
    layout!(c, TensorInfo = anagama_tensor_info { struct_size, dtype, rank, shape });
    layout!(c, NamedTensor = anagama_named_tensor { name, tensor });
    layout!(c, IndexValue = anagama_index_value { index, value });
    layout!(
        c,
        HostTable = anagama_host {
            struct_size,
            abi_magic,
            abi_major,
            abi_minor,
            ctx,
            log,
            progress,
            cancelled,
            seed,
            image_width,
            image_height,
            image_format,
            image_digest,
            image_perceptual_hash,
            image_metadata,
            image_read,
            image_view,
            image_resize,
            image_crop,
            image_convert,
            image_to_tensor,
            image_encode,
            image_share,
            image_drop,
            image_decode,
            image_from_pixels,
            tensor_from_bytes,
            tensor_info,
            tensor_read_bytes,
            tensor_read_f32,
            tensor_view,
            tensor_cast,
            tensor_reshape,
            tensor_narrow,
            tensor_sigmoid,
            tensor_softmax,
            tensor_top_k,
            tensor_above,
            tensor_stack,
            tensor_share,
            tensor_drop,
            inference_models,
            inference_load,
            session_info,
            session_asset,
            session_run,
            session_drop,
            generate,
            files_list_dir,
            files_read,
            files_read_image,
            storage_get,
            storage_set,
            storage_delete,
            storage_keys,
            http_fetch,
            http_fetch_image,
            handle_type_name,
            handle_share,
            handle_drop,
        }
    );
    layout!(c, CaptionRequest = anagama_caption_request { image, known });
    layout!(c, CaptionerTable = anagama_captioner { struct_size, thread_safety, open, close, max_batch, caption });
    layout!(c, FilterRequest = anagama_filter_request { id, subset, annotation });
    layout!(c, TagFilterTable = anagama_tag_filter { struct_size, thread_safety, open, close, passes, observe, apply });
    layout!(c, DatasetSourceTable = anagama_dataset_source { struct_size, thread_safety, open, close, next_page });
    layout!(c, Sample = anagama_sample { image, reference, id, prompt, extra, seed, has_seed });
    layout!(
        c,
        EvaluatorTable = anagama_evaluator { struct_size, thread_safety, open, close, metrics, reference, add, finish }
    );
    layout!(c, NodeTable = anagama_node { struct_size, thread_safety, run, call });
    layout!(
        c,
        PluginTable =
            anagama_plugin { struct_size, abi_magic, abi_major, abi_minor, wit_version, describe, get_interface }
    );

    for (name, value) in [
        ("ANAGAMA_ABI_MAGIC", abi::ABI_MAGIC.into()),
        ("ANAGAMA_ABI_MAJOR", abi::ABI_MAJOR.into()),
        ("ANAGAMA_ABI_MINOR", abi::ABI_MINOR.into()),
        ("ANAGAMA_WHOLE", abi::WHOLE),
        ("ANAGAMA_NONE", abi::NONE),
        ("ANAGAMA_OK", abi::OK as u64),
        ("ANAGAMA_ERROR", abi::ERROR as u64),
        ("ANAGAMA_PANICKED", abi::PANICKED as u64),
        ("ANAGAMA_BULK", abi::BULK as u64),
        ("ANAGAMA_MAIN_THREAD", abi::MAIN_THREAD.into()),
        ("ANAGAMA_ONE_AT_A_TIME", abi::ONE_AT_A_TIME.into()),
        ("ANAGAMA_ANY_THREAD", abi::ANY_THREAD.into()),
        ("ANAGAMA_MAX_RANK", abi::MAX_RANK as u64),
        ("ANAGAMA_RGBA8", plugin_sdk::PixelFormat::Rgba8.code().into()),
        ("ANAGAMA_FLOAT32", plugin_sdk::Dtype::Float32.code().into()),
        ("ANAGAMA_FLOAT64", plugin_sdk::Dtype::Float64.code().into()),
        ("ANAGAMA_CONTAIN", plugin_sdk::Fit::Contain.code().into()),
        ("ANAGAMA_AREA", plugin_sdk::Filter::Area.code().into()),
        ("ANAGAMA_NHWC", plugin_sdk::Layout::Nhwc.code().into()),
        ("ANAGAMA_BGR", plugin_sdk::ChannelOrder::Bgr.code().into()),
        ("ANAGAMA_WEBP", plugin_sdk::Codec::Webp.code().into()),
        ("ANAGAMA_PHASH", plugin_sdk::Perceptual::Phash.code().into()),
        ("ANAGAMA_LOG_ERROR", plugin_sdk::control::Level::Error as u64),
    ] {
        check(&mut c, name, value);
    }
    for (name, text) in [
        ("ANAGAMA_WIT_VERSION", abi::WIT_VERSION),
        ("ANAGAMA_CAPTIONER", abi::interface::CAPTIONER),
        ("ANAGAMA_DATASET_SOURCE", abi::interface::DATASET_SOURCE),
        ("ANAGAMA_TAG_FILTER", abi::interface::TAG_FILTER),
        ("ANAGAMA_EVALUATOR", abi::interface::EVALUATOR),
        ("ANAGAMA_NODE", abi::interface::NODE),
    ] {
        // C11 cannot compare strings at compile time: the header is read instead.
        let line = format!("#define {name} \"{text}\"");
        assert!(header().contains(&line), "the header lacks `{line}`");
    }
    assert_eq!(abi::ENTRY, "anagama_plugin_entry");
    assert!(header().contains("*anagama_plugin_entry("));

    let source = std::env::temp_dir().join(format!("anagama-header-{}.c", std::process::id()));
    std::fs::write(&source, c).unwrap();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-Wall", "-Werror", "-fsyntax-only", "-I"]).arg(include).arg(&source);
    let result = compiler.output();
    std::fs::remove_file(&source).unwrap();
    match result {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(e) => eprintln!("SKIPPED: header_has_the_layout_of_the_tables: no C compiler `cc`: {e}"),
    }
}

fn header() -> &'static str {
    include_str!("../include/anagama.h")
}
