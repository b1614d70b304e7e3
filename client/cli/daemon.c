/* SPDX-License-Identifier: Apache-2.0 */
/* The commands trace and log: they ask the daemon of this machine, over its HTTP, which lets
 * nobody else change what it traces and logs. */
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "transport/base/endpoint.h"

#define LINE_MAX_BYTES 1024
#define HEADERS_MAX    64
#define ERROR_MAX      4096
#define OK             200

struct answer {
    FILE *from;
    int code;
    unsigned long long len_bytes;
};

static int nobody_there(const struct cli *cli)
{
    fprintf(stderr, "cenote: %s: %s: no cenoted answers there (see --http)\n", cli->command,
            cli->http);
    return EXIT_FAILED;
}

/* NULL: said why. */
static FILE *dial(const struct cli *cli)
{
    const struct timeval patience = {.tv_sec = (time_t)(cli->timeout_ms / 1000),
                                     .tv_usec = (suseconds_t)(cli->timeout_ms % 1000 * 1000)};
    struct endpoint at;
    int fd = endpoint_parse(cli->http, &at);
    if (fd == CENOTE_OK)
        fd = endpoint_connect(&at, (uint32_t)cli->timeout_ms);
    if (fd < 0) {
        nobody_there(cli);
        return NULL;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    FILE *f = fdopen(fd, "r+");
    if (f == NULL)
        close(fd);
    if (f == NULL)
        cli_complain_errno(cli, cli->http);
    return f;
}

/* As HTTP/1.0, so that the answer comes in one piece and ends with the connection. */
static bool ask(FILE *f, const char *method, const char *path)
{
    fprintf(f, "%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", method, path);
    return fflush(f) == 0;
}

/* Up to the body. False: that is no answer. */
static bool read_head(struct answer *a)
{
    static const char length[] = "Content-Length:";
    char line[LINE_MAX_BYTES];
    if (fgets(line, sizeof line, a->from) == NULL || sscanf(line, "HTTP/1.%*d %d", &a->code) != 1)
        return false;
    for (int i = 0; i < HEADERS_MAX && fgets(line, sizeof line, a->from) != NULL; i++) {
        if (strcmp(line, "\r\n") == 0)
            return true;
        if (strncasecmp(line, length, sizeof length - 1) == 0)
            a->len_bytes = strtoull(line + sizeof length - 1, NULL, 10);
    }
    return false;
}

/* What the daemon says against it. */
static int refused(const struct cli *cli, const struct answer *a)
{
    char text[ERROR_MAX];
    size_t len = fread(text, 1, sizeof text, a->from);
    json_t *error = json_loadb(text, len, 0, NULL);
    const char *why = json_string_value(json_object_get(error, "error"));
    fprintf(stderr, "cenote: %s: %s: %s (%d)\n", cli->command, cli->http,
            why ? why : "the daemon refuses", a->code);
    json_decref(error);
    return EXIT_FAILED;
}

/* out: NULL, or where the answer goes. */
static int take_answer(const struct cli *cli, const struct answer *a, FILE *out)
{
    char piece[1 << 14];
    unsigned long long left = a->len_bytes;
    while (left > 0) {
        size_t n = fread(piece, 1, left < sizeof piece ? (size_t)left : sizeof piece, a->from);
        if (n == 0)
            return cli_complain(cli, cli->http, CENOTE_PROTOCOL);
        if (out != NULL && fwrite(piece, 1, n, out) != n)
            return cli_complain_errno(cli, "standard output");
        left -= n;
    }
    return EXIT_DONE;
}

static int ask_daemon(const struct cli *cli, const char *method, const char *path, FILE *out)
{
    struct answer a = {.from = dial(cli)};
    int code;
    if (a.from == NULL)
        return EXIT_FAILED;
    if (!ask(a.from, method, path) || !read_head(&a))
        code = nobody_there(cli);
    else
        code = a.code == OK ? take_answer(cli, &a, out) : refused(cli, &a);
    fclose(a.from);
    return code;
}

static int usage(const struct cli *cli, const char *wanted)
{
    fprintf(stderr, "cenote: %s: %s\n", cli->command, wanted);
    return EXIT_USAGE;
}

int cli_trace(struct cli *cli)
{
    if (strcmp(cli->args[0], "dump") == 0)
        return ask_daemon(cli, "GET", "/v1/trace", stdout);
    if (strcmp(cli->args[0], "on") == 0)
        return ask_daemon(cli, "POST", "/v1/trace?on=1", NULL);
    if (strcmp(cli->args[0], "off") == 0)
        return ask_daemon(cli, "POST", "/v1/trace?on=0", NULL);
    return usage(cli, "on, off or dump is wanted");
}

int cli_log(struct cli *cli)
{
    char path[LINE_MAX_BYTES];
    const char *text = cli->args[0], *equals = strchr(text, '=');
    const char *level = equals ? equals + 1 : text;
    for (const char *c = text; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && *c != '_' && c != equals)
            return usage(cli, "LEVEL or MODULE=LEVEL is wanted");
    int len = equals ? snprintf(path, sizeof path, "/v1/log?level=%s&module=%.*s", level,
                                (int)(equals - text), text)
                     : snprintf(path, sizeof path, "/v1/log?level=%s", level);
    if (len < 0 || (size_t)len >= sizeof path)
        return usage(cli, "LEVEL or MODULE=LEVEL is wanted");
    return ask_daemon(cli, "POST", path, NULL);
}
