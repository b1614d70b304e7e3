/* SPDX-License-Identifier: Apache-2.0 */
/* The command ns: namespaces, their settings, and what they hold. */
#include <cenote/namespace.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/text.h"
#include "transport/base/config.h"

/* ---- settings -------------------------------------------------------------------------------- */

static int parse_size(const char *option, const char *text, uint64_t *out)
{
    if (!text || config_parse_size(text, out))
        return EXIT_DONE;
    fprintf(stderr, "cenote: ns: %s wants a SIZE, 64GiB say, not %s\n", option, text);
    return EXIT_USAGE;
}

/* Those that were given take the place of those that are in *out. */
static int parse_settings(const struct cli *cli, struct cenote_namespace_settings *out)
{
    int code = parse_size("--quota", cli->quota, &out->quota_bytes);

    if (code == EXIT_DONE)
        code = parse_size("--quota-objects", cli->quota_objects, &out->quota_objects);
    if (code == EXIT_DONE)
        code = parse_size("--pin-limit", cli->pin_limit, &out->pin_limit_bytes);
    if (code == EXIT_DONE && cli->ttl)
        code = cli_parse_ttl(cli, cli->ttl, &out->ttl_ms);
    return code;
}

/* CENOTE_OK, CENOTE_NOT_FOUND, or why it can't be told. */
static int find(struct cli *cli, const char *name, struct cenote_namespace *out)
{
    struct cenote_namespace *list;
    size_t count;
    int status = cenote_namespaces(cli->client, &list, &count);

    if (status != CENOTE_OK)
        return status;
    status = CENOTE_NOT_FOUND;
    for (size_t i = 0; i < count && status != CENOTE_OK; i++) {
        if (strcmp(list[i].name, name) == 0) {
            *out = list[i];
            status = CENOTE_OK;
        }
    }
    free(list);
    return status;
}

static void tell_excess(const struct cenote_namespace *space)
{
    char size[TEXT_SIZE_MAX];

    if (space->excess_bytes > 0 || space->excess_objects > 0)
        fprintf(stderr,
                "cenote: ns: %s holds %s and %" PRIu64 " values more than its quota: they will be "
                "evicted\n",
                space->name, text_size(space->excess_bytes, size), space->excess_objects);
}

/* ---- its parts ------------------------------------------------------------------------------- */

static int create(struct cli *cli, const char *name)
{
    struct cenote_namespace_settings settings = {0};
    int code = parse_settings(cli, &settings);

    if (code != EXIT_DONE)
        return code;
    int status = cenote_namespace_create(cli->client, name, &settings);
    return status == CENOTE_OK ? EXIT_DONE : cli_complain_space(cli, name, status);
}

static int set(struct cli *cli, const char *name)
{
    struct cenote_namespace space;
    int code = EXIT_DONE, status = find(cli, name, &space);

    if (status == CENOTE_OK)
        code = parse_settings(cli, &space.settings);
    if (code != EXIT_DONE)
        return code;
    if (status == CENOTE_OK)
        status = cenote_namespace_set(cli->client, name, &space.settings);
    if (status == CENOTE_OK)
        status = find(cli, name, &space);
    if (status != CENOTE_OK)
        return cli_complain_space(cli, name, status);
    tell_excess(&space);
    return EXIT_DONE;
}

static int report_removed(struct cli *cli, uint64_t removed)
{
    json_t *o;

    if (!cli->json)
        return EXIT_DONE;
    o = json_object();
    json_object_set_new(o, "removed", json_integer((json_int_t)removed));
    return text_json_print(o) == 0 ? EXIT_DONE : cli_complain_errno(cli, "standard output");
}

static int clear(struct cli *cli, const char *name)
{
    uint64_t removed = 0;
    int status = cenote_namespace_clear(cli->client, name, &removed);

    return status == CENOTE_OK ? report_removed(cli, removed)
                               : cli_complain_space(cli, name, status);
}

static int drop(struct cli *cli, const char *name)
{
    int status = cenote_namespace_remove(cli->client, name);

    if (status == CENOTE_INVALID && strcmp(name, "default") == 0) {
        fprintf(stderr, "cenote: ns: the namespace default can't be removed\n");
        return EXIT_FAILED;
    }
    return status == CENOTE_OK ? EXIT_DONE : cli_complain_space(cli, name, status);
}

