#include "base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

nanos clock_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (nanos)t.tv_sec * SECOND + (nanos)t.tv_nsec;
}

double seconds_since(nanos begin) { return (double)(clock_now() - begin) / 1e9; }

_Noreturn void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(2);
}

void *allocate(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size);
  if (!memory) die("out of memory");
  return memory;
}

void buffer_set(buffer *b, const char *data, size_t size) {
  b->size = 0;
  if (size) buffer_append(b, data, size);
}

void buffer_append(buffer *b, const char *data, size_t size) {
  b->data = realloc(b->data, b->size + size);
  if (!b->data) die("out of memory");
  memcpy(b->data + b->size, data, size);
  b->size += size;
}

void buffer_clear(buffer *b) {
  free(b->data);
  *b = (buffer){0};
}

void histogram_add(histogram *h, nanos value) {
  unsigned index = (unsigned)value;
  if (value >= SUB) {
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - SUB_BITS;
    index = (shift + 1) * SUB + (unsigned)((value >> shift) & (SUB - 1));
  }
  h->bucket[index]++;
  h->count++;
  if (value > h->max) h->max = value;
}

double histogram_ms(const histogram *h, double part) {
  uint64_t wanted = (uint64_t)((double)h->count * part), seen = 0;
  for (unsigned index = 0; index < BUCKETS; index++) {
    seen += h->bucket[index];
    if (!h->count || seen <= wanted) continue;
    if (index < SUB) return index / 1e6;
    double width = (double)(1ull << (index / SUB - 1));
    double value = width * (SUB + index % SUB + 1);
    return (value < (double)h->max ? value : (double)h->max) / 1e6;
  }
  return (double)h->max / 1e6;
}

void histogram_print(const char *name, const histogram *h) {
  printf(",\"%s\":{\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}", name, histogram_ms(h, 0.5),
         histogram_ms(h, 0.99), histogram_ms(h, 0.999), (double)h->max / 1e6);
}
