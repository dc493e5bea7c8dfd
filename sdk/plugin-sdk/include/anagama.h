/* Native plugins for Anagama: all that a plugin in C, C++ or Zig needs.
 *
 * Strings are UTF-8 with a length, not NUL-terminated. Records are JSON with the field names of the WIT (kebab-case);
 * bulk data is a pointer with a length. Nothing that is handed over may be kept after the call returns: results go
 * through a sink, which copies. Handles are below 2^53 and never 0; what the plugin receives is the plugin's until it
 * calls the matching ..._drop, and what is left when an object is closed the host drops.
 *
 * A function that can fail returns ANAGAMA_OK, or ANAGAMA_ERROR after it has put the JSON of a WIT `error`
 * ({"kind": "invalid-input", "message": "..."}) into its sink with that status and index ANAGAMA_WHOLE.
 *
 * `log` and `cancelled` may be called from any thread, everything else only from the thread that is inside a call of
 * the plugin. No exception and no longjmp may cross.
 *
 * Tables grow only at their end; `struct_size` says how long the other side's is. */
#ifndef ANAGAMA_H
#define ANAGAMA_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define ANAGAMA_ABI_MAGIC 0x414e4131u /* "ANA1" */
#define ANAGAMA_ABI_MAJOR 1u
#define ANAGAMA_ABI_MINOR 1u
#define ANAGAMA_WIT_VERSION "anagama:plugin@0.1.0"

/* names for get_interface */
#define ANAGAMA_CAPTIONER "anagama:plugin/captioner@0.1.0"
#define ANAGAMA_DATASET_SOURCE "anagama:plugin/dataset-source@0.1.0"
#define ANAGAMA_TAG_FILTER "anagama:plugin/tag-filter@0.1.0"
#define ANAGAMA_EVALUATOR "anagama:plugin/evaluator@0.1.0"
#define ANAGAMA_NODE "anagama:plugin/node@0.1.0"

#define ANAGAMA_OK 0
#define ANAGAMA_ERROR 1
#define ANAGAMA_PANICKED 2 /* the object must only be closed */
#define ANAGAMA_BULK 3     /* bytes that belong to the result put next with the same index */
#define ANAGAMA_WHOLE UINT64_MAX /* index of what concerns the call as a whole */
#define ANAGAMA_NONE UINT64_MAX  /* an optional number that is not given */

/* thread_safety */
#define ANAGAMA_MAIN_THREAD 0u
#define ANAGAMA_ONE_AT_A_TIME 1u /* per object, any thread */
#define ANAGAMA_ANY_THREAD 2u

#define ANAGAMA_MAX_RANK 8

enum { ANAGAMA_TRACE, ANAGAMA_DEBUG, ANAGAMA_INFO, ANAGAMA_WARN, ANAGAMA_LOG_ERROR };
enum { ANAGAMA_L8, ANAGAMA_RGB8, ANAGAMA_RGBA8 };
enum { ANAGAMA_UINT8, ANAGAMA_UINT32, ANAGAMA_INT64, ANAGAMA_FLOAT16, ANAGAMA_BFLOAT16, ANAGAMA_FLOAT32, ANAGAMA_FLOAT64 };
enum { ANAGAMA_STRETCH, ANAGAMA_COVER, ANAGAMA_PAD, ANAGAMA_CONTAIN };
enum { ANAGAMA_NEAREST, ANAGAMA_TRIANGLE, ANAGAMA_CATMULL_ROM, ANAGAMA_LANCZOS3, ANAGAMA_AREA };
enum { ANAGAMA_NCHW, ANAGAMA_NHWC };
enum { ANAGAMA_RGB, ANAGAMA_BGR };
enum { ANAGAMA_PNG, ANAGAMA_JPEG, ANAGAMA_WEBP };
enum { ANAGAMA_AHASH, ANAGAMA_DHASH, ANAGAMA_PHASH };

/* ptr NULL: not given, where that is allowed */
typedef struct anagama_str { const uint8_t *ptr; size_t len; } anagama_str;

typedef struct anagama_sink {
  void *ctx;
  void (*put)(void *ctx, uint64_t index, int32_t status, anagama_str data);
} anagama_sink;

typedef struct anagama_rect { uint32_t x, y, width, height; } anagama_rect;

typedef struct anagama_resize_spec {
  uint32_t struct_size, width, height, fit, filter;
  uint32_t pad_color; /* 0xRRGGBB */
} anagama_resize_spec;

/* value = (pixel * scale - mean[c]) / std[c]; pixel is 0..255, c counts in `order` */
typedef struct anagama_tensor_spec {
  uint32_t struct_size, has_resize;
  anagama_resize_spec resize;
  uint32_t layout, order;
  float scale, mean[3], std[3];
  uint32_t dtype;
} anagama_tensor_spec;

typedef struct anagama_tensor_info {
  uint32_t struct_size, dtype, rank, shape[ANAGAMA_MAX_RANK];
} anagama_tensor_info;

typedef struct anagama_named_tensor { anagama_str name; uint64_t tensor; } anagama_named_tensor;
typedef struct anagama_index_value { uint32_t index; float value; } anagama_index_value;

