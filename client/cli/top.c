/* SPDX-License-Identifier: Apache-2.0 */
/* The command top: the pool, again and again, as a screen or as text. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli/cli.h"
#include "client/cli/terminal.h"
#include "client/cli/text.h"
#include "client/cli/top_screen.h"

struct top {
    struct cli *cli;
    struct top_look *now, *before; /* NULL: not yet */
    bool on_screen;
    int failure; /* of the last look */
};

static json_t *ask(struct top *t)
{
    json_error_t error;
    char *answer;
    json_t *pool = NULL;
    t->failure = cenote_pool_status(t->cli->client, &answer);
    if (t->failure != CENOTE_OK)
        return NULL;
    pool = json_loads(answer, 0, &error);
    if (!pool)
        t->failure = CENOTE_PROTOCOL;
    free(answer);
    return pool;
}

static void look(struct top *t)
{
    json_t *pool = ask(t);
    struct top_look *l = pool ? top_look_new(pool) : NULL;
    if (!l) {
        json_decref(pool);
        t->failure = t->failure == CENOTE_OK ? CENOTE_NO_MEMORY : t->failure;
        return;
    }
    top_look_free(t->before);
    t->before = t->now;
    t->now = l;
}

/* ---- output ---------------------------------------------------------------------------------- */

static char *draft(const struct top *t, size_t *len_bytes)
{
    const char *no_color = getenv("NO_COLOR");
    struct top_screen s = {.where = t->cli->meta};
    if (t->on_screen) {
        terminal_size(&s.columns, &s.rows);
        s.styled = !no_color || !*no_color;
    }
    if (t->failure != CENOTE_OK)
        s.failure = cenote_status_text(t->failure);
    s.on_screen = t->on_screen;
    return top_screen_text(&s, t->now, t->before, len_bytes);
}

static int print(struct top *t)
{
    size_t len_bytes;
    if (t->cli->json)
        return text_json_print(json_incref(t->now->pool)) == 0 ? CENOTE_OK : CENOTE_IO;
    char *text = draft(t, &len_bytes);
    if (!text)
        return CENOTE_NO_MEMORY;
    if (t->on_screen)
        terminal_draw(text, len_bytes);
    else
        fwrite(text, 1, len_bytes, stdout);
    free(text);
    return fflush(stdout) == 0 ? CENOTE_OK : CENOTE_IO;
}

/* Until the next look; false: that was enough. */
static bool wait_for_next(struct top *t)
{
    enum terminal_event event;
    uint64_t ms = t->cli->interval_ms;
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    if (!t->on_screen) {
        while (nanosleep(&pause, &pause) != 0 && errno == EINTR)
            continue;
        return true;
    }
    while ((event = terminal_wait(ms)) == TERMINAL_REDRAW)
        (void)print(t);
    return event == TERMINAL_TIME;
}

/* ---- the command ----------------------------------------------------------------------------- */

/* What a second is like takes two looks. */
static int print_once(struct top *t)
{
    if (!t->cli->json && wait_for_next(t))
        look(t);
    if (t->failure != CENOTE_OK)
        return cli_complain(t->cli, NULL, t->failure);
    int status = print(t);
    return status == CENOTE_IO   ? cli_complain_errno(t->cli, "standard output")
           : status == CENOTE_OK ? EXIT_DONE
                                 : cli_complain(t->cli, NULL, status);
}

/* A screen stays when the service is away, and says so; text for scripts ends. */
static int print_on(struct top *t)
{
    int status = CENOTE_OK;
    do {
        if (t->failure != CENOTE_OK && !t->on_screen) {
            status = t->failure;
            break;
        }
        status = print(t);
        if (status != CENOTE_OK || !wait_for_next(t))
            break;
        look(t);
    } while (true);
    terminal_close();
    if (status == CENOTE_IO)
        return cli_complain_errno(t->cli, "standard output");
    return status == CENOTE_OK ? EXIT_DONE : cli_complain(t->cli, NULL, status);
}

int cli_top(struct cli *cli)
{
    struct top t = {.cli = cli};
    int code;
    look(&t);
    if (!t.now) {
        code = cli_complain(cli, NULL, t.failure);
    } else if (cli->once) {
        code = print_once(&t);
    } else {
        t.on_screen = !cli->json && terminal_open();
        code = print_on(&t);
    }
    top_look_free(t.now);
    top_look_free(t.before);
    return code;
}
