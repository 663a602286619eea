/* Exchanges of both kinds of group. The members of the one whose members are processes are threads here, too. */
#include "comm/router.h"

#include <stdatomic.h>

#include "base/interrupt.h"

enum { EXCHANGES = 50, LONGEST = 300000 };

typedef struct member {
    int number, members, descriptor;
    sn_status status; /* how it ended */
    pthread_t thread;
} member;

/* Size and values of what `from` sends to `to`: in some exchanges nothing, in others more than a socket holds. */
static size_t parcel_size(int exchange, int from, int to)
{
    return (exchange + from) % 3 == 0 ? 0
                                      : (size_t)(exchange * 7919 + from * 104729 + to * 1299709) % LONGEST;
}

static unsigned char parcel_value(int exchange, int from, int to, size_t i)
{
    return (unsigned char)((size_t)(exchange * 31 + from * 7 + to) + i * 13);
}

static sn_status exchange(sn_group *group, int number, sn_error *error)
{
    sn_parcel sent[ROUTER_MEMBERS], received[ROUTER_MEMBERS];
    int own = sn_group_member(group), members = sn_group_size(group);
    for (int m = 0; m < members; m++) {
        sent[m].size = parcel_size(number, own, m);
        received[m].size = parcel_size(number, m, own);
        unsigned char *bytes = sent[m].bytes = malloc(sent[m].size + 1);
        received[m].bytes = malloc(received[m].size + 1);
        for (size_t i = 0; i < sent[m].size; i++)
            bytes[i] = parcel_value(number, own, m, i);
    }
    sn_status status = sn_group_exchange(group, sent, received, error);
    for (int m = 0; m < members; m++) {
        const unsigned char *bytes = received[m].bytes;
        for (size_t i = 0; status == SN_OK && m != own && i < received[m].size; i++)
            if (bytes[i] != parcel_value(number, m, own, i))
                status = SN_ERR_NUMERIC;
        free(sent[m].bytes);
        free(received[m].bytes);
    }
    return status;
}

static sn_status exchange_all(sn_group *group, void *context, sn_error *error)
{
    sn_status status = SN_OK;
    (void)context;
    for (int e = 0; e < EXCHANGES && status == SN_OK; e++)
        status = exchange(group, e, error);
    return status;
}

static void *member_run(void *context)
{
    member *self = context;
    sn_group *group;
    sn_error error = SN_ERROR_INIT;
    self->status = sn_group_open(&group, self->descriptor, self->number, self->members, &error);
    if (self->status == SN_OK)
        self->status = exchange_all(group, NULL, &error);
    sn_group_close(group);
    return NULL;
}

static void parcels_arrive_whole_however_far_apart_the_members_are(void **state)
{
    (void)state;
    for (int members = 2; members <= 5; members++) {
        router between;
        member all[ROUTER_MEMBERS];
        router_begin(&between, members);
        for (int m = 0; m < members; m++) {
            all[m] = (member){.number = m, .members = members, .descriptor = between.outer[m]};
            pthread_create(&all[m].thread, NULL, member_run, &all[m]);
        }
        for (int m = 0; m < members; m++)
            pthread_join(all[m].thread, NULL);
        router_end(&between);
        for (int m = 0; m < members; m++)
            assert_int_equal(all[m].status, SN_OK);
    }
    for (int members = 1; members <= 5; members++) {
        sn_error error = SN_ERROR_INIT;
        assert_int_equal(sn_group_run(members, exchange_all, NULL, &error), SN_OK);
    }
}

/* One member by itself, with the other end of its connection. */
static sn_group *lone_member(int *other)
{
    int ends[2];
    sn_group *group;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(sn_group_open(&group, ends[0], 0, 2, NULL), SN_OK);
    *other = ends[1];
    return group;
}

static sn_status lone_exchange(sn_group *group, sn_error *error)
{
    char out[4] = "out", in[4];
    const sn_parcel sent[2] = {{NULL, 0}, {out, sizeof out}}, received[2] = {{NULL, 0}, {in, sizeof in}};
    return sn_group_exchange(group, sent, received, error);
}

static void an_interrupt_ends_the_wait_for_others(void **state)
{
    (void)state;
    int other;
    sn_error error = SN_ERROR_INIT;
    sn_group *group = lone_member(&other);
    sn_interrupt_request();
    assert_int_equal(lone_exchange(group, &error), SN_ERR_INTERRUPTED);
    sn_interrupt_clear();
    sn_group_close(group);
    close(other);
}

static void the_end_of_the_connection_is_an_error(void **state)
{
    (void)state;
    int other;
    sn_error error = SN_ERROR_INIT;
    sn_group *group = lone_member(&other);
    close(other);
    assert_int_equal(lone_exchange(group, &error), SN_ERR_FAILED);
    sn_group_close(group);
}

