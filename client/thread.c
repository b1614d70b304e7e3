/* SPDX-License-Identifier: Apache-2.0 */
#include "client/thread.h"

#include <cenote/status.h>
#include <signal.h>
#include <string.h>

#include "transport/base/log.h"

int thread_start(pthread_t *out, void *(*run)(void *arg), void *arg, const char *name)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(out, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        log_error("client", "cannot start a thread: %s", strerror(error));
        return CENOTE_NO_MEMORY;
    }
    pthread_setname_np(*out, name);
    return CENOTE_OK;
}
