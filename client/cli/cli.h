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
    char *meta, *name_space, *range, *rdma;
    int transport, verify; /* as in cenote.h */
    uint64_t timeout_ms, replicas;
    bool json, replace, repair, verbose;

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
int cli_fsck(struct cli *cli);

/* "cenote: put: KEY: the pool is full" on stderr; subject may be NULL. Returns the exit code that
 * fits the status. */
int cli_complain(const struct cli *cli, const char *subject, int status);
/* The same with errno. */
int cli_complain_errno(const struct cli *cli, const char *subject);

#endif
