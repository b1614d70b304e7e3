/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about keys: rm, exists, stat and ls. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/text.h"

static struct cenote_key *keys_of(const struct cli *cli)
{
    struct cenote_key *keys = calloc((size_t)cli->arg_count, sizeof *keys);

    for (int i = 0; keys && i < cli->arg_count; i++)
        keys[i] = (struct cenote_key){cli->args[i], strlen(cli->args[i])};
    return keys;
}

static int print_json(const struct cli *cli, json_t *value)
{
    return text_json_print(value) == 0 ? EXIT_DONE : cli_complain_errno(cli, "standard output");
}

/* An error weighs more than a missing key. */
static int worse(int a, int b)
{
    return a == EXIT_FAILED || b == EXIT_DONE ? a : b;
}

/* ---- rm -------------------------------------------------------------------------------------- */

int cli_report_keys(const struct cli *cli, int count, const int *statuses)
{
    json_t *list = json_array();
    int code = EXIT_DONE;

    for (int i = 0; i < count; i++) {
        json_t *o = json_object();
        text_json_key(o, cli->args[i], strlen(cli->args[i]));
        json_object_set_new(o, "status", json_string(cenote_status_name(statuses[i])));
        json_array_append_new(list, o);
        if (statuses[i] != CENOTE_OK)
            code = worse(code, cli_complain(cli, cli->args[i], statuses[i]));
    }
    if (!cli->json)
        json_decref(list);
    else
        code = worse(code, print_json(cli, list));
    return code;
}

int cli_remove(struct cli *cli)
{
    if ((cli->arg_count > 0) == (cli->prefix != NULL)) {
        fprintf(stderr, "cenote: rm: either KEY... or --prefix\n");
        return EXIT_USAGE;
    }
    if (cli->prefix)
        return cli_remove_prefix(cli);

    struct cenote_key *keys = keys_of(cli);
    int *statuses = calloc((size_t)cli->arg_count, sizeof *statuses);
    int code;

    if (!keys || !statuses) {
        code = cli_complain(cli, NULL, CENOTE_NO_MEMORY);
    } else {
        cenote_remove(cli->client, keys, (size_t)cli->arg_count, statuses);
        code = cli_report_keys(cli, cli->arg_count, statuses);
    }
    free(statuses);
    free(keys);
    return code;
}

/* ---- exists ---------------------------------------------------------------------------------- */

static int report_present(const struct cli *cli, const bool *present)
{
    json_t *list = json_array();
    int code = EXIT_DONE;

    for (int i = 0; i < cli->arg_count; i++) {
        json_t *o = json_object();
        text_json_key(o, cli->args[i], strlen(cli->args[i]));
        json_object_set_new(o, "exists", json_boolean(present[i]));
        json_array_append_new(list, o);
        if (!present[i])
            code = EXIT_MISSING;
        if (!cli->json)
            printf("%s: %s\n", cli->args[i], present[i] ? "yes" : "no");
    }
    if (!cli->json)
        json_decref(list);
    else
        code = worse(code, print_json(cli, list));
    return code;
}

int cli_exists(struct cli *cli)
{
    struct cenote_key *keys = keys_of(cli);
    bool *present = calloc((size_t)cli->arg_count, sizeof *present);
    int status = CENOTE_NO_MEMORY, code;

    if (keys && present)
        status = cenote_exists(cli->client, keys, (size_t)cli->arg_count, present, NULL);
    if (status == CENOTE_OK)
        code = report_present(cli, present);
    else
        code = cli_complain(cli, NULL, status);
    free(present);
    free(keys);
    return code;
}

/* ---- stat ------------------------------------------------------------------------------------ */

struct found {
    struct cenote_stat stat;
    struct cenote_place *places;
    size_t place_count;
};

