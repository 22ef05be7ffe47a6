/* CPU time and memory of the processes of --pid, by group, and the CPU time of the load itself. */
#ifndef METER_H
#define METER_H

#include "options.h"

typedef struct {
  nanos at;
  double cpu[MAX_PIDS], own; /* seconds, user and system */
  double rss[MAX_PIDS];      /* KiB */
} reading;

reading meter_read(void);
/* The CPU time of a group, all its processes together. */
double meter_cpu(const reading *r, const char *group);
/* Keeps the largest memory of each process that it sees; cheap enough to be called at every turn. */
void meter_watch_memory(reading *most);

/* ,"cpu_s":{"load":...,"server":...} between two readings. */
void meter_print_cpu(const reading *from, const reading *to);
/* ,"name":{"server":...} in KiB. */
void meter_print_memory(const char *name, const reading *r);

#endif
