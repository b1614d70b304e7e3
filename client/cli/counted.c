/* SPDX-License-Identifier: Apache-2.0 */
/* --metrics and --trace: what the tool's own client has done. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/metrics.h>

#include "client/cli/cli.h"

/* "-" is standard error: standard output may be a value. */
static int write_text(const struct cli *cli, const char *path, const char *text)
{
    FILE *f = strcmp(path, "-") == 0 ? stderr : fopen(path, "we");
    if (f == NULL)
        return cli_complain_errno(cli, path);
    bool good = fputs(text, f) >= 0;
    if (f != stderr)
        good = (fclose(f) == 0) && good;
    return good ? EXIT_DONE : cli_complain_errno(cli, path);
}

static int write_one(const struct cli *cli, const char *path,
                     int (*tell)(struct cenote *client, char **text))
{
    char *text;
    int status = path != NULL ? tell(cli->client, &text) : CENOTE_OK;
    if (path == NULL || status != CENOTE_OK)
        return status == CENOTE_OK ? EXIT_DONE : cli_complain(cli, path, status);
    int code = write_text(cli, path, text);
    free(text);
    return code;
}

int cli_count(const struct cli *cli)
{
    int status = cli->trace != NULL ? cenote_trace(cli->client, true) : CENOTE_OK;
    return status == CENOTE_OK ? EXIT_DONE : cli_complain(cli, NULL, status);
}

int cli_write_counted(const struct cli *cli)
{
    int metrics = write_one(cli, cli->metrics, cenote_metrics);
    int trace = write_one(cli, cli->trace, cenote_trace_dump);
    return metrics != EXIT_DONE ? metrics : trace;
}
