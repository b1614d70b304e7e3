/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about how values are kept: pin, unpin and ttl; and what put says of it. */
#include <cenote/policy.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/text.h"
#include "transport/base/config.h"

static const char *const pins[] = {
    [CENOTE_PIN_NONE] = "none", [CENOTE_PIN_SOFT] = "soft", [CENOTE_PIN_HARD] = "hard"};
#define PINS (sizeof pins / sizeof *pins)

static int wants(const struct cli *cli, const char *what, const char *text)
{
    fprintf(stderr, "cenote: %s: %s, not %s\n", cli->command, what, text);
    return EXIT_USAGE;
}

int cli_parse_ttl(const struct cli *cli, const char *text, uint64_t *ms)
{
    if (config_parse_ms(text, ms) && *ms <= CENOTE_TTL_MAX_MS)
        return EXIT_DONE;
    return wants(cli, "a time to live is TIME, 90s or 36h say, of at most ten years", text);
}

/* "hard", "soft", or "soft:10m". */
static int parse_pin(const struct cli *cli, const char *text, struct cenote_policy *out)
{
    const char *colon = strchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : strlen(text);

    for (size_t i = 0; i < PINS; i++) {
        if (strlen(pins[i]) == len && memcmp(pins[i], text, len) == 0) {
            out->pin = (uint32_t)i;
            if (!colon)
                return EXIT_DONE;
            if (i == CENOTE_PIN_SOFT && config_parse_ms(colon + 1, &out->pin_ms) &&
                out->pin_ms > 0 && out->pin_ms <= CENOTE_TTL_MAX_MS)
                return EXIT_DONE;
        }
    }
    return wants(cli, "--pin is none, soft, soft:TIME or hard", text);
}

int cli_policy(const struct cli *cli, struct cenote_policy *out)
{
    int code = EXIT_DONE;

    *out = (struct cenote_policy){0};
    if (cli->ttl)
        code = cli_parse_ttl(cli, cli->ttl, &out->ttl_ms);
    if (code == EXIT_DONE && cli->pin)
        code = parse_pin(cli, cli->pin, out);
    if (cli->group) {
        out->group = cli->group;
        out->group_len_bytes = strlen(cli->group);
        if (out->group_len_bytes > CENOTE_GROUP_MAX && code == EXIT_DONE)
            code = wants(cli, "--group has at most 64 bytes", cli->group);
    }
    return code;
}

/* ---- changing -------------------------------------------------------------------------------- */

static int set(struct cli *cli, const struct cenote_policy *policy, unsigned fields, int arg_count)
{
    struct cenote_key *keys = calloc((size_t)arg_count, sizeof *keys);
    int *statuses = calloc((size_t)arg_count, sizeof *statuses);
    int code = EXIT_DONE;

    if (!keys || !statuses) {
        code = cli_complain(cli, NULL, CENOTE_NO_MEMORY);
    } else {
        for (int i = 0; i < arg_count; i++)
            keys[i] = (struct cenote_key){cli->args[i], strlen(cli->args[i])};
        cenote_set_policy(cli->client, keys, (size_t)arg_count, policy, fields, statuses);
        code = cli_report_keys(cli, arg_count, statuses);
    }
    free(statuses);
    free(keys);
    return code;
}

int cli_pin(struct cli *cli)
{
    struct cenote_policy policy;
    int code = cli_policy(cli, &policy);

    if (!cli->pin)
        policy.pin = CENOTE_PIN_HARD;
    return code == EXIT_DONE ? set(cli, &policy, CENOTE_POLICY_PIN, cli->arg_count) : code;
}

int cli_unpin(struct cli *cli)
{
    const struct cenote_policy none = {0};
    return set(cli, &none, CENOTE_POLICY_PIN, cli->arg_count);
}

/* ---- ttl ------------------------------------------------------------------------------------- */

static json_t *kept_json(const char *key, const struct cenote_kept *k)
{
    json_t *o = json_object();

    text_json_key(o, key, strlen(key));
    json_object_set_new(o, "ttl_left_ms", json_integer((json_int_t)k->ttl_left_ms));
    json_object_set_new(o, "pin", json_string(k->pin < PINS ? pins[k->pin] : "?"));
    json_object_set_new(o, "pin_left_ms", json_integer((json_int_t)k->pin_left_ms));
    text_json_bytes(o, "group", k->group, k->group_len_bytes);
    return o;
}

static void print_kept(const struct cenote_kept *k)
{
    char time[TEXT_TIME_MAX];

    printf("ttl       %s\n", k->ttl_left_ms > 0 ? text_duration(k->ttl_left_ms, time) : "none");
    printf("pin       %s", k->pin < PINS ? pins[k->pin] : "?");
    if (k->pin_left_ms > 0)
        printf(", for %s", text_duration(k->pin_left_ms, time));
    printf("\ngroup     ");
    if (k->group_len_bytes > 0)
        text_key(stdout, k->group, k->group_len_bytes);
    printf("%s\n", k->group_len_bytes > 0 ? "" : "none");
}

static int tell(struct cli *cli)
{
    const char *key = cli->args[0];
    struct cenote_kept kept;
    int status = cenote_get_policy(cli->client, key, strlen(key), &kept);

    if (status != CENOTE_OK)
        return cli_complain(cli, key, status);
    if (cli->json)
        return text_json_print(kept_json(key, &kept)) == 0
                   ? EXIT_DONE
                   : cli_complain_errno(cli, "standard output");
    print_kept(&kept);
    return EXIT_DONE;
}

int cli_ttl(struct cli *cli)
{
    struct cenote_policy policy = {0};

    if (cli->arg_count == 1)
        return tell(cli);
    int code = strcmp(cli->args[1], "none") == 0 ? EXIT_DONE
                                                 : cli_parse_ttl(cli, cli->args[1], &policy.ttl_ms);
    return code == EXIT_DONE ? set(cli, &policy, CENOTE_POLICY_TTL, 1) : code;
}
