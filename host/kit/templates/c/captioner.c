/* Tags pictures as dark or bright.
 *
 * A native plugin fills the tables of kit/anagama.h, where the rules of the border stand. It runs with all rights of the
 * user, so each built file must be approved once: anagama plugins approve. */
#include "anagama.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const anagama_host *host;

static anagama_str str(const char *text) {
  anagama_str s = {(const uint8_t *)text, strlen(text)};
  return s;
}

/* Says why a call fails. `message` is plain ASCII without quotes. */
static int32_t fail(anagama_sink sink, uint64_t index, const char *message) {
  char json[256];
  snprintf(json, sizeof json, "{\"kind\": \"invalid-input\", \"message\": \"%s\"}", message);
  sink.put(sink.ctx, index, ANAGAMA_ERROR, str(json));
  return ANAGAMA_ERROR;
}

/* ---- what it is ---- */

static int32_t describe(anagama_sink out) {
  out.put(out.ctx, 0, ANAGAMA_OK, str(
    "{\"id\": \"@ID@\", \"version\": \"0.1.0\", \"title\": \"@TITLE@\","
    " \"description\": \"@DESCRIPTION@\", \"authors\": [], \"license\": null, \"config-schema\": null,"
    " \"nodes\": [{\"id\": \"@ID@\", \"role\": \"captioner\", \"display-name\": \"@TITLE@\", \"category\": \"plugins\","
    " \"description\": \"Tags pictures as dark or bright.\","
    " \"inputs\": [{\"name\": \"threshold\", \"socket\": \"int\", \"required\": false, \"is-list\": false, \"lazy\": false,"
    " \"tooltip\": \"Pictures whose mean is below this are dark.\","
    " \"widget\": {\"int\": {\"default\": 100, \"min\": 0, \"max\": 255, \"step\": 1, \"seed-control\": false}}}],"
    " \"outputs\": [], \"output-node\": false, \"deterministic\": true, \"revision\": 0, \"experimental\": false,"
    " \"deprecated\": false, \"aliases\": []}]}"));
  return ANAGAMA_OK;
}

/* ---- its settings: the JSON object {"threshold": 0 to 255}, or {} ---- */

typedef struct settings { long threshold; } settings;

static const char *skip(const char *p) {
  while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') p++;
  return p;
}

/* What is wrong with the text, or NULL. */
static const char *read_settings(const char *p, settings *out) {
  static const char name[] = "\"threshold\"";
  char *end;
  p = skip(p);
  if (*p++ != '{') return "settings: expected a JSON object";
  p = skip(p);
  if (*p == '}') return *skip(p + 1) ? "settings: more than one JSON object" : NULL;
  if (strncmp(p, name, sizeof name - 1)) return "settings: unknown setting; known is threshold";
  p = skip(p + sizeof name - 1);
  if (*p++ != ':') return "settings: expected a colon";
  p = skip(p);
  if (*p < '0' || *p > '9') return "settings: threshold: expected a number from 0 to 255";
  out->threshold = strtol(p, &end, 10);
  p = skip(end);
  if (*p == '.' || *p == 'e' || *p == 'E' || out->threshold > 255)
    return "settings: threshold: expected a whole number from 0 to 255";
  if (*p == ',') return "settings: unknown setting; known is threshold";
  if (*p++ != '}') return "settings: expected the end of the object";
  return *skip(p) ? "settings: more than one JSON object" : NULL;
}

static int32_t open_plugin(anagama_str config, void **out, anagama_sink error) {
  settings *self = malloc(sizeof *self);
  char *text = malloc(config.len + 1);
  const char *problem = "no memory";
  if (self && text) {
    memcpy(text, config.ptr, config.len);
    text[config.len] = 0;
    self->threshold = 100;
    problem = read_settings(text, self);
  }
  free(text);
  if (problem) {
    free(self);
    return fail(error, ANAGAMA_WHOLE, problem);
  }
  *out = self;
  return ANAGAMA_OK;
}

static void close_plugin(void *self) { free(self); }

/* ---- its work ---- */

static uint32_t max_batch(void *self) {
  (void)self;
  return 1;
}

static int32_t caption(void *self, const anagama_caption_request *batch, size_t count, anagama_sink results) {
  const settings *set = self;
  for (size_t i = 0; i < count; i++) {
    anagama_str grey;
    uint64_t sum = 0;
    /* The pixels are lent, not copied. A refusal is in the sink already. */
    if (host->image_view(host->ctx, batch[i].image, ANAGAMA_L8, &grey, results) != ANAGAMA_OK) return ANAGAMA_ERROR;
    for (size_t p = 0; p < grey.len; p++) sum += grey.ptr[p];
    uint64_t mean = grey.len ? sum / grey.len : 0;
    const char *dark = "{\"tags\": [{\"name\": \"dark\"}]}", *bright = "{\"tags\": [{\"name\": \"bright\"}]}";
    results.put(results.ctx, i, ANAGAMA_OK, str(mean < (uint64_t)set->threshold ? dark : bright));
    host->image_drop(host->ctx, batch[i].image);
  }
  return ANAGAMA_OK;
}

/* ---- the tables ---- */

static const anagama_captioner captioner = {
  sizeof captioner, ANAGAMA_ONE_AT_A_TIME, open_plugin, close_plugin, max_batch, caption,
};

static const void *get_interface(anagama_str name) {
  static const char known[] = ANAGAMA_CAPTIONER;
  return name.len == sizeof known - 1 && !memcmp(name.ptr, known, name.len) ? &captioner : NULL;
}

static anagama_plugin plugin = {
  sizeof plugin, ANAGAMA_ABI_MAGIC, ANAGAMA_ABI_MAJOR, ANAGAMA_ABI_MINOR, {0, 0}, describe, get_interface,
};

__attribute__((visibility("default"))) const anagama_plugin *anagama_plugin_entry(const anagama_host *the_host) {
  if (the_host->abi_magic != ANAGAMA_ABI_MAGIC || the_host->abi_major != ANAGAMA_ABI_MAJOR) return NULL;
  host = the_host;
  plugin.wit_version = str(ANAGAMA_WIT_VERSION);
  return &plugin;
}
