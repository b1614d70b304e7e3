/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges histories: reads JSON files (README.md says what is in them), puts what they tell of each
 * key together, and looks whether it is linearizable.
 *
 * Usage: judge [--failure FILE] HISTORY...
 * Prints a line of counts; of each key that fails, what can't be explained, also into FILE as a
 * history. Exit status 0: all are linearizable; 1: one isn't; 2: anything else.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/linear/linear.h"

#define FILES_MAX  1024
#define LOSSES_MAX 256u

/* An operation's line: thread, kind, key, value, outcome, status, invoked, returned. */
enum column { THREAD, KIND, KEY, VALUE, OUTCOME, STATUS, INVOKED, RETURNED, COLUMNS };

static const char *const kinds[LINEAR_KINDS] = {"put", "replace", "remove", "get", "exists"};
static const char *const outcomes[LINEAR_OUTCOMES] = {"ok", "there", "missing", "unknown"};

struct line {
    const char *key;
    json_t *json;
    struct linear_op op;
    int file;
};

struct judge {
    json_t *files[FILES_MAX];
    int file_count;
    struct line *lines;
    size_t count, room, failed, unknown; /* failed: without effect, not judged */
    struct {
        const char *prefix;
        struct linear_loss loss;
    } losses[LOSSES_MAX];
    size_t loss_count;
    json_t *failures;
    uint64_t configs, segments;
    size_t keys;
};

static int find(const char *const *names, int count, const char *name)
{
    for (int i = 0; name && i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return i;
    }
    return -1;
}

static const char *text_at(json_t *array, size_t i)
{
    return json_string_value(json_array_get(array, i));
}

static uint64_t number_at(json_t *array, size_t i)
{
    return (uint64_t)json_integer_value(json_array_get(array, i));
}

/* ---- reading --------------------------------------------------------------------------------- */

static struct line *new_line(struct judge *j)
{
    if (j->count == j->room) {
        size_t room = j->room ? j->room * 2 : 4096;
        struct line *grown = realloc(j->lines, room * sizeof *grown);
        if (!grown)
            return NULL;
        j->lines = grown;
        j->room = room;
    }
    return &j->lines[j->count++];
}

static bool read_operation(struct judge *j, json_t *json)
{
    const char *key = text_at(json, KEY), *outcome = text_at(json, OUTCOME);
    int kind = find(kinds, LINEAR_KINDS, text_at(json, KIND));
    int ended = find(outcomes, LINEAR_OUTCOMES, outcome);

    if (json_array_size(json) != COLUMNS || !key || !outcome || kind < 0)
        return false;
    if (strcmp(outcome, "failed") == 0) {
        j->failed++;
        return true;
    }
    struct line *line = ended < 0 ? NULL : new_line(j);
    if (!line)
        return false;
    *line = (struct line){key, json, {0}, j->file_count - 1};
    line->op = (struct linear_op){.invoked_ns = number_at(json, INVOKED),
                                  .returned_ns = number_at(json, RETURNED),
                                  .value = number_at(json, VALUE),
                                  .kind = (enum linear_kind)kind,
                                  .outcome = (enum linear_outcome)ended};
    j->unknown += ended == LINEAR_UNKNOWN;
    return true;
}

static bool read_loss(struct judge *j, json_t *json)
{
    if (j->loss_count == LOSSES_MAX || json_array_size(json) != 3 || !text_at(json, 0))
        return false;
    j->losses[j->loss_count].prefix = text_at(json, 0);
    j->losses[j->loss_count++].loss = (struct linear_loss){number_at(json, 1), number_at(json, 2)};
    return true;
}

static bool read_file(struct judge *j, const char *path)
{
    json_error_t error;
    json_t *file = j->file_count < FILES_MAX ? json_load_file(path, 0, &error) : NULL, *item;
    const char *format = json_string_value(json_object_get(file, "format"));
    size_t i;

    if (!file || !format || strcmp(format, "cenote-history-1") != 0) {
        fprintf(stderr, "judge: %s: %s\n", path, file ? "not a history" : error.text);
        json_decref(file);
        return false;
    }
    j->files[j->file_count++] = file;
    json_array_foreach(json_object_get(file, "operations"), i, item)
    {
        if (!read_operation(j, item)) {
            fprintf(stderr, "judge: %s: operation %zu is malformed\n", path, i);
            return false;
        }
    }
    json_array_foreach(json_object_get(file, "losses"), i, item)
    {
        if (!read_loss(j, item)) {
            fprintf(stderr, "judge: %s: loss %zu is malformed\n", path, i);
            return false;
        }
    }
    return true;
}

/* ---- telling --------------------------------------------------------------------------------- */

