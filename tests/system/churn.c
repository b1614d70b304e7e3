/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that come and go: each opens, gets one value, and closes. Two threads share the rounds.
 * Usage: churn ENDPOINT shm|tcp|rdma KEY ROUNDS
 */
#include <cenote/cenote.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tests/scenario/check.h"
#include "tests/support/transport.h"

#define THREADS     2u
#define VALUE_BYTES 65536u

static struct cenote_options options;
static const char *key;
static atomic_long left;

static void *come_and_go(void *unused)
{
    static _Thread_local char value[VALUE_BYTES];

    while (atomic_fetch_sub(&left, 1) > 0) {
        struct cenote *client = NULL;
        CHECK_EQ(cenote_open(&options, &client), CENOTE_OK);
        CHECK_EQ(cenote_get(client, key, strlen(key), value, sizeof value, NULL), CENOTE_OK);
        cenote_close(&client);
    }
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];

    CHECK(argc == 5);
    options = (struct cenote_options){.meta = argv[1], .transport = transport_named(argv[2])};
    key = argv[3];
    left = atol(argv[4]);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, come_and_go, NULL) == 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
