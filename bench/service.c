/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/service.h"

#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meta/stub/messages.h"

void service_session_request(struct wire_buf *b, const char *name_space)
{
    struct session_open_params params = {.protocol = PROTOCOL_VERSION, .client = "cenote-bench"};

    snprintf(params.name_space, sizeof params.name_space, "%s", name_space);
    wire_put_request(b, 0, METHOD_SESSION_OPEN);
    session_open_params_put(b, &params);
}

int service_session(const char *meta, const char *name_space, struct rpc_client **out)
{
    struct wire_buf request = {0};
    struct rpc_answer answer;
    struct endpoint service;
    int status = endpoint_parse(meta, &service);

    if (status == CENOTE_OK)
        status = rpc_client_open(&service, SERVICE_TIMEOUT_MS, out);
    if (status != CENOTE_OK)
        return status;
    service_session_request(&request, name_space);
    status = rpc_client_call(*out, request.data, request.len, SERVICE_TIMEOUT_MS, &answer);
    if (status == CENOTE_OK)
        rpc_answer_free(&answer);
    else
        rpc_client_close(*out);
    wire_buf_free(&request);
    return status;
}

/* ---- the store's counters, from status ---- */

static bool take_counters(const char *text, struct service_usage *out)
{
    json_t *status = json_loads(text, 0, NULL);
    const json_t *service = json_object_get(status, "service");
    out->commits = (uint64_t)json_integer_value(json_object_get(service, "store_commits"));
    out->changes = (uint64_t)json_integer_value(json_object_get(service, "store_changes"));
    json_decref(status);
    return service != NULL;
}

static bool ask_counters(const struct endpoint *at, struct service_usage *out)
{
    struct rpc_client *rpc;
    struct rpc_answer answer;
    struct wire_buf request = {0};

    if (rpc_client_open(at, SERVICE_TIMEOUT_MS, &rpc) != CENOTE_OK)
        return false;
    wire_put_request(&request, 0, METHOD_STATUS);
    wire_put_array(&request, 0);
    bool good =
        rpc_client_call(rpc, request.data, request.len, SERVICE_TIMEOUT_MS, &answer) == CENOTE_OK;
    if (good) {
        char *text = wire_to_json(answer.msg.result);
        good = text && take_counters(text, out);
        free(text);
        rpc_answer_free(&answer);
    }
    wire_buf_free(&request);
    rpc_client_close(rpc);
    return good;
}

/* ---- its process, from /proc ---- */

static pid_t pid_of(const struct endpoint *at)
{
    struct ucred cred = {0};
    socklen_t len = sizeof cred;
    int fd = endpoint_is_unix(at) ? endpoint_connect(at, SERVICE_TIMEOUT_MS) : -1;

    if (fd < 0)
        return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
        cred.pid = 0;
    close(fd);
    return cred.pid;
}

/* The scheduler's own count, in nanoseconds. */
static uint64_t thread_cpu_ns(pid_t pid, const char *thread)
{
    char path[288];
    uint64_t ns = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, thread);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%" SCNu64, &ns) != 1)
        ns = 0;
    if (f)
        fclose(f);
    return ns;
}

static uint64_t cpu_ns(pid_t pid)
{
    char path[64];
    uint64_t ns = 0;
    const struct dirent *thread;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    while (dir && (thread = readdir(dir)) != NULL)
        if (thread->d_name[0] != '.')
            ns += thread_cpu_ns(pid, thread->d_name);
    if (dir)
        closedir(dir);
    return ns;
}

/* Resident bytes of mappings without a file: LMDB's map and segments have one. */
static uint64_t anonymous_bytes(pid_t pid)
{
    char path[64], line[512];
    uint64_t bytes = 0, kib, inode = 1;

    snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        uint64_t value;
        if (sscanf(line, "%*x-%*x %*s %*x %*x:%*x %" SCNu64, &value) == 1)
            inode = value;
        else if (inode == 0 && sscanf(line, "Rss: %" SCNu64 " kB", &kib) == 1)
            bytes += kib << 10;
    }
    if (f)
        fclose(f);
    return bytes;
}

bool service_usage(const char *meta, struct service_usage *out)
{
    struct endpoint at;

    *out = (struct service_usage){0};
    if (endpoint_parse(meta, &at) != CENOTE_OK || !ask_counters(&at, out))
        return false;
    out->pid = pid_of(&at);
    if (out->pid > 0) {
        out->cpu_ns = cpu_ns(out->pid);
        out->anonymous_bytes = anonymous_bytes(out->pid);
    }
    return true;
}
