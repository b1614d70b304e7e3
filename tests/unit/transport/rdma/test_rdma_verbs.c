/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>

#include <cenote/status.h>

#include "transport/rdma/device.h"

static struct rdma_settings settings;
static struct rdma_devices *devices;
static int list_errno;

static struct ibv_device **no_list(int *count)
{
    (void)count;
    errno = list_errno;
    return NULL;
}

static void begin(void)
{
    char error[128];
    cr_assert_eq(rdma_settings_parse("auto", &settings, error, sizeof(error)), CENOTE_OK);
}

TestSuite(rdma_verbs, .init = begin);

/* Whatever machine this is: the library is found and complete, or it isn't there. */
Test(rdma_verbs, load)
{
    const struct rdma_verbs *verbs = rdma_verbs();
    cr_assert_eq(verbs, rdma_verbs());
    if (verbs == NULL)
        return;
    cr_assert_not_null(verbs->get_device_list);
    cr_assert_not_null(verbs->event_type_str);
    cr_assert_not_null(verbs->wc_status_str);
    cr_assert_str_eq(verbs->wc_status_str(IBV_WC_SUCCESS), "success");
}

Test(rdma_verbs, replace)
{
    static const struct rdma_verbs mine;
    const struct rdma_verbs *before = rdma_verbs();
    rdma_verbs_replace(&mine);
    cr_assert_eq(rdma_verbs(), &mine);
    rdma_verbs_replace(NULL);
    cr_assert_eq(rdma_verbs(), before);
}

Test(rdma_verbs, devices_open__this_machine)
{
    int status = rdma_devices_open(&settings, &devices);
    cr_assert(status == CENOTE_OK || status == CENOTE_NOT_SUPPORTED, "%d", status);
    if (status == CENOTE_OK)
        rdma_devices_close(devices);
}

Test(rdma_verbs, devices_open__none)
{
    settings.none = true;
    cr_assert_eq(rdma_devices_open(&settings, &devices), CENOTE_NOT_SUPPORTED);
}

Test(rdma_verbs, devices_open__no_list)
{
    static const struct rdma_verbs mine = {.get_device_list = no_list};
    rdma_verbs_replace(&mine);
    list_errno = ENOSYS;
    cr_assert_eq(rdma_devices_open(&settings, &devices), CENOTE_NOT_SUPPORTED);
    list_errno = ENOMEM;
    cr_assert_eq(rdma_devices_open(&settings, &devices), CENOTE_NO_MEMORY);
    settings.named_count = 1;
    list_errno = ENOSYS;
    cr_assert_eq(rdma_devices_open(&settings, &devices), CENOTE_INVALID);
}