static void members_that_do_not_agree_are_told(void **state)
{
    (void)state;
    static const sn_frame wrong[] = {{1, 1, 5}, {1, 3, 4}, {7, 1, 4}}; /* its size, its number, its sender */
    for (int w = 0; w < 3; w++) {
        int other;
        sn_error error = SN_ERROR_INIT;
        sn_group *group = lone_member(&other);
        assert_int_equal(write(other, &wrong[w], sizeof wrong[w]), sizeof wrong[w]);
        assert_int_equal(lone_exchange(group, &error), SN_ERR_FAILED);
        assert_non_null(strstr(error.text, "do not agree"));
        sn_group_close(group);
        close(other);
    }
}

/* ---- what goes wrong among threads ---- */

/* What one of three members does in the third exchange instead. */
typedef struct misfortune {
    sn_group_work *work;
    int member;
    atomic_int over; /* members that have ended */
    sn_status status[3];
    sn_error error[3];
} misfortune;

static sn_status find_no_number(sn_group *group, void *context, sn_error *error)
{
    (void)context;
    return sn_error_set(error, SN_ERR_NUMERIC, "member %d found no number", sn_group_member(group));
}

static sn_status end_early(sn_group *group, void *context, sn_error *error)
{
    (void)group, (void)context, (void)error;
    return SN_OK;
}

/* The others end although this one does not come and says nothing. */
static sn_status interrupt(sn_group *group, void *context, sn_error *error)
{
    misfortune *self = context;
    (void)group;
    sn_interrupt_request();
    while (atomic_load(&self->over) < 2)
        usleep(1000);
    return sn_interrupt_check(error);
}

static sn_status send_too_much(sn_group *group, void *context, sn_error *error)
{
    char bytes[3 * LONGEST] = "";
    sn_parcel sent[3], received[3];
    (void)context;
    for (int m = 0; m < 3; m++) {
        sent[m] = (sn_parcel){bytes, LONGEST + 1};
        received[m] = (sn_parcel){bytes + LONGEST + 1, parcel_size(2, m, sn_group_member(group))};
    }
    return sn_group_exchange(group, sent, received, error);
}

static sn_status meet_misfortune(sn_group *group, void *context, sn_error *error)
{
    misfortune *self = context;
    int own = sn_group_member(group);
    sn_status status = SN_OK;
    for (int e = 0; e < EXCHANGES && status == SN_OK; e++) {
        if (e == 2 && own == self->member) {
            status = self->work(group, self, error);
            break;
        }
        status = exchange(group, e, error);
    }
    self->status[own] = status;
    self->error[own] = *error;
    atomic_fetch_add(&self->over, 1);
    return status;
}

/* All but the one that ends well end with this, and so does the group. */
static void misfortune_is(sn_group_work *work, sn_status status, const char *text)
{
    for (int unlucky = 0; unlucky < 3; unlucky++) {
        sn_error error = SN_ERROR_INIT;
        misfortune self = {.work = work, .member = unlucky};
        assert_int_equal(sn_group_run(3, meet_misfortune, &self, &error), status);
        sn_interrupt_clear();
        assert_int_equal(error.status, status);
        assert_non_null(strstr(error.text, text));
        for (int m = 0; m < 3; m++) {
            if (m == unlucky && self.status[m] == SN_OK)
                continue;
            assert_int_equal(self.status[m], status);
            assert_non_null(strstr(self.error[m].text, text));
        }
    }
}

static void one_that_fails_ends_the_others_with_its_error(void **state)
{
    (void)state;
    misfortune_is(find_no_number, SN_ERR_NUMERIC, "found no number");
}

static void one_that_ends_before_the_others_is_told(void **state)
{
    (void)state;
    misfortune_is(end_early, SN_ERR_FAILED, "one has ended");
}

static void an_interrupt_ends_the_wait_for_a_thread(void **state)
{
    (void)state;
    misfortune_is(interrupt, SN_ERR_INTERRUPTED, "interrupted");
}

static void threads_that_do_not_agree_are_told(void **state)
{
    (void)state;
    misfortune_is(send_too_much, SN_ERR_FAILED, "do not agree");
}

static void nobody_is_a_group_of_one(void **state)
{
    (void)state;
    assert_int_equal(sn_group_size(NULL), 1);
    assert_int_equal(sn_group_member(NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parcels_arrive_whole_however_far_apart_the_members_are),
        cmocka_unit_test(an_interrupt_ends_the_wait_for_others),
        cmocka_unit_test(the_end_of_the_connection_is_an_error),
        cmocka_unit_test(members_that_do_not_agree_are_told),
        cmocka_unit_test(one_that_fails_ends_the_others_with_its_error),
        cmocka_unit_test(one_that_ends_before_the_others_is_told),
        cmocka_unit_test(an_interrupt_ends_the_wait_for_a_thread),
        cmocka_unit_test(threads_that_do_not_agree_are_told),
        cmocka_unit_test(nobody_is_a_group_of_one),
    };
    return cmocka_run_group_tests_name("group", tests, NULL, NULL);
}
