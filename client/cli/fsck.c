/* SPDX-License-Identifier: Apache-2.0 */
/* The command fsck: waits until the services have looked through everything, and tells. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cli/text.h"

#define LOOK_US 100000u /* between two questions how far it is */

static uint64_t number(const json_t *object, const char *name)
{
    json_int_t v = json_integer_value(json_object_get(object, name));
    return v > 0 ? (uint64_t)v : 0;
}

/* NULL: said why. */
static json_t *ask(const struct cli *cli, unsigned what)
{
    char *answer;
    json_error_t error;
    int status = cenote_pool_fsck(cli->client, what, &answer);

    if (status != CENOTE_OK) {
        cli_complain(cli, NULL, status);
        return NULL;
    }
    json_t *services = json_loads(answer, 0, &error);
    if (!services)
        fprintf(stderr, "cenote: fsck: the service's answer is no JSON: %s\n", error.text);
    free(answer);
    return services;
}

static bool is_over(const json_t *services)
{
    const json_t *s;
    size_t i;

    json_array_foreach(services, i, s)
    {
        if (!json_is_true(json_object_get(s, "over")))
            return false;
    }
    return true;
}

static uint64_t count_all(const json_t *services, const char *name)
{
    const json_t *s, *kind;
    uint64_t count = 0;
    size_t i, k;

    json_array_foreach(services, i, s)
    {
        json_array_foreach(json_object_get(s, "differences"), k, kind) count += number(kind, name);
    }
    return count;
}

static void print_kind(const json_t *kind)
{
    const json_t *first;
    size_t i;

    if (number(kind, "more") > 0)
        printf("%8" PRIu64 "  more seem odd (%s) and weren't looked at again: run it again\n",
               number(kind, "more"), json_string_value(json_object_get(kind, "kind")));
    if (number(kind, "count") == 0)
        return;
    printf("%8" PRIu64 "  %s (%s), %" PRIu64 " mended\n", number(kind, "count"),
           json_string_value(json_object_get(kind, "meaning")),
           json_string_value(json_object_get(kind, "kind")), number(kind, "mended"));
    json_array_foreach(json_object_get(kind, "first"), i, first) printf(
        "          put %" PRIx64 " at %" PRIx64 "\n", number(first, "put"), number(first, "gva"));
}

static void print_service(const json_t *s)
{
    const json_t *kind;
    size_t i;

    printf("%" PRIu64 " records, %" PRIu64 " names, %" PRIu64 " entries of directories\n",
           number(s, "records"), number(s, "names"), number(s, "entries"));
    json_array_foreach(json_object_get(s, "differences"), i, kind) print_kind(kind);
}

static int print(const struct cli *cli, json_t *services)
{
    const json_t *s;
    size_t i;

    if (cli->json)
        return text_json_print(json_incref(services)) == 0
                   ? EXIT_DONE
                   : cli_complain_errno(cli, "standard output");
    json_array_foreach(services, i, s) print_service(s);
    printf("%" PRIu64 " differences\n", count_all(services, "count"));
    return EXIT_DONE;
}

int cli_fsck(struct cli *cli)
{
    json_t *services = ask(cli, cli->repair ? CENOTE_FSCK_REPAIR : CENOTE_FSCK_BEGIN);

    while (services && !is_over(services)) {
        json_decref(services);
        usleep(LOOK_US);
        services = ask(cli, CENOTE_FSCK_LOOK);
    }
    if (!services)
        return EXIT_FAILED;
    int code = print(cli, services);
    if (code == EXIT_DONE && count_all(services, "count") + count_all(services, "more") > 0)
        code = EXIT_DIFFERENCES;
    json_decref(services);
    return code;
}
