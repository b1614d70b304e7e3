/* SPDX-License-Identifier: Apache-2.0 */
/* policy_sim: which share of a trace's blocks each policy finds. */
#include <cenote/status.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/policy/sim.h"
#include "tests/policy/workload.h"

static const struct sim_policy *const policies[] = {
    &policy_lru,   &policy_lru_tail, &policy_lru_leaf, &policy_fifo,   &policy_clock,
    &policy_sieve, &policy_twoq,     &policy_arc,      &policy_s3fifo, &policy_shipped};
#define POLICIES (sizeof(policies) / sizeof(policies[0]))

static void usage(FILE *to)
{
    fputs("usage: policy_sim TRACE|WORKLOAD --blocks N [--policy NAME]... [--high P --low P]\n"
          "                  [--lease MS] [--requests N]\n"
          "Prints a line for each policy: name, prefix hits and block hits in per cent of all\n"
          "blocks, puts without room. --high, --low: the reserve of the service; --lease: of what\n"
          "was used, for the policy cenote. Policies:\n",
          to);
    for (size_t i = 0; i < POLICIES; i++)
        fprintf(to, "  %-10s %s\n", policies[i]->name, policies[i]->what);
    fputs("  min        Belady's MIN: what is used last goes\n"
          "  bound      the same; a put need not be kept: no policy can do better\nWorkloads:\n",
          to);
    for (const struct workload *w = workloads; w->name != NULL; w++)
        fprintf(to, "  %-10s %s\n", w->name, w->what);
}

static bool load(const char *name, uint32_t requests, struct trace *out)
{
    char reason[256];
    for (const struct workload *w = workloads; w->name != NULL; w++) {
        if (strcmp(name, w->name) == 0)
            return workload_make(w, out);
    }
    if (trace_read(name, requests, out, reason, sizeof(reason)) == CENOTE_OK)
        return true;
    fprintf(stderr, "policy_sim: %s: %s\n", name, reason);
    return false;
}

static double percent(uint64_t part, uint64_t all)
{
    return all == 0 ? 0 : 100 * (double)part / (double)all;
}

static bool print(const char *name, bool good, const struct result *r)
{
    if (good)
        printf("%-10s prefix %6.2f block %6.2f refused %llu\n", name,
               percent(r->prefix_hits, r->blocks), percent(r->block_hits, r->blocks),
               (unsigned long long)r->refused);
    else
        fputs("policy_sim: no memory\n", stderr);
    return good;
}

/* name NULL: all. */
static int run(struct sim *s, const char *name)
{
    struct result r;
    bool good = true, found = false;
    for (size_t i = 0; good && i < POLICIES; i++) {
        if (name != NULL && strcmp(name, policies[i]->name) != 0)
            continue;
        found = true;
        good = sim_run(s, policies[i], &r);
        good = print(policies[i]->name, good, &r);
    }
    for (int bypass = 0; good && bypass < 2; bypass++) {
        const char *bound = bypass ? "bound" : "min";
        if (name != NULL && strcmp(name, bound) != 0)
            continue;
        found = true;
        good = sim_min(s, bypass, &r);
        good = print(bound, good, &r);
    }
    if (!found)
        fprintf(stderr, "policy_sim: %s: no such policy\n", name);
    return good && found ? 0 : 1;
}

struct options {
    uint32_t blocks, high, low, lease_ms, requests;
    const char *chosen[POLICIES + 2];
    size_t chosen_count;
};

static bool number(const char *text, uint32_t max, uint32_t *out)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || v > max)
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool option(struct options *o, int c, const char *text)
{
    switch (c) {
    case 'b':
        return number(text, BLOCKS_MAX, &o->blocks) && o->blocks > 0;
    case 'h':
        return number(text, 100, &o->high);
    case 'l':
        return number(text, 100, &o->low);
    case 'm':
        return number(text, 86400000, &o->lease_ms);
    case 'n':
        return number(text, TRACE_REQUESTS_MAX, &o->requests);
    case 'p':
        if (o->chosen_count == POLICIES + 2)
            return false;
        o->chosen[o->chosen_count++] = text;
        return true;
    default:
        return false;
    }
}

static bool parse(struct options *o, int argc, char **argv)
{
    static const struct option known[] = {{"blocks", required_argument, NULL, 'b'},
                                          {"high", required_argument, NULL, 'h'},
                                          {"low", required_argument, NULL, 'l'},
                                          {"lease", required_argument, NULL, 'm'},
                                          {"policy", required_argument, NULL, 'p'},
                                          {"requests", required_argument, NULL, 'n'},
                                          {0}};
    int c;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (!option(o, c, optarg))
            return false;
    }
    return optind + 1 == argc && o->blocks > 0 && o->low <= o->high;
}

int main(int argc, char **argv)
{
    struct options o = {.high = 100, .low = 100, .requests = TRACE_REQUESTS_MAX};
    struct trace trace;
    struct sim s;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        usage(stdout);
        return 0;
    }
    if (!parse(&o, argc, argv)) {
        usage(stderr);
        return 2;
    }
    if (!load(argv[optind], o.requests, &trace))
        return 1;
    int status = 1;
    if (sim_init(&s, &trace, o.blocks)) {
        s.high_percent = o.high;
        s.low_percent = o.low;
        s.lease_ms = o.lease_ms;
        status = o.chosen_count == 0 ? run(&s, NULL) : 0;
        for (size_t i = 0; status == 0 && i < o.chosen_count; i++)
            status = run(&s, o.chosen[i]);
        sim_free(&s);
    }
    trace_file_free(&trace);
    return status;
}
