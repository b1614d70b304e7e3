/* SPDX-License-Identifier: Apache-2.0 */
/* Threads in the background of an application that isn't ours. */
#ifndef CENOTE_CLIENT_THREAD_H
#define CENOTE_CLIENT_THREAD_H

#include <pthread.h>

/* Starts a thread that no signal is delivered to. name has at most 15 bytes. CENOTE_OK or
 * CENOTE_NO_MEMORY (also where the process may have no more threads); logged. */
int thread_start(pthread_t *out, void *(*run)(void *arg), void *arg, const char *name);

#endif
