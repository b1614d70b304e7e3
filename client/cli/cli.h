/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tool "cenote": what its commands share. A command is a function in the table of main.c.
 */
#ifndef CENOTE_CLI_CLI_H
#define CENOTE_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include <cenote/cenote.h>

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_MISSING = 3,
    EXIT_DIFFERENCES = 4
};

struct cli {
    /* options */
    char *meta, *http, *name_space, *range, *rdma;
    char *metrics, *trace; /* files; NULL: not given */
    char *ttl, *pin, *group, *prefix, *quota, *quota_objects, *pin_limit; /* NULL: not given */
    int transport, verify;                                                /* as in cenote.h */
    uint64_t timeout_ms, replicas, interval_ms;
    bool json, replace, repair, once, verbose;

    const char *command;
    char **args; /* behind the command */
    int arg_count;
    struct cenote *client;
};

/* The commands. Each returns an exit code and has said why when it isn't EXIT_DONE. */
int cli_put(struct cli *cli);
int cli_get(struct cli *cli);
int cli_remove(struct cli *cli);
int cli_exists(struct cli *cli);
int cli_stat(struct cli *cli);
int cli_list(struct cli *cli);
int cli_status(struct cli *cli);
int cli_top(struct cli *cli);
int cli_fsck(struct cli *cli);
/* Without a client: they ask the daemon of this machine. */
int cli_trace(struct cli *cli);
int cli_log(struct cli *cli);
int cli_pin(struct cli *cli);
int cli_unpin(struct cli *cli);
int cli_ttl(struct cli *cli);
int cli_namespaces(struct cli *cli);
/* rm --prefix */
int cli_remove_prefix(struct cli *cli);

struct cenote_policy;
/* What --ttl, --pin and --group say; it points into the options. Returns an exit code. */
int cli_policy(const struct cli *cli, struct cenote_policy *out);
int cli_parse_ttl(const struct cli *cli, const char *text, uint64_t *ms);

/* What --metrics and --trace ask for: before the command, and after it. Exit codes. */
int cli_count(const struct cli *cli);
int cli_write_counted(const struct cli *cli);

/* The statuses of the first count arguments, which are keys. Returns an exit code. */
int cli_report_keys(const struct cli *cli, int count, const int *statuses);

/* "cenote: put: KEY: the pool is full" on stderr; subject may be NULL. Returns the exit code that
 * fits the status. */
int cli_complain(const struct cli *cli, const char *subject, int status);
/* The same about a namespace. */
int cli_complain_space(const struct cli *cli, const char *name, int status);
/* The same with errno. */
int cli_complain_errno(const struct cli *cli, const char *subject);

#endif
