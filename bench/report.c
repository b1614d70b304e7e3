/* SPDX-License-Identifier: Apache-2.0 */
#include <cenote/metrics.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "transport/base/config.h"

int bench_each_size(const struct bench_options *o, const struct bench_sizes *sizes, int argc,
                    char **argv)
{
    const char *const *texts = argc > 0 ? (const char *const *)argv : sizes->defaults;
    int status = CENOTE_OK;

    for (int i = 0; status == CENOTE_OK && (argc > 0 ? i < argc : texts[i] != NULL); i++) {
        uint64_t len_bytes;
        if (!config_parse_size(texts[i], &len_bytes) || len_bytes == 0 ||
            len_bytes > sizes->most_bytes) {
            fprintf(stderr, "cenote-bench: '%s' is no size from 1 to %llu bytes\n", texts[i],
                    (unsigned long long)sizes->most_bytes);
            return CENOTE_INVALID;
        }
        status = sizes->measure(o, sizes->arg, len_bytes);
    }
    return status;
}

int bench_open(const struct bench_options *o, struct cenote **out)
{
    struct cenote_options options = {.meta = o->meta,
                                     .name_space = o->name_space,
                                     .transport = (enum cenote_transport)o->transport,
                                     .verify = (enum cenote_verify)o->verify,
                                     .cache_bytes = o->cache_bytes};
    int status = cenote_open(&options, out);

    if (status != CENOTE_OK)
        fprintf(stderr, "cenote-bench: %s: %s\n", o->meta, cenote_status_text(status));
    return status;
}

/* main() asks the page whether it was written. */
void bench_close(const struct bench_options *o, struct cenote **client, const char *what)
{
    char *text;

    if (o->page && *client) {
        int status = cenote_metrics(*client, &text);
        if (status == CENOTE_OK) {
            fprintf(o->page, "# client: %s\n%s", what, text);
            free(text);
        } else {
            fprintf(stderr, "cenote-bench: metrics: %s\n", cenote_status_text(status));
        }
    }
    cenote_close(client);
}

static json_t *microseconds(const struct samples *s, double share)
{
    return json_real((double)samples_at(s, share) / 1e3);
}

json_t *bench_latencies(struct samples *s)
{
    samples_sort(s);
    return json_pack("{s:I, s:o, s:o, s:o, s:o}", "count", (json_int_t)s->count, "p50_us",
                     microseconds(s, 0.5), "p90_us", microseconds(s, 0.9), "p99_us",
                     microseconds(s, 0.99), "max_us", microseconds(s, 1));
}

static void print_value(const json_t *value)
{
    if (json_is_real(value))
        printf(" %.4g", json_real_value(value));
    else if (json_is_string(value))
        printf(" %s", json_string_value(value));
    else
        printf(" %lld", (long long)json_integer_value(value));
}

static void print_lines(json_t *result)
{
    const char *name, *inner;
    json_t *value, *number;

    json_object_foreach(result, name, value)
    {
        printf("%-18s", name);
        if (json_is_object(value)) {
            json_object_foreach(value, inner, number)
            {
                printf("  %s", inner);
                print_value(number);
            }
        } else {
            print_value(value);
        }
        putchar('\n');
    }
}

void bench_print(const struct bench_options *o, json_t *result)
{
    if (!result) {
        fputs("cenote-bench: out of memory\n", stderr);
        return;
    }
    if (o->json) {
        json_dumpf(result, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        putchar('\n');
    } else {
        print_lines(result);
    }
    json_decref(result);
}