static void print_values(const char *title, const uint64_t *values, uint32_t count)
{
    printf("  %s", title);
    for (uint32_t i = 0; i < count; i++) {
        if (values[i] == 0)
            printf(" absent");
        else
            printf(" %llx", (unsigned long long)values[i]);
    }
    printf("%s\n", count == 0 ? " anything" : "");
}

static void print_line(const struct line *line, uint64_t zero_ns, bool culprit)
{
    const struct linear_op *op = &line->op;
    double begin = (double)(op->invoked_ns - zero_ns) / 1e6;

    printf("  %c %10.3f ", culprit ? '*' : ' ', begin);
    if (op->outcome == LINEAR_UNKNOWN)
        printf("%10s", "...");
    else
        printf("%10.3f", (double)(op->returned_ns - zero_ns) / 1e6);
    printf(" ms  client %d.%d  %s %llx: %s\n", line->file, (int)number_at(line->json, THREAD),
           kinds[op->kind], (unsigned long long)op->value, outcomes[op->outcome]);
}

static void tell(struct judge *j, const struct line *lines, const struct linear_result *r)
{
    uint64_t zero_ns = lines[r->window[0]].op.invoked_ns;

    printf("%s is not linearizable: what is marked can't be explained\n", lines->key);
    print_values("before:", r->before, r->before_count);
    for (size_t i = 0; i < r->window_count; i++) {
        const struct line *line = &lines[r->window[i]];
        print_line(line, zero_ns, r->window[i] == r->culprit);
        json_array_append(j->failures, line->json);
    }
    print_values("it may hold, when that returns:", r->states, r->state_count);
}

/* ---- judging --------------------------------------------------------------------------------- */

static int by_key_and_time(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    if (order != 0)
        return order;
    return (x->op.invoked_ns > y->op.invoked_ns) - (x->op.invoked_ns < y->op.invoked_ns);
}

static int judge_key(struct judge *j, const struct line *lines, size_t count)
{
    static const char *const verdicts[] = {"", "", "beyond a limit of the search", "malformed",
                                           "no memory"};
    struct linear_op *ops = calloc(count, sizeof *ops);
    struct linear_loss losses[LOSSES_MAX];
    struct linear_result r = {.verdict = LINEAR_NO_MEMORY};
    struct linear_history h = {ops, count, losses, 0};

    for (size_t i = 0; ops && i < count; i++)
        ops[i] = lines[i].op;
    for (size_t i = 0; i < j->loss_count; i++) {
        if (strncmp(lines->key, j->losses[i].prefix, strlen(j->losses[i].prefix)) == 0)
            losses[h.loss_count++] = j->losses[i].loss;
    }
    if (ops)
        linear_check(&h, &r);
    free(ops);
    j->keys++;
    j->configs += r.configs;
    j->segments += r.segments;
    if (r.verdict == LINEAR_BAD)
        tell(j, lines, &r);
    else if (r.verdict != LINEAR_GOOD)
        printf("%s: %s\n", lines->key, verdicts[r.verdict]);
    int code = r.verdict == LINEAR_GOOD ? 0 : r.verdict == LINEAR_BAD ? 1 : 2;
    linear_result_free(&r);
    return code;
}

static int judge_all(struct judge *j)
{
    int code = 0;

    qsort(j->lines, j->count, sizeof *j->lines, by_key_and_time);
    for (size_t first = 0, next; first < j->count; first = next) {
        next = first + 1;
        while (next < j->count && strcmp(j->lines[next].key, j->lines[first].key) == 0)
            next++;
        int one = judge_key(j, &j->lines[first], next - first);
        code = one > code ? one : code;
    }
    printf("operations %zu keys %zu unknown %zu failed %zu segments %llu searched %llu\n", j->count,
           j->keys, j->unknown, j->failed, (unsigned long long)j->segments,
           (unsigned long long)j->configs);
    return code;
}

static void write_failures(struct judge *j, const char *path)
{
    json_t *file = json_pack("{s:s, s:O}", "format", "cenote-history-1", "operations", j->failures);
    if (!file || json_dump_file(file, path, JSON_INDENT(1)) != 0)
        fprintf(stderr, "judge: %s: not written\n", path);
    json_decref(file);
}

int main(int argc, char **argv)
{
    static struct judge j;
    const char *failure = argc > 2 && strcmp(argv[1], "--failure") == 0 ? argv[2] : NULL;
    int first = failure ? 3 : 1, code = argc > first ? 0 : 2;

    if (code != 0)
        fprintf(stderr, "usage: judge [--failure FILE] HISTORY...\n");
    j.failures = json_array();
    for (int i = first; code == 0 && i < argc; i++)
        code = read_file(&j, argv[i]) ? 0 : 2;
    if (code == 0)
        code = judge_all(&j);
    if (code == 1 && failure)
        write_failures(&j, failure);
    for (int i = 0; i < j.file_count; i++)
        json_decref(j.files[i]);
    json_decref(j.failures);
    free(j.lines);
    return code;
}
