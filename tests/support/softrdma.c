/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/softrdma.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport/base/log.h"

#define COMMAND_MAX 256u
#define TOLD_MAX    256u
#define PATIENCE    50u /* times a tenth of a second */

static void fail(const char *what)
{
    fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

bool softrdma_has(const char *device)
{
    char path[COMMAND_MAX];
    snprintf(path, sizeof path, "/sys/class/infiniband/%s", device);
    return access(path, F_OK) == 0;
}

void softrdma_pull(const char *network_device)
{
    char command[COMMAND_MAX];
    snprintf(command, sizeof command, "ip link delete %s &", network_device);
    if (system(command) != 0)
        fail(command);
}

void softrdma_net(const char *format, ...)
{
    char command[COMMAND_MAX] = "vm-net ";
    size_t len = strlen(command);
    va_list args;
    va_start(args, format);
    vsnprintf(command + len, sizeof command - len, format, args);
    va_end(args);
    if (system(command) != 0)
        fail(command);
}

/* "...NAME NUMBER..." */
static uint32_t number_behind(const char *line, const char *name)
{
    const char *at = strstr(line, name);
    return at != NULL ? (uint32_t)strtoul(at + strlen(name), NULL, 10) : 0;
}

struct softrdma_counts softrdma_counts(void)
{
    struct softrdma_counts c = {0};
    char line[TOLD_MAX];
    FILE *told = popen("rdma resource show", "re");
    if (told == NULL)
        fail("rdma resource show");
    while (fgets(line, sizeof line, told) != NULL) {
        c.pds += number_behind(line, " pd ");
        c.cqs += number_behind(line, " cq ");
        c.qps += number_behind(line, " qp ");
        c.mrs += number_behind(line, " mr ");
    }
    if (pclose(told) != 0)
        fail("rdma resource show");
    return c;
}

void softrdma_await(const struct softrdma_counts *then)
{
    struct softrdma_counts now = {0};
    for (unsigned i = 0; i < PATIENCE; i++) {
        now = softrdma_counts();
        if (now.pds <= then->pds && now.cqs <= then->cqs && now.qps <= then->qps &&
            now.mrs <= then->mrs)
            return;
        usleep(50000);
    }
    fprintf(stderr, "left over: %u protection domains, %u CQs, %u QPs, %u MRs\n",
            now.pds - then->pds, now.cqs - then->cqs, now.qps - then->qps, now.mrs - then->mrs);
    fail("all that was made has ended");
}

static atomic_uint errors;

static void count_line(void *arg, enum log_level level, const char *module, const char *text)
{
    if (level == LOG_ERROR)
        atomic_fetch_add(&errors, 1);
    log_to_stderr(arg, level, module, text);
}

void softrdma_watch_log(void)
{
    log_set_sink(count_line, NULL);
}

uint32_t softrdma_errors(void)
{
    return atomic_exchange(&errors, 0);
}