static json_t *places_json(const struct found *f)
{
    json_t *list = json_array();

    for (size_t i = 0; i < f->place_count; i++) {
        const struct cenote_place *p = &f->places[i];
        json_t *o = json_object();
        json_object_set_new(o, "offset", json_integer((json_int_t)p->offset));
        json_object_set_new(o, "len_bytes", json_integer((json_int_t)p->len_bytes));
        json_object_set_new(o, "node", json_string(p->node));
        json_object_set_new(o, "zone", json_string(p->zone));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *stat_json(const char *key, const struct found *f)
{
    const struct cenote_stat *s = &f->stat;
    json_t *o = json_object();

    text_json_key(o, key, strlen(key));
    json_object_set_new(o, "len_bytes", json_integer((json_int_t)s->len_bytes));
    json_object_set_new(o, "put_id", json_integer((json_int_t)s->put_id));
    json_object_set_new(o, "created_ms", json_integer((json_int_t)s->created_ms));
    json_object_set_new(o, "stripes", json_integer(s->stripes));
    json_object_set_new(o, "replicas", json_integer(s->replicas));
    json_object_set_new(o, "has_sums", json_boolean(s->has_sums));
    json_object_set_new(o, "places", places_json(f));
    return o;
}

/* A line for each stripe. */
static void print_places(const struct found *f)
{
    char size[TEXT_SIZE_MAX];

    for (size_t i = 0; i < f->place_count; i++) {
        const struct cenote_place *p = &f->places[i];
        if (i == 0 || p->offset != p[-1].offset)
            printf("%sat %-6" PRIu64 " %s on %s", i == 0 ? "" : "\n", p->offset,
                   text_size(p->len_bytes, size), p->node);
        else
            printf(", %s", p->node);
        if (p->zone[0] != '\0')
            printf(" (zone %s)", p->zone);
    }
    putchar('\n');
}

static void print_stat(const char *key, const struct found *f)
{
    char size[TEXT_SIZE_MAX], date[TEXT_TIME_MAX];
    const struct cenote_stat *s = &f->stat;

    printf("key       %s\n", key);
    printf("length    %" PRIu64 " (%s)\n", s->len_bytes, text_size(s->len_bytes, size));
    printf("put id    %" PRIu64 "\n", s->put_id);
    printf("created   %s\n", text_date(s->created_ms, date));
    printf("stripes   %" PRIu32 "\n", s->stripes);
    printf("replicas  %" PRIu32 "\n", s->replicas);
    printf("sums      %s\n", s->has_sums ? "xxh3" : "none");
    print_places(f);
}

int cli_stat(struct cli *cli)
{
    const char *key = cli->args[0];
    struct found f = {0};
    int status = cenote_stat(cli->client, key, strlen(key), &f.stat);
    int code = EXIT_DONE;

    if (status == CENOTE_OK)
        status = cenote_places(cli->client, key, strlen(key), &f.places, &f.place_count);
    if (status != CENOTE_OK)
        return cli_complain(cli, key, status);
    if (cli->json)
        code = print_json(cli, stat_json(key, &f));
    else
        print_stat(key, &f);
    free(f.places);
    return code;
}

/* ---- ls -------------------------------------------------------------------------------------- */

static json_t *entry_json(const struct cenote_list_entry *e)
{
    json_t *o = json_object();

    text_json_key(o, e->key.data, e->key.len_bytes);
    json_object_set_new(o, "len_bytes", json_integer((json_int_t)e->len_bytes));
    json_object_set_new(o, "put_id", json_integer((json_int_t)e->put_id));
    return o;
}

/* One entry a line, also as JSON: a listing may be longer than memory. */
static void print_entry(const struct cli *cli, const struct cenote_list_entry *e)
{
    char size[TEXT_SIZE_MAX];
    json_t *o;

    if (!cli->json) {
        printf("%11s  ", text_size(e->len_bytes, size));
        text_key(stdout, e->key.data, e->key.len_bytes);
        putchar('\n');
        return;
    }
    o = entry_json(e);
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

int cli_list(struct cli *cli)
{
    const char *prefix = cli->arg_count > 0 ? cli->args[0] : "";
    struct cenote_list list = {0};
    int status, code = EXIT_DONE;

    do {
        status = cenote_list(cli->client, prefix, strlen(prefix), &list);
        for (size_t i = 0; status == CENOTE_OK && i < list.count; i++)
            print_entry(cli, &list.entries[i]);
    } while (status == CENOTE_OK && list.more && !ferror(stdout));
    if (status != CENOTE_OK)
        code = cli_complain(cli, prefix, status);
    cenote_list_free(&list);
    return code;
}