int cli_remove_prefix(struct cli *cli)
{
    uint64_t removed = 0;
    int status = cenote_remove_prefix(cli->client, cli->prefix, strlen(cli->prefix), &removed);

    return status == CENOTE_OK ? report_removed(cli, removed)
                               : cli_complain(cli, cli->prefix, status);
}

/* ---- ls -------------------------------------------------------------------------------------- */

static json_t *space_json(const struct cenote_namespace *s)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {{"quota_bytes", s->settings.quota_bytes},
                   {"quota_objects", s->settings.quota_objects},
                   {"ttl_ms", s->settings.ttl_ms},
                   {"pin_limit_bytes", s->settings.pin_limit_bytes},
                   {"used_bytes", s->used_bytes},
                   {"used_objects", s->used_objects},
                   {"pinned_bytes", s->pinned_bytes},
                   {"excess_bytes", s->excess_bytes},
                   {"excess_objects", s->excess_objects},
                   {"services", s->services}};
    json_t *o = json_object();

    json_object_set_new(o, "name", json_string(s->name));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        json_object_set_new(o, numbers[i].name, json_integer((json_int_t)numbers[i].value));
    return o;
}

static const char *size_or_dash(uint64_t bytes, char out[TEXT_SIZE_MAX])
{
    return bytes > 0 ? text_size(bytes, out) : "-";
}

static void print_space(const struct cenote_namespace *s)
{
    char used[TEXT_SIZE_MAX], quota[TEXT_SIZE_MAX], pinned[TEXT_SIZE_MAX], limit[TEXT_SIZE_MAX];
    char ttl[TEXT_TIME_MAX], objects[TEXT_SIZE_MAX + 8] = "-";

    if (s->settings.quota_objects > 0)
        snprintf(objects, sizeof objects, "%" PRIu64, s->settings.quota_objects);
    printf("%-20s %10s %10s %10" PRIu64 " %10s %10s %10s  %s\n", s->name,
           text_size(s->used_bytes, used), size_or_dash(s->settings.quota_bytes, quota),
           s->used_objects, objects, size_or_dash(s->pinned_bytes, pinned),
           size_or_dash(s->settings.pin_limit_bytes, limit),
           s->settings.ttl_ms > 0 ? text_duration(s->settings.ttl_ms, ttl) : "-");
}

static int list(struct cli *cli)
{
    struct cenote_namespace *spaces;
    size_t count;
    int code = EXIT_DONE, status = cenote_namespaces(cli->client, &spaces, &count);

    if (status != CENOTE_OK)
        return cli_complain(cli, NULL, status);
    json_t *all = cli->json ? json_array() : NULL;
    if (!cli->json)
        printf("%-20s %10s %10s %10s %10s %10s %10s  %s\n", "NAME", "USED", "QUOTA", "VALUES",
               "QUOTA", "PINNED", "LIMIT", "TTL");
    for (size_t i = 0; i < count; i++) {
        if (cli->json)
            json_array_append_new(all, space_json(&spaces[i]));
        else
            print_space(&spaces[i]);
    }
    if (cli->json && text_json_print(all) != 0)
        code = cli_complain_errno(cli, "standard output");
    free(spaces);
    return code;
}

/* ---- ns -------------------------------------------------------------------------------------- */

int cli_namespaces(struct cli *cli)
{
    static const struct {
        const char *name;
        int (*run)(struct cli *cli, const char *name);
    } parts[] = {{"create", create}, {"set", set}, {"clear", clear}, {"rm", drop}};
    const char *part = cli->args[0];

    if (strcmp(part, "ls") == 0 && cli->arg_count == 1)
        return list(cli);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strcmp(part, parts[i].name) == 0 && cli->arg_count == 2)
            return parts[i].run(cli, cli->args[1]);
    }
    fprintf(stderr, "cenote: ns: create NAME, ls, set NAME, clear NAME or rm NAME\n");
    return EXIT_USAGE;
}
