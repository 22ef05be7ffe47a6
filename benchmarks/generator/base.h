/* Time, memory and latencies: what every layer of the load uses. Knows no client and no socket. */
#ifndef BASE_H
#define BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t nanos;
#define SECOND 1000000000ull

nanos clock_now(void);
double seconds_since(nanos begin);

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *allocate(size_t count, size_t size);

/* Bytes that wait for something. */
typedef struct {
  char *data;
  size_t size;
} buffer;
void buffer_set(buffer *b, const char *data, size_t size);
void buffer_append(buffer *b, const char *data, size_t size);
void buffer_clear(buffer *b);

/* Latencies, in buckets that are 1/32 of their value wide: millions of them in 16 KiB. */
enum { SUB_BITS = 5, SUB = 1 << SUB_BITS, BUCKETS = 64 * SUB };
typedef struct {
  uint64_t count, bucket[BUCKETS];
  nanos max;
} histogram;
void histogram_add(histogram *h, nanos value);
/* The upper end of the bucket in which the given part of the values is reached, in milliseconds. */
double histogram_ms(const histogram *h, double part);
/* ,"name":{"p50":...,"p99":...,"p999":...,"max":...} in milliseconds. */
void histogram_print(const char *name, const histogram *h);

#endif
