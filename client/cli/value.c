/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that move a value: put and get. */
#include <cenote/policy.h>
#include <cenote/range.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/progress.h"
#include "client/cli/sink.h"
#include "client/cli/source.h"
#include "client/cli/text.h"
#include "transport/base/config.h"

/* A value may grow between the look at its length and the get. */
#define GET_TRIES_MAX  4
/* Longest offset in a --range. */
#define RANGE_TEXT_MAX 32

static int report_put(const struct cli *cli, const char *key, uint64_t len, int status)
{
    json_t *o;

    if (!cli->json) {
        if (status == CENOTE_EXISTS)
            fprintf(stderr, "cenote: put: %s: %s, nothing changed\n", key,
                    cenote_status_text(status));
        return EXIT_DONE;
    }
    o = json_object();
    text_json_key(o, key, strlen(key));
    json_object_set_new(o, "len_bytes", json_integer((json_int_t)len));
    json_object_set_new(o, "status", json_string(cenote_status_name(status)));
    return text_json_print(o) == 0 ? EXIT_DONE : cli_complain_errno(cli, "standard output");
}

int cli_put(struct cli *cli)
{
    const char *key = cli->args[0];
    const char *path = cli->arg_count > 1 ? cli->args[1] : "-";
    struct cenote_policy policy;
    struct source source;
    int code = cli_policy(cli, &policy);

    if (code != EXIT_DONE)
        return code;
    if (source_open(path, &source) != 0)
        return cli_complain_errno(cli, path);
    struct progress *p = progress_begin("putting", source.len_bytes);
    struct cenote_buffer piece = {source.data, source.len_bytes};
    struct cenote_put_item item = {.key = {key, strlen(key)}, .buffers = &piece, .buffer_count = 1};
    cenote_put_with(cli->client, &item, 1, cli->replace ? CENOTE_PUT_REPLACE : 0, &policy);
    int status = item.status;
    progress_end(p);
    uint64_t len = source.len_bytes;
    source_close(&source);
    if (status != CENOTE_OK && status != CENOTE_EXISTS)
        return cli_complain(cli, key, status);
    return report_put(cli, key, len, status);
}

/* Into the sink's memory. CENOTE_OK and the length, a status, or, positive, the sink's errno. */
static int fetch(struct cli *cli, const char *key, struct sink *sink, uint64_t *len)
{
    struct cenote_stat stat = {0};
    int status = cenote_stat(cli->client, key, strlen(key), &stat);

    *len = stat.len_bytes;
    for (int i = 0; i < GET_TRIES_MAX && status == CENOTE_OK; i++) {
        if (sink_resize(sink, *len) != 0)
            return errno;
        struct progress *p = progress_begin("getting", *len);
        status = cenote_get(cli->client, key, strlen(key), sink->data, sink->len_bytes, len);
        progress_end(p);
        if (status != CENOTE_BUFFER_SIZE)
            return status;
        status = CENOTE_OK;
    }
    return status == CENOTE_OK ? CENOTE_BUFFER_SIZE : status;
}

/* "4096:1MiB". */
static bool parse_range(const char *text, uint64_t *offset, uint64_t *len)
{
    const char *colon = strchr(text, ':');
    char from[RANGE_TEXT_MAX];

    if (!colon || (size_t)(colon - text) >= sizeof from)
        return false;
    snprintf(from, sizeof from, "%.*s", (int)(colon - text), text);
    return config_parse_size(from, offset) && config_parse_size(colon + 1, len) && *len <= SIZE_MAX;
}

/* As fetch(), of a range. */
static int fetch_range(struct cli *cli, const char *key, struct sink *sink, uint64_t offset,
                       uint64_t len)
{
    struct cenote_buffer piece;
    struct cenote_range_item item = {
        .key = {key, strlen(key)}, .offset = offset, .buffers = &piece, .buffer_count = 1};

    /* Whoever asks for more than there is gets no room for it first. */
    struct cenote_stat stat;
    int status = cenote_stat(cli->client, key, strlen(key), &stat);
    if (status != CENOTE_OK)
        return status;
    if (offset > stat.len_bytes || len > stat.len_bytes - offset)
        return CENOTE_BAD_RANGE;
    if (sink_resize(sink, len) != 0)
        return errno;
    piece = (struct cenote_buffer){sink->data, (size_t)len};
    struct progress *p = progress_begin("getting", len);
    cenote_get_ranges(cli->client, &item, 1);
    progress_end(p);
    return item.status;
}

static int report_get(const struct cli *cli, const char *key, const char *path, uint64_t len)
{
    json_t *o;

    if (!cli->json)
        return EXIT_DONE;
    o = json_object();
    text_json_key(o, key, strlen(key));
    json_object_set_new(o, "len_bytes", json_integer((json_int_t)len));
    json_object_set_new(o, "file", json_string(path));
    return text_json_print(o) == 0 ? EXIT_DONE : cli_complain_errno(cli, "standard output");
}

int cli_get(struct cli *cli)
{
    const char *key = cli->args[0];
    const char *path = cli->arg_count > 1 ? cli->args[1] : "-";
    struct sink sink;
    uint64_t len = 0, offset = 0;
    int status, code;

    if (cli->range && !parse_range(cli->range, &offset, &len)) {
        fprintf(stderr, "cenote: get: --range wants FROM:LENGTH, e.g. 0:64KiB, not %s\n",
                cli->range);
        return EXIT_USAGE;
    }
    if (cli->json && strcmp(path, "-") == 0) {
        fprintf(stderr, "cenote: get: --json needs a FILE: standard output is the value's\n");
        return EXIT_USAGE;
    }
    if (sink_open(path, &sink) != 0)
        return cli_complain_errno(cli, path);
    status = cli->range ? fetch_range(cli, key, &sink, offset, len) : fetch(cli, key, &sink, &len);
    if (status > 0) {
        errno = status;
        code = cli_complain_errno(cli, sink.name);
    } else if (status != CENOTE_OK) {
        code = cli_complain(cli, key, status);
    } else if (sink_commit(&sink, len) != 0) {
        code = cli_complain_errno(cli, sink.name);
    } else {
        code = report_get(cli, key, path, len);
    }
    sink_close(&sink);
    return code;
}