/* What a plugin may call. The first argument is always `ctx`. */
typedef struct anagama_host {
  uint32_t struct_size, abi_magic, abi_major, abi_minor;
  void *ctx;

  void (*log)(void *ctx, uint32_t level, anagama_str message);
  void (*progress)(void *ctx, uint64_t done, uint64_t total, anagama_str message);
  int32_t (*cancelled)(void *ctx);
  uint64_t (*seed)(void *ctx);

  uint32_t (*image_width)(void *ctx, uint64_t image);
  uint32_t (*image_height)(void *ctx, uint64_t image);
  uint32_t (*image_format)(void *ctx, uint64_t image);
  int32_t (*image_digest)(void *ctx, uint64_t image, anagama_sink);
  int32_t (*image_perceptual_hash)(void *ctx, uint64_t image, uint32_t kind, uint64_t *out, anagama_sink);
  int32_t (*image_metadata)(void *ctx, uint64_t image, anagama_str key, anagama_sink);
  int32_t (*image_read)(void *ctx, uint64_t image, const anagama_rect *area, uint32_t format, anagama_sink);
  /* lent until the image is dropped or the plugin's call returns */
  int32_t (*image_view)(void *ctx, uint64_t image, uint32_t format, anagama_str *out, anagama_sink);
  int32_t (*image_resize)(void *ctx, uint64_t image, const anagama_resize_spec *, uint64_t *out, anagama_sink);
  int32_t (*image_crop)(void *ctx, uint64_t image, const anagama_rect *, uint64_t *out, anagama_sink);
  int32_t (*image_convert)(void *ctx, uint64_t image, uint32_t format, uint64_t *out, anagama_sink);
  int32_t (*image_to_tensor)(void *ctx, uint64_t image, const anagama_tensor_spec *, uint64_t *out, anagama_sink);
  int32_t (*image_encode)(void *ctx, uint64_t image, uint32_t codec, uint32_t quality, anagama_sink);
  int32_t (*image_share)(void *ctx, uint64_t image, uint64_t *out, anagama_sink);
  void (*image_drop)(void *ctx, uint64_t image);
  int32_t (*image_decode)(void *ctx, anagama_str bytes, uint64_t *out, anagama_sink);
  int32_t (*image_from_pixels)(void *ctx, uint32_t width, uint32_t height, uint32_t format, anagama_str pixels, uint64_t *out, anagama_sink);

  int32_t (*tensor_from_bytes)(void *ctx, const uint32_t *shape, size_t rank, uint32_t dtype, anagama_str bytes, uint64_t *out, anagama_sink);
  int32_t (*tensor_info)(void *ctx, uint64_t tensor, anagama_tensor_info *out, anagama_sink); /* set out->struct_size */
  int32_t (*tensor_read_bytes)(void *ctx, uint64_t tensor, anagama_sink);
  int32_t (*tensor_read_f32)(void *ctx, uint64_t tensor, anagama_sink);
  int32_t (*tensor_view)(void *ctx, uint64_t tensor, anagama_str *out, anagama_sink); /* lent until tensor_drop */
  int32_t (*tensor_cast)(void *ctx, uint64_t tensor, uint32_t dtype, uint64_t *out, anagama_sink);
  int32_t (*tensor_reshape)(void *ctx, uint64_t tensor, const uint32_t *shape, size_t rank, uint64_t *out, anagama_sink);
  int32_t (*tensor_narrow)(void *ctx, uint64_t tensor, uint32_t dim, uint32_t start, uint32_t length, uint64_t *out, anagama_sink);
  int32_t (*tensor_sigmoid)(void *ctx, uint64_t tensor, uint64_t *out, anagama_sink);
  int32_t (*tensor_softmax)(void *ctx, uint64_t tensor, uint32_t dim, uint64_t *out, anagama_sink);
  int32_t (*tensor_top_k)(void *ctx, uint64_t tensor, uint32_t k, anagama_sink);            /* anagama_index_value[] */
  int32_t (*tensor_above)(void *ctx, uint64_t tensor, float threshold, anagama_sink);       /* anagama_index_value[] */
  int32_t (*tensor_stack)(void *ctx, const uint64_t *tensors, size_t count, uint64_t *out, anagama_sink);
  int32_t (*tensor_share)(void *ctx, uint64_t tensor, uint64_t *out, anagama_sink);
  void (*tensor_drop)(void *ctx, uint64_t tensor);

  int32_t (*inference_models)(void *ctx, anagama_sink);
  int32_t (*inference_load)(void *ctx, anagama_str model, anagama_str options, uint64_t *out, anagama_sink);
  int32_t (*session_info)(void *ctx, uint64_t session, anagama_sink);
  int32_t (*session_asset)(void *ctx, uint64_t session, anagama_str name, anagama_sink);
  /* puts one result per output: the index is the new tensor's handle, the data its name */
  int32_t (*session_run)(void *ctx, uint64_t session, const anagama_named_tensor *inputs, size_t count, anagama_sink);
  void (*session_drop)(void *ctx, uint64_t session);

  int32_t (*generate)(void *ctx, anagama_str request, const uint64_t *images, size_t count, anagama_sink);

  int32_t (*files_list_dir)(void *ctx, anagama_str root, anagama_str path, anagama_str after, uint32_t limit, anagama_sink);
  int32_t (*files_read)(void *ctx, anagama_str root, anagama_str path, uint64_t max_bytes, anagama_sink);
  int32_t (*files_read_image)(void *ctx, anagama_str root, anagama_str path, uint64_t *out, anagama_sink);

  int32_t (*storage_get)(void *ctx, anagama_str key, anagama_sink);
  int32_t (*storage_set)(void *ctx, anagama_str key, anagama_str value, anagama_sink);
  int32_t (*storage_delete)(void *ctx, anagama_str key, anagama_sink);
  int32_t (*storage_keys)(void *ctx, anagama_str prefix, anagama_str after, uint32_t limit, anagama_sink);

  int32_t (*http_fetch)(void *ctx, anagama_str request, anagama_str body, anagama_sink); /* puts 0: head, 1: body */
  int32_t (*http_fetch_image)(void *ctx, anagama_str request, anagama_str body, uint64_t *out, anagama_sink);

  int32_t (*handle_type_name)(void *ctx, uint64_t handle, anagama_sink);
  int32_t (*handle_share)(void *ctx, uint64_t handle, uint64_t *out, anagama_sink);
  void (*handle_drop)(void *ctx, uint64_t handle);
} anagama_host;

