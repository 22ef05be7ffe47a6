#include "meter.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double cpu_of(int pid) {
  char path[64], text[2048];
  unsigned long user = 0, system = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *file = fopen(path, "r");
  if (!file) die("process %d is gone", pid);
  size_t size = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[size] = 0;
  char *behind = strrchr(text, ')'); /* the name before it may hold anything */
  if (!behind || sscanf(behind + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
    die("cannot read %s", path);
  return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double rss_of(int pid) {
  char path[64];
  unsigned long pages = 0;
  snprintf(path, sizeof path, "/proc/%d/statm", pid);
  FILE *file = fopen(path, "r");
  if (!file || fscanf(file, "%*u %lu", &pages) != 1) die("cannot read %s", path);
  fclose(file);
  return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static double own_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

reading meter_read(void) {
  reading r = {.at = clock_now(), .own = own_cpu()};
  for (int i = 0; i < opt.npids; i++) {
    r.cpu[i] = cpu_of(opt.pids[i].pid);
    r.rss[i] = rss_of(opt.pids[i].pid);
  }
  return r;
}

double meter_cpu(const reading *r, const char *group) {
  double sum = 0;
  for (int i = 0; i < opt.npids; i++)
    if (!strcmp(opt.pids[i].group, group)) sum += r->cpu[i];
  return sum;
}

void meter_watch_memory(reading *most) {
  if (clock_now() - most->at < SECOND / 20) return;
  most->at = clock_now();
  for (int i = 0; i < opt.npids; i++) {
    double now = rss_of(opt.pids[i].pid);
    if (now > most->rss[i]) most->rss[i] = now;
  }
}

static void print_groups(const double *values, bool comma) {
  for (int i = 0; i < opt.npids; i++) {
    double sum = 0;
    bool first = true;
    for (int k = 0; k < opt.npids; k++) {
      if (strcmp(opt.pids[k].group, opt.pids[i].group)) continue;
      first &= k >= i;
      sum += values[k];
    }
    if (!first) continue;
    printf("%s\"%s\":%.3f", comma ? "," : "", opt.pids[i].group, sum);
    comma = true;
  }
}

void meter_print_cpu(const reading *from, const reading *to) {
  double spent[MAX_PIDS];
  for (int i = 0; i < opt.npids; i++) spent[i] = to->cpu[i] - from->cpu[i];
  printf(",\"cpu_s\":{\"load\":%.3f", to->own - from->own);
  print_groups(spent, true);
  printf("}");
}

void meter_print_memory(const char *name, const reading *r) {
  printf(",\"%s\":{", name);
  print_groups(r->rss, false);
  printf("}");
}
