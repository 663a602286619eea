/* Exchanges of a group whose members are threads. */
#include "comm/router.h"

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

static sn_status exchange(sn_group *group, const member *self, int number, sn_error *error)
{
    sn_parcel sent[ROUTER_MEMBERS], received[ROUTER_MEMBERS];
    for (int m = 0; m < self->members; m++) {
        sent[m].size = parcel_size(number, self->number, m);
        received[m].size = parcel_size(number, m, self->number);
        unsigned char *bytes = sent[m].bytes = malloc(sent[m].size + 1);
        received[m].bytes = malloc(received[m].size + 1);
        for (size_t i = 0; i < sent[m].size; i++)
            bytes[i] = parcel_value(number, self->number, m, i);
    }
    sn_status status = sn_group_exchange(group, sent, received, error);
    for (int m = 0; m < self->members; m++) {
        const unsigned char *bytes = received[m].bytes;
        for (size_t i = 0; status == SN_OK && m != self->number && i < received[m].size; i++)
            if (bytes[i] != parcel_value(number, m, self->number, i))
                status = SN_ERR_NUMERIC;
        free(sent[m].bytes);
        free(received[m].bytes);
    }
    return status;
}

static void *member_run(void *context)
{
    member *self = context;
    sn_group *group;
    sn_error error = SN_ERROR_INIT;
    self->status = sn_group_open(&group, self->descriptor, self->number, self->members, &error);
    for (int e = 0; e < EXCHANGES && self->status == SN_OK; e++)
        self->status = exchange(group, self, e, &error);
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
        cmocka_unit_test(nobody_is_a_group_of_one),
    };
    return cmocka_run_group_tests_name("group", tests, NULL, NULL);
}