typedef struct anagama_caption_request { uint64_t image; anagama_str known; } anagama_caption_request;

typedef struct anagama_captioner {
  uint32_t struct_size, thread_safety;
  int32_t (*open)(anagama_str config, void **out, anagama_sink error);
  void (*close)(void *self);
  uint32_t (*max_batch)(void *self);
  /* puts for each request, by its index, an annotation (OK) or an error (ERROR) */
  int32_t (*caption)(void *self, const anagama_caption_request *batch, size_t count, anagama_sink results);
} anagama_captioner;

typedef struct anagama_filter_request { anagama_str id, subset, annotation; } anagama_filter_request;

typedef struct anagama_tag_filter {
  uint32_t struct_size, thread_safety;
  int32_t (*open)(anagama_str config, void **out, anagama_sink error);
  void (*close)(void *self);
  uint32_t (*passes)(void *self);
  int32_t (*observe)(void *self, const anagama_filter_request *batch, size_t count, anagama_sink error);
  /* puts for each request {"keep": annotation} or {"drop": "why"} */
  int32_t (*apply)(void *self, const anagama_filter_request *batch, size_t count, anagama_sink results);
} anagama_tag_filter;

typedef struct anagama_dataset_source {
  uint32_t struct_size, thread_safety;
  int32_t (*open)(anagama_str config, void **out, anagama_sink error);
  void (*close)(void *self);
  /* puts items by index, then {"next": ..., "total": ...} with ANAGAMA_WHOLE */
  int32_t (*next_page)(void *self, anagama_str from, uint32_t max_items, anagama_sink results);
} anagama_dataset_source;

typedef struct anagama_sample {
  uint64_t image, reference; /* reference 0: none */
  anagama_str id, prompt, extra;
  uint64_t seed;
  uint32_t has_seed;
} anagama_sample;

typedef struct anagama_evaluator {
  uint32_t struct_size, thread_safety;
  int32_t (*open)(anagama_str config, void **out, anagama_sink error);
  void (*close)(void *self);
  int32_t (*metrics)(void *self, anagama_sink results);
  int32_t (*reference)(void *self, const uint64_t *images, size_t count, anagama_sink error);
  int32_t (*add)(void *self, const anagama_sample *samples, size_t count, anagama_sink results);
  int32_t (*finish)(void *self, anagama_sink results);
} anagama_evaluator;

typedef struct anagama_node {
  uint32_t struct_size, thread_safety;
  /* inputs: [["name", [{"int": 3}]], ...]; puts a list of values for each output */
  int32_t (*run)(anagama_str node, anagama_str inputs, anagama_sink results);
  /* since ABI 1.1; what: 0 run, 1 check-lazy, 2 validate, 3 fingerprint. request: {"node": "id", "place": {"id": "7",
     "prefix": "7.0."}, "inputs": ..., "types": [["input", "TYPE"]]}; puts the JSON of what the WIT's function returns */
  int32_t (*call)(uint32_t what, anagama_str request, anagama_sink results);
} anagama_node;

typedef struct anagama_plugin {
  uint32_t struct_size, abi_magic, abi_major, abi_minor;
  anagama_str wit_version;
  int32_t (*describe)(anagama_sink out); /* the JSON of a WIT `info` */
  const void *(*get_interface)(anagama_str name);
} anagama_plugin;

/* The one exported symbol. NULL means: this host is too old or too new for me. */
const anagama_plugin *anagama_plugin_entry(const anagama_host *host);

#ifdef __cplusplus
}
#endif
#endif
