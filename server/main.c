/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cenoted: the metadata service, a node that donates memory, or both.
 *
 * The main thread starts the roles, prints one line when all are ready, and waits for a signal. The
 * first SIGTERM or SIGINT stops in order, a second one ends the process at once. SIGHUP has the
 * configuration read again.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cenote/status.h>

#include "server/config/log_levels.h"
#include "server/config/options.h"
#include "server/memory/machine.h"
#include "server/roles/http_role.h"
#include "server/roles/meta_role.h"
#include "server/roles/node_role.h"
#include "server/roles/notify.h"
#include "server/roles/reload.h"
#include "transport/base/hash.h"
#include "transport/base/log.h"

struct daemon {
    struct options options;
    struct meta_role *meta;
    struct node_role *node;
    struct http_role *http;
    struct trace *trace;
    int argc;
    char **argv;
    sigset_t signals; /* that stop it */
    int signal_fd, hangup_fd;
    int joined_fd; /* readable once the node has joined */
};

/* They come by descriptors only; set before there are threads. A hangup never does what it would do
 * to a program that knows nothing of it: it may come during the start or the stop. */
static int take_signals(struct daemon *d)
{
    sigset_t hangup;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &hangup, NULL);
    d->hangup_fd = signalfd(-1, &hangup, SFD_CLOEXEC);
    sigemptyset(&d->signals);
    sigaddset(&d->signals, SIGTERM);
    sigaddset(&d->signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &d->signals, NULL);
    d->signal_fd = signalfd(-1, &d->signals, SFD_CLOEXEC | SFD_NONBLOCK);
    d->joined_fd = eventfd(0, EFD_CLOEXEC);
    if (d->signal_fd >= 0 && d->hangup_fd >= 0 && d->joined_fd >= 0)
        return CENOTE_OK;
    log_error("cenoted", "cannot make descriptors: %s", strerror(errno));
    return CENOTE_IO;
}

static void on_joined(void *arg)
{
    const struct daemon *d = arg;
    eventfd_write(d->joined_fd, 1);
}

static int start_roles(struct daemon *d)
{
    const struct options *o = &d->options;
    const char *meta = o->meta;
    int status = CENOTE_OK;
    if (options_has_meta(o)) {
        status = meta_role_start(o, d->trace, &d->signals, &d->meta);
        if (status == CENOTE_OK)
            meta = meta_role_endpoint(d->meta, 0);
    }
    if (status == CENOTE_OK && options_has_node(o))
        status = node_role_start(o, d->trace, meta, on_joined, d, &d->node);
    if (status == CENOTE_OK)
        status = http_role_start(o, d->meta, d->node, d->trace, &d->http);
    return status;
}

static void say_ready(const struct daemon *d)
{
    const char *separator = "";
    printf("cenoted ready: ");
    for (size_t i = 0; d->meta && meta_role_endpoint(d->meta, i); i++) {
        printf("%scontrol %s", separator, meta_role_endpoint(d->meta, i));
        separator = ", ";
    }
    if (d->node) {
        printf("%sdata %s", separator, node_role_data_endpoint(d->node));
        separator = ", ";
    }
    if (http_role_endpoint(d->http))
        printf("%shttp %s", separator, http_role_endpoint(d->http));
    printf("\n");
    fflush(stdout);
}

static void on_hangup(struct daemon *d)
{
    struct signalfd_siginfo info;
    if (read(d->hangup_fd, &info, sizeof info) == sizeof info)
        reload(&d->options, d->argc, d->argv, d->meta, d->node);
}

/* Until a signal comes that stops it. */
static void serve(struct daemon *d)
{
    bool ready = !d->node;
    if (ready)
        say_ready(d);
    for (;;) {
        struct pollfd fds[3] = {{.fd = d->signal_fd, .events = POLLIN},
                                {.fd = ready ? -1 : d->joined_fd, .events = POLLIN},
                                {.fd = d->hangup_fd, .events = POLLIN}};
        if (poll(fds, 3, -1) < 0)
            continue;
        if (fds[0].revents != 0)
            return;
        if (fds[1].revents != 0) {
            ready = true;
            say_ready(d);
        }
        if (fds[2].revents != 0)
            on_hangup(d);
    }
}

static void stop_roles(struct daemon *d)
{
    struct signalfd_siginfo info;
    if (read(d->signal_fd, &info, sizeof info) == sizeof info) /* one that was left would kill */
        log_info("cenoted", "signal %u: stopping", info.ssi_signo);
    notify_manager("STOPPING=1");
    pthread_sigmask(SIG_UNBLOCK, &d->signals, NULL); /* the next one kills */
    http_role_stop(d->http);
    node_role_stop(d->node);
    meta_role_stop(d->meta);
    trace_free(d->trace);
}

static int run(struct daemon *d)
{
    int status = take_signals(d);
    d->trace = trace_new();
    if (status == CENOTE_OK && !d->trace)
        status = CENOTE_NO_MEMORY;
    if (status == CENOTE_OK)
        status = start_roles(d);
    if (status == CENOTE_OK) {
        /* Everything is open. A node may wait long for its service, which a boot must not. */
        notify_manager("READY=1");
        serve(d);
    } else if (status == CENOTE_NO_MEMORY)
        log_error("cenoted", "cannot start: %s", cenote_status_text(status));
    stop_roles(d);
    return status;
}

static int start(struct daemon *d)
{
    log_levels_set(&d->options.log_level);
    log_set_sink(notify_journal_listens() ? log_to_journal : log_to_stderr, NULL);
    hash_init();
    machine_raise_descriptors();
    return run(d) == CENOTE_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int refuse(const struct config_report *report, bool check)
{
    unsigned shown = 0;
    for (const char *line = report->text; *line != '\0'; shown++) {
        int len = (int)strcspn(line, "\n");
        fprintf(stderr, "%s%.*s\n", check ? "" : "cenoted: ", len, line);
        line += len + 1;
    }
    if (shown < report->faults)
        fprintf(stderr, "... and %u more\n", report->faults - shown);
    if (!check)
        fprintf(stderr, "Try 'cenoted --help'.\n");
    return 2;
}

static int approve(const struct options *o, const struct config_report *report)
{
    options_remarks(o, report);
    printf("%s: good\n", report->file[0] ? report->file : "the options");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct config_report report;
    struct daemon d = {
        .argc = argc, .argv = argv, .signal_fd = -1, .hangup_fd = -1, .joined_fd = -1};
    int code = EXIT_SUCCESS;

    if (options_parse(&d.options, argc, argv, &report) != CENOTE_OK)
        code = refuse(&report, d.options.check);
    else if (d.options.help)
        options_help();
    else if (d.options.version)
        printf("cenoted %s\n", CENOTE_VERSION_TEXT);
    else if (d.options.print)
        options_print(&d.options, &report);
    else if (d.options.check)
        code = approve(&d.options, &report);
    else
        code = start(&d);
    options_free(&d.options);
    return code;
}
